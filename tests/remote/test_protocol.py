"""Messages as bytes: what is sent arrives, and what breaks the protocol is refused with the reason."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from infrope_env.remote import client_messages, protocol, server_messages
from infrope_env.remote.client_messages import FROM_CLIENT, Ack, Hello, Key, Reset, SetPrompt
from infrope_env.remote.message import MOST_PROMPT_CHARACTERS, Message
from infrope_env.remote.protocol import ProtocolError, decode_from_client, decode_from_server, encode
from infrope_env.remote.server_messages import FROM_SERVER, Block, Notice, Result

PAGE = (Path(protocol.__file__).parent / "PROTOCOL.md").read_text(encoding="utf-8")
BLOCK = Block(
    seq=3, rollout="1", info={"block": 2, "prompt": "Füchsin 🦊"}, immediate=False, due_ms=12.5, frame_ms=62.5,
    encoding="raw", sizes=[2, 1], answers=[{"seq": 4, "action": 1, "name": "jump"}], timings={"total": 140.0},
    dropped=0,
)  # fmt: skip


def header(**fields: Any) -> str:
    return json.dumps(fields)


def test_a_message_arrives_as_it_was_sent() -> None:
    for message in (Hello(version=1, session="abc"), SetPrompt(id=1, text="eine Füchsin 🦊", cut=True), Ack(seq=2**50)):
        assert decode_from_client(encode(message)) == (message, b"")
    assert decode_from_server(encode(BLOCK, b"abc")) == (BLOCK, b"abc")
    assert decode_from_server(encode(Result(id=1), b"")) == (Result(id=1), b"")


def test_a_message_with_a_body_is_binary_and_begins_with_the_length_of_the_header() -> None:
    wire = encode(BLOCK, b"abc")
    assert isinstance(wire, bytes)
    length = int.from_bytes(wire[:4], "big")
    assert json.loads(wire[4 : 4 + length])["seq"] == 3 and wire[4 + length :] == b"abc"
    assert isinstance(encode(Notice(text="x")), str)


def test_fields_of_a_later_version_are_ignored_and_defaults_filled_in() -> None:
    message, _ = decode_from_client(header(type="hello", version=9, colour="green"))
    assert message == Hello(version=9, role="player", encodings=["jpeg"])


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        ("", "JSON"),
        ("[1]", "JSON object"),
        ('{"type": "hello", "version": NaN}', "NaN"),
        ("[" * 60_000, "JSON"),
        ('{"type": "ack", "seq": ' + "9" * 5000 + "}", "JSON"),
        ("{}", "one of hello"),
        (header(type=["hello"]), "one of hello"),
        (header(type="block"), "one of hello"),  # a message of the server
        (header(type="hello"), "'version'"),
        (header(type="hello", version="1"), "an integer"),
        (header(type="hello", version=True), "an integer"),
        (header(type="hello", version=1, role="root"), "one of player, viewer, agent"),
        (header(type="hello", version=1, encodings="jpeg"), "a list"),
        (header(type="hello", version=1, encodings=["x" * 101]), "at most 100 characters"),
        (header(type="ack", seq=2**53), "an integer"),
        (header(type="key", seq=1, key="d", down=1), "true or false"),
        (header(type="inspect", id=1, on=1), "true or false"),
        (header(type="inspect", id=1), "'on'"),
        (header(type="inspect", id="1", on=True), "an integer"),
        (header(type="strip", seq=1, info={}, strip={}), "one of hello"),
        (header(type="key", seq=1, key="d", down=True, time_ms=None), "a number"),
        (header(type="reset", id=1, options={"image": ["/etc/passwd"]}), "an object"),
        (header(type="set_prompt", id=1, text="x" * (MOST_PROMPT_CHARACTERS + 1)), "at most 2000 characters"),
        ('{"type": "set_prompt", "id": 1, "text": "\\ud800"}', "a text"),
        (header(type="notice", text="x" * 65_536), "at most 65536 bytes"),
        (b"", "header"),
        (b"\xff\xff\xff\xff{}", "4294967295 bytes, got 2"),
        (b"\x00\x00\x00\x01\xff", "JSON"),
        (encode(Ack(seq=1), b"body"), "no body"),
    ],
)
def test_what_breaks_the_protocol_is_refused_with_the_reason(wire: str | bytes, reason: str) -> None:
    with pytest.raises(ProtocolError, match=reason) as caught:
        decode_from_client(wire)
    assert len(str(caught.value)) < 400


def test_a_picture_travels_in_the_body_of_a_reset() -> None:
    wire = encode(Reset(id=1, options={"subject": "fox"}), b"\x89PNG")
    assert decode_from_client(wire) == (Reset(id=1, options={"subject": "fox"}), b"\x89PNG")


def test_values_that_json_lacks_are_not_sent() -> None:
    with pytest.raises(ValueError):
        encode(dataclasses.replace(BLOCK, due_ms=float("nan")), b"")


def test_another_kind_of_message_is_refused() -> None:
    assert protocol.expect(Ack(seq=1), Ack).seq == 1
    with pytest.raises(ProtocolError, match="expected a message 'hello', got 'ack'"):
        protocol.expect(Ack(seq=1), Hello)


def test_different_versions_say_which_side_to_update() -> None:
    assert protocol.version_problem(1, 1) == ""
    assert "update the client" in protocol.version_problem(1, 2)
    assert "update the server" in protocol.version_problem(2, 1)


@pytest.mark.parametrize("kind", [*FROM_CLIENT, *FROM_SERVER])
def test_the_page_of_the_protocol_names_every_message_and_field(kind: type[Message]) -> None:
    rows = [row for row in PAGE.splitlines() if row.startswith("|") and f"`{kind.type}`" in row.split("|")[1]]
    assert rows, kind.type
    for field in dataclasses.fields(kind):
        assert any(f"`{field.name}`" in row for row in rows), f"{kind.type}.{field.name}"


def test_every_message_of_a_module_is_registered_once() -> None:
    for module, registered in ((client_messages, FROM_CLIENT), (server_messages, FROM_SERVER)):
        named = [each for each in vars(module).values() if isinstance(each, type) and "type" in vars(each)]
        assert {*named} - {Message} == {*registered} and len({kind.type for kind in registered}) == len(registered)
    assert issubclass(Key, Message)
