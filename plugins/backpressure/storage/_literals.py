"""Arguments as SQL literals, in ASCII alone, so that no setting of client or server changes their meaning."""

from collections.abc import Sequence

from backpressure.storage.protocol import Argument, Scalar

__all__ = ["literal", "parameters", "quote_identifier"]


def quote_identifier(name: str) -> str:
    """A name, quoted for SQL."""
    return '"' + name.replace('"', '""') + '"'


def parameters(keys: tuple[str, ...], arguments: Sequence[Argument], *, many: bool) -> str:
    """Key and arguments of a function call."""
    parts = [literal([key.encode() for key in keys]) if many else f"E'\\\\x{keys[0].encode().hex()}'"]
    parts += [str(each) if type(each) is int else literal(each) for each in arguments]
    return ",".join(parts)


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
