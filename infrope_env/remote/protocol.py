"""Messages as bytes: a JSON header and a binary body, checked and bounded. Imports no network library.

A text message of the WebSocket is a header. A binary one is the length of the header (4 bytes, big-endian), the header
and the body. The header is an object with "type" and the fields of that message; unknown fields are ignored.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints, is_typeddict

from infrope_env.control.mentions import is_text
from infrope_env.errors import shown
from infrope_env.remote.client_messages import FROM_CLIENT
from infrope_env.remote.message import Message, Most
from infrope_env.remote.server_messages import FROM_SERVER

VERSION = 1
MOST_HEADER_BYTES = 64 * 1024
MOST_PICTURE_BYTES = 10_000_000
MOST_MESSAGE_BYTES = 4 + MOST_HEADER_BYTES + MOST_PICTURE_BYTES
MOST_INTEGER = 2**53 - 1
"""Largest integer that JavaScript holds exactly."""
LENGTH_BYTES = 4
WORDS = {str: "a text", bool: "true or false", int: "an integer", float: "a number", NoneType: "null"}

Wire = str | bytes
Decoded = tuple[Message, bytes]

_Kind = TypeVar("_Kind", bound=Message)


class ProtocolError(ValueError):
    """A message that breaks the protocol; the text says what was expected."""


def encode(message: Message, body: bytes | None = None) -> Wire:
    """Return a message as the text or, with a body, the bytes of a WebSocket message."""
    header = json.dumps({"type": message.type, **vars(message)}, separators=(",", ":"), allow_nan=False)
    if body is None:
        return header
    data = header.encode()
    return b"".join((len(data).to_bytes(LENGTH_BYTES, "big"), data, body))


def decode_from_client(wire: Wire) -> Decoded:
    """Return the message and the body that a client sent; ProtocolError when there is no such message."""
    return _decode(wire, _readers(FROM_CLIENT), MOST_HEADER_BYTES)


def decode_from_server(wire: Wire) -> Decoded:
    """Return the message and the body that a server sent; ProtocolError when there is no such message."""
    return _decode(wire, _readers(FROM_SERVER), None)


def expect(message: Message, kind: type[_Kind]) -> _Kind:
    """Return the message if it is of a kind, else raise ProtocolError."""
    if not isinstance(message, kind):
        raise ProtocolError(f"expected a message {kind.type!r}, got {message.type!r}")
    return message


def version_problem(client: int, server: int = VERSION) -> str:
    """Return a sentence for the user when client and server speak different versions; else an empty string."""
    if client == server:
        return ""
    older = "client" if client < server else "server"
    return f"The client speaks version {client} of the protocol and the server version {server}: update the {older}."


def _decode(wire: Wire, readers: Mapping[str, _Reader], most_header_bytes: int | None) -> Decoded:
    header, body = _split(wire, most_header_bytes)
    name = header.get("type")
    reader = readers.get(name) if isinstance(name, str) else None
    if reader is None:
        raise ProtocolError(f"expected the type of a message to be one of {', '.join(readers)}, got {shown(name)}")
    if body and not reader.kind.has_body:
        raise ProtocolError(f"expected no body in a message {name!r}, got {len(body)} bytes")
    return reader.read(header), body


def _split(wire: Wire, most: int | None) -> tuple[dict[str, Any], bytes]:
    """Return the parsed header and the body."""
    if isinstance(wire, str):
        header, body = wire.encode("utf-8", "surrogatepass"), b""
    else:
        length = int.from_bytes(wire[:LENGTH_BYTES], "big")
        header, body = wire[LENGTH_BYTES : LENGTH_BYTES + length], wire[LENGTH_BYTES + length :]
        if len(wire) < LENGTH_BYTES or len(header) < length:
            raise ProtocolError(f"expected a header of {length} bytes, got {len(header)}")
    if most is not None and len(header) > most:
        raise ProtocolError(f"expected a header of at most {most} bytes, got {len(header)}")
    try:
        content = json.loads(header, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"expected the header to be JSON: {error}") from error
    if not isinstance(content, dict):
        raise ProtocolError(f"expected the header to be a JSON object, got {shown(content)}")
    return content, body


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


@dataclass(frozen=True)
class _Rule:
    """A field of a message with the check of its value, and the words for what it accepts."""

    name: str
    is_required: bool
    is_valid: Callable[[Any], bool]
    wanted: str


@dataclass(frozen=True)
class _Reader:
    """A kind of message with the rules of its fields."""

    kind: type[Message]
    rules: tuple[_Rule, ...]

    @classmethod
    def of(cls, kind: type[Message]) -> _Reader:
        """Return the reader of a kind of message."""
        types = get_type_hints(kind, include_extras=True)
        return cls(kind, tuple(_rule(field, types[field.name]) for field in dataclasses.fields(kind)))

    def read(self, header: Mapping[str, Any]) -> Message:
        """Return the message of a header; ProtocolError names the field that is missing or wrong."""
        values = {}
        for rule in self.rules:
            if rule.name in header:
                value = values[rule.name] = header[rule.name]
                if not rule.is_valid(value):
                    place = f"{rule.name!r} of {self.kind.type!r}"
                    raise ProtocolError(f"expected {place} to be {rule.wanted}, got {shown(value)}")
            elif rule.is_required:
                raise ProtocolError(f"expected a field {rule.name!r} in the message {self.kind.type!r}")
        return self.kind(**values)


@cache
def _readers(kinds: tuple[type[Message], ...]) -> dict[str, _Reader]:
    """Return the readers of kinds of messages, by type."""
    return {kind.type: _Reader.of(kind) for kind in kinds}


def _rule(field: dataclasses.Field[Any], kind: Any) -> _Rule:
    is_required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    return _Rule(field.name, is_required, _check_of(kind), _words_for(kind))


def _check_of(kind: Any) -> Callable[[Any], bool]:
    """Return the check of a value of a type annotation."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return lambda value: True
    if is_typeddict(kind):
        fields = {name: _check_of(field) for name, field in get_type_hints(kind, include_extras=True).items()}
        return lambda value: (
            isinstance(value, dict) and all(name in value and check(value[name]) for name, check in fields.items())
        )
    if origin is Literal:
        return lambda value: isinstance(value, str) and value in arguments
    if origin is Annotated:
        inner, most = _check_of(arguments[0]), _most(kind)
        return lambda value: inner(value) and len(value) <= most
    if origin is list:
        inner = _check_of(arguments[0])
        return lambda value: isinstance(value, list) and all(map(inner, value))
    if origin is dict:
        inner = _check_of(arguments[1])
        return lambda value: isinstance(value, dict) and all(map(is_text, value)) and all(map(inner, value.values()))
    if origin is UnionType:
        parts = [_check_of(part) for part in arguments]
        return lambda value: any(part(value) for part in parts)
    return {str: is_text, bool: _is_bool, int: _is_integer, float: _is_number, NoneType: _is_none}[kind]


def _words_for(kind: Any) -> str:
    """Return what a type annotation accepts, as an error says it."""
    origin, arguments = get_origin(kind), get_args(kind)
    if is_typeddict(kind):
        fields = get_type_hints(kind, include_extras=True).items()
        return f"an object with {', '.join(f'{name} ({_words_for(field)})' for name, field in fields)}"
    if origin is Literal:
        return f"one of {', '.join(arguments)}"
    if origin is Annotated:
        return f"{_words_for(arguments[0])} of at most {_most(kind)} characters"
    if origin is list:
        return f"a list, each {_words_for(arguments[0])}"
    if origin is dict:
        return f"an object, each value {_words_for(arguments[1])}"
    if origin is UnionType:
        return " or ".join(map(_words_for, arguments))
    return WORDS.get(kind, "anything")


def _most(kind: Any) -> int:
    return next(note.characters for note in kind.__metadata__ if isinstance(note, Most))


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


def _is_none(value: object) -> bool:
    return value is None


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MOST_INTEGER


def _is_number(value: object) -> bool:
    return _is_integer(value) or (isinstance(value, float) and math.isfinite(value))
