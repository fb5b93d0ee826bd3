"""A transaction pooler as PgBouncer is one: each transaction of a client may go to another session of the server.

Speaks as much of PostgreSQL's protocol as psycopg2 uses: start-up and simple queries.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import struct
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.postgres import PostgresServer

_VERSION = 196608
_ASKS_FOR_ENCRYPTION = (80877103, 80877104)
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Pooler:
    """Shares a few sessions of a server among any number of clients."""

    def __init__(self, server: PostgresServer, sessions: int) -> None:
        self._target = f"{server.folder}/.s.PGSQL.5432"
        self._count = sessions
        self._idle: list[Streams] = []
        self._free = asyncio.Condition()
        self._greeting = b""
        self._writers: list[asyncio.StreamWriter] = []
        self.transactions = 0

    async def serve(self, folder: Path, ready: threading.Event, over: asyncio.Event) -> None:
        """Connect to the server, and serve clients until it is over."""
        for _ in range(self._count):
            session = await asyncio.open_unix_connection(self._target)
            self._writers.append(session[1])
            await self._log_in(session)
            self._idle.append(session)
        listener = await asyncio.start_unix_server(self._client, folder / ".s.PGSQL.5432")
        ready.set()
        await over.wait()
        listener.close()
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in self._writers), return_exceptions=True)

    async def _log_in(self, session: Streams) -> None:
        text = b"user\0postgres\0database\0postgres\0client_encoding\0UTF8\0\0"
        session[1].write(struct.pack("!ii", 8 + len(text), _VERSION) + text)
        self._greeting = b""
        while True:
            kind, message = await _message(session[0])
            if kind == b"Z":
                return
            if kind != b"K":
                self._greeting += message

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                (size, code) = struct.unpack("!ii", await reader.readexactly(8))
                await reader.readexactly(size - 8)
                if code not in _ASKS_FOR_ENCRYPTION:
                    break
                writer.write(b"N")
            # Like PgBouncer it names a process of its own: the session that answers may be another each time.
            key = struct.pack("!iii", 12, random.getrandbits(30), 0)
            writer.write(self._greeting + b"K" + key + b"Z" + struct.pack("!i", 5) + b"I")
            await self._talk(reader, writer)
        writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            session = None
            state = b"I"
            while session is None or state != b"I":
                kind, message = await _message(reader)
                if kind == b"X":
                    return
                session = session or await self._take()
                session[1].write(message)
                while kind != b"Z":
                    kind, message = await _message(session[0])
                    writer.write(message)
                state = message[-1:]
            await self._give_back(session)

    async def _take(self) -> Streams:
        async with self._free:
            await self._free.wait_for(lambda: self._idle)
            self.transactions += 1
            return self._idle.pop(random.randrange(len(self._idle)))  # noqa: S311 - no secret

    async def _give_back(self, session: Streams) -> None:
        async with self._free:
            self._idle.append(session)
            self._free.notify()


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readexactly(5)
    (size,) = struct.unpack("!i", head[1:])
    return head[:1], head + await reader.readexactly(size - 4)


@contextlib.contextmanager
def transaction_pooler(server: PostgresServer, sessions: int = 3) -> Iterator[tuple[str, Pooler]]:
    """Run a pooler in a thread of its own; gives its connection string and itself."""
    folder = Path(tempfile.mkdtemp(prefix="bp-pool-", dir="/tmp"))
    pooler, ready, over = Pooler(server, sessions), threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        thread = threading.Thread(target=runner.run, args=(pooler.serve(folder, ready, over),))
        thread.start()
        try:
            assert ready.wait(20)
            yield f"host={folder} port=5432 user=postgres dbname=postgres", pooler
        finally:
            loop.call_soon_threadsafe(over.set)
            thread.join(20)
            shutil.rmtree(folder, ignore_errors=True)
