"""Grades that are kept as they come, so that a grading that was cut off goes on where it was."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from backpressure_lab.errors import LabError
from backpressure_lab.files import write_json, write_text
from backpressure_lab.grading.cohort import Submission
from backpressure_lab.grading.grade import Grade

_VERSION = 1
_PARTS = ("check.py", "starter.py")


class Store:
    """The grades of one folder of submissions; ``seed`` is what all its checks draw their work from.

    Args:
        home: where grades of all folders are kept.
        folder: of the submissions.
        seed: another one than was drawn; grades of other seeds are no longer looked at.
        trusted: whether submissions run without a sandbox.
    """

    def __init__(self, home: Path, folder: Path, *, seed: int | None, trusted: bool) -> None:
        self._place = home / hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
        self._trusted = trusted
        self.seed = self._drawn() if seed is None else seed

    def _drawn(self) -> int:
        path = self._place / "seed.json"
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            return int(json.loads(path.read_text(encoding="utf-8"))["seed"])
        seed = secrets.randbits(48)
        write_json(path, {"seed": seed}, mode=0o600)
        return seed

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only one that grades this folder.

        Raises:
            LabError: somebody else does.
        """
        self._place.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self._place / "lock").open("w") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LabError("This folder is being graded by another command.\nWait for it, or end it.") from None
            yield

    def forget(self) -> None:
        """Grade everything again, with other work."""
        shutil.rmtree(self._place, ignore_errors=True)
        self.seed = self._drawn()

    def copy(self, submission: Submission) -> Path:
        """A file of ours with the submission's text; called after the exercise, whatever the student called theirs."""
        path = self._place / "files" / self.key(submission) / f"{submission.exercise.dag_id}.py"
        write_text(path, submission.text or "", mode=0o600)
        return path

    def get(self, submission: Submission) -> Grade | None:
        """The grade that the same text got for the same exercise and work."""
        path = self._file(submission)
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            return Grade.from_kept(submission, json.loads(path.read_text(encoding="utf-8")))
        return None

    def put(self, grade: Grade) -> None:
        """Keep a grade."""
        write_json(self._file(grade.submission), grade.as_kept(), mode=0o600)

    def _file(self, submission: Submission) -> Path:
        return self._place / "grades" / f"{self.key(submission)}.json"

    def key(self, submission: Submission) -> str:
        """What tells submissions apart that may get different grades."""
        files = submission.exercise
        parts = [(files.folder / name).read_text(encoding="utf-8") for name in _PARTS]
        what = [_VERSION, files.exercise.id, *parts, submission.text, self.seed, self._trusted]
        return hashlib.sha256(json.dumps(what).encode("utf-8", "surrogatepass")).hexdigest()[:32]
