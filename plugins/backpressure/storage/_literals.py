"""Arguments as SQL literals, in ASCII alone, so that no setting of client or server changes their meaning."""

from collections.abc import Sequence

from backpressure.storage.protocol import Argument, Scalar

__all__ = ["call", "literal"]


def call(function: str, keys: tuple[str, ...], arguments: Sequence[Argument], *, many: bool) -> str:
    """The statement that calls an operation's function."""
    key = literal([key.encode() for key in keys]) if many else literal(keys[0].encode())
    parts = [str(each) if type(each) is int else literal(each) for each in arguments]
    return f"SELECT * FROM {function}({', '.join([key, *parts])})"  # noqa: S608 - the name is quoted, the rest literals


def literal(value: Argument) -> str:
    """A value as an SQL literal whose type follows from where it stands."""
    if value is None:
        return "NULL"
    if isinstance(value, bool | int):
        return str(value)
    if isinstance(value, bytes):
        return f"E'\\\\x{value.hex()}'"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, float):
        return f"'{value!r}'::float8"
    return _quoted("{" + ",".join(map(_element, value)) + "}")


def _element(value: Scalar) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f'"\\\\x{value.hex()}"'
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return repr(value) if isinstance(value, float) else str(value)


def _quoted(text: str) -> str:
    plain = text.replace("\\", "\\\\").replace("'", "''")
    if not plain.isascii():
        plain = "".join(char if char.isascii() else f"\\U{ord(char):08x}" for char in plain)
    return f"E'{plain}'"
