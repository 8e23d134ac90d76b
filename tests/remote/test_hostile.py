"""Hostile clients of a real server in a process of its own: refused in a sentence; the player does not notice."""

import contextlib
import io
import json
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from infrope_env.remote.client_errors import CommandError
from infrope_env.remote.client_messages import FROM_CLIENT, Ack, Hello, NewWorld, Pong, Reset
from infrope_env.remote.limits import MOST_PENDING
from infrope_env.remote.metrics import REFUSALS
from infrope_env.remote.protocol import MOST_MESSAGE_BYTES, VERSION, encode
from tests.remote.players import PATIENCE_S, Player, playing
from tests.remote.served import TOKEN

MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def process(tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    """A server of the tiny model, with two places to play; its `args` end with its URL and its recordings."""
    folder = tmp_path_factory.mktemp("recordings")
    command = [sys.executable, "-m", "infrope_env.cli", "serve", "--port", "0", "--token", TOKEN, "--players", "2"]
    command += ["--weights", str(tiny_weights), "--device", "cpu", "--record", str(folder)]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    lines = [running.stdout.readline() for _ in range(2)]
    assert lines[1].startswith("Play at http://127.0.0.1:"), lines
    running.args = [*command, lines[1].split()[-1], str(folder)]
    yield running
    if running.poll() is None:
        running.send_signal(signal.SIGTERM)
        running.wait(30)


@pytest.fixture(scope="module")
def url(process: subprocess.Popen[str]) -> str:
    assert isinstance(process.args, list)
    return str(process.args[-2])


@pytest.fixture(scope="module", autouse=True)
def player(url: str) -> Iterator[Player]:
    """A player who plays all the time, and in the end has lost nothing."""
    with playing(url) as someone:
        someone.wait_for_blocks(3)
        yield someone
    numbers = [block.seq for block, *_ in someone.blocks]
    assert numbers == list(range(1, len(numbers) + 1))
    assert all(block.dropped == 0 for block, *_ in someone.blocks)
    assert {block.info["seed"] for block, *_ in someone.blocks} == {someone.blocks[0][0].info["seed"]}


def socket_url(url: str, query: str = f"token={TOKEN}") -> str:
    return f"ws://{urlsplit(url).netloc}/ws?{query}"


@contextlib.contextmanager
def raw_socket(url: str, hello: bool = True, **options: object) -> Iterator[ClientConnection]:
    """Open a WebSocket and, as a viewer, say hello."""
    with connect(socket_url(url), compression=None, max_size=None, **options) as client:  # type: ignore[arg-type]
        if hello:
            client.send(encode(Hello(version=VERSION, role="viewer", encodings=["jpeg"])))
            assert json.loads(client.recv(10))["type"] == "welcome"
        yield client


def last_words(client: ClientConnection) -> tuple[dict[str, object], str]:
    """Return the last error message, and the reason of the close frame."""
    error: dict[str, object] = {}
    try:
        while True:
            wire = client.recv(15)
            if isinstance(wire, str) and json.loads(wire)["type"] == "error":
                error = json.loads(wire)
    except ConnectionClosed as closed:
        return error, closed.rcvd.reason if closed.rcvd else ""


def memory_mb(process: subprocess.Popen[str]) -> float:
    """Return the resident memory of the server."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return next(float(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")) / 1000


def read(url: str, path: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
    """Return status and text of a page."""
    request = urllib.request.Request(f"http://{urlsplit(url).netloc}{path}", headers=headers or {})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.parametrize("path", ["/", "/check", "/metrics", "/clip.mp4", "/recording.mp4"])
def test_without_the_token_nothing_is_shown(url: str, path: str) -> None:
    for query, sentence in (("", "Expected the token"), ("?token=guess", "not the token of this server")):
        status, text = read(url, path + query)
        assert status == 403 and sentence in text
    assert read(url, "/check", {"Authorization": f"Bearer {TOKEN}"}) == (200, f'{{"version":{VERSION}}}')


def test_the_page_may_load_nothing_from_elsewhere_and_tells_nobody_its_address(url: str) -> None:
    with urllib.request.urlopen(url) as answer:
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Referrer-Policy"] == "no-referrer" and answer.headers["Cache-Control"] == "no-store"
        assert b"<canvas" in answer.read()


@pytest.mark.parametrize(
    ("query", "origin", "sentence"),
    [
        ("", None, "Expected the token"),
        ("token=guess", None, "not the token"),
        (f"token={TOKEN}", "https://evil.example", "Pages of 'https://evil.example' may not connect"),
        (f"token={TOKEN}", "null", "may not connect"),
    ],
)
def test_a_socket_without_token_or_of_another_page_is_refused(
    url: str, query: str, origin: str | None, sentence: str
) -> None:
    with pytest.raises(InvalidStatus) as error, connect(socket_url(url, query), origin=origin):  # type: ignore[arg-type]
        pass
    assert error.value.response.status_code == 403
    assert sentence in (error.value.response.body or b"").decode()


def test_the_page_of_the_server_itself_may_connect(url: str) -> None:
    with raw_socket(url, origin=f"http://{urlsplit(url).netloc}"):
        pass


@pytest.mark.parametrize(
    "path", ["/page/../server.py", "/page/..%2fserver.py", "/page/%2e%2e/server.py", "/page//etc/passwd", "/etc/passwd"]
)
def test_no_path_leads_out_of_the_page(url: str, path: str) -> None:
    with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port)) as raw:
        raw.sendall(f"GET {path}?token={TOKEN} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: raw.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 404") and b"import" not in answer


def test_a_message_of_a_hundred_megabytes_is_refused_and_leaves_no_memory(
    url: str, process: subprocess.Popen[str]
) -> None:
    before = memory_mb(process)
    with raw_socket(url) as client:
        with contextlib.suppress(ConnectionClosed, OSError):
            client.send(b"\0" * 100 * MEGABYTE)
        _, reason = last_words(client)
    assert "exceeds limit" in reason and str(MOST_MESSAGE_BYTES) in reason
    assert eventually(lambda: memory_mb(process) < before + 40)


def test_a_thousand_messages_a_second_are_refused(url: str) -> None:
    with raw_socket(url) as client:
        with contextlib.suppress(ConnectionClosed):
            for _ in range(100_000):  # until it is refused
                client.send(encode(Pong(time_ms=1.0)))
        error, reason = last_words(client)
    assert error["code"] == "limit" and "at most 100 messages a second" in str(error["text"])
    assert reason.startswith("The server closes the connection")


def open_files(process: subprocess.Popen[str]) -> int:
    """Return the number of files and connections that the server has open."""
    return len(list(Path(f"/proc/{process.pid}/fd").iterdir()))


def eventually(condition: Callable[[], bool]) -> bool:
    """Return whether something becomes true before the patience ends."""
    end_s = time.monotonic() + PATIENCE_S
    while not condition() and time.monotonic() < end_s:
        time.sleep(0.05)
    return condition()


def test_five_hundred_idle_connections_keep_nobody_out(url: str, process: subprocess.Popen[str]) -> None:
    address = (urlsplit(url).hostname, urlsplit(url).port)
    files, memory = open_files(process), memory_mb(process)
    with contextlib.ExitStack() as idle:
        for i in range(500):
            client = idle.enter_context(socket.create_connection(address))
            if i % 2:
                client.sendall(b"GET /ws HTTP/1.1\r\nHost: x\r\nX-Slow: ")  # half a request
        with raw_socket(url):
            assert eventually(lambda: open_files(process) <= files + MOST_PENDING + 2)
    with raw_socket(url):
        pass
    assert eventually(lambda: memory_mb(process) < memory + 20)


def test_a_socket_that_says_no_hello_is_closed(url: str) -> None:
    with raw_socket(url, hello=False) as client:
        error, _ = last_words(client)
    assert error["text"] == "Expected a hello within 5 seconds."


@pytest.mark.parametrize(
    ("wire", "sentence"),
    [
        ("{", "expected the header to be JSON"),
        (b"\xff\xff\xff\xffxx", "expected a header of 4294967295 bytes"),
        ('{"type": "exec"}', "expected the type of a message to be one of"),
        ('{"type": "ack", "seq": "1"}', "expected 'seq' of 'ack' to be an integer"),
        ('{"type": "inspect", "id": 1, "on": [true]}', "expected 'on' of 'inspect' to be true or false"),
        ("[" * 50_000, "expected the header to be JSON"),
        (encode(Hello(version=VERSION)), "expected one hello"),
        (encode(Ack(seq=1), b"x" * 1000), "expected no body"),
    ],
)
def test_a_malformed_message_ends_the_connection_with_the_reason(url: str, wire: str | bytes, sentence: str) -> None:
    with raw_socket(url) as client:
        client.send(wire)
        error, reason = last_words(client)
    assert error["code"] == "malformed" and sentence in str(error["text"]) and not error["retry"]
    assert str(error["text"]).startswith(reason[:60])


def test_malformed_http_is_refused(url: str) -> None:
    for request in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20, b"GET / HTTP/1.1\r\nX: " + b"a" * 200_000):
        with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port)) as raw:
            raw.settimeout(PATIENCE_S)
            with contextlib.suppress(OSError):  # it may be closed before everything is sent
                raw.sendall(request)
            assert raw.recv(100).startswith(b"HTTP/1.1 400")


def test_another_version_says_which_side_to_update(url: str) -> None:
    before = refused(url)["version"]
    with raw_socket(url, hello=False) as client:
        client.send(encode(Hello(version=VERSION + 1)))
        error, _ = last_words(client)
    assert error["code"] == "version" and "update the server" in str(error["text"])
    assert refused(url)["version"] == before + 1


def picture_bomb(side: int) -> bytes:
    """Return a PNG of a few kilobytes that has side x side pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"\0" * (1 + 3 * side) * min(side, 50), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_a_picture_bomb_is_refused_before_it_is_decoded(url: str, process: subprocess.Popen[str]) -> None:
    with playing(url) as other:
        other.wait(lambda: other.connection.seat == "player")  # the place of the test before is free
        other.wait(lambda: any(block.info["block"] == 0 for block, *_ in other.blocks))
        before = memory_mb(process)
        for side in (5_000, 60_000):
            with pytest.raises(CommandError, match=r"at most \d+ million pixels"):
                other.ask(Reset, picture_bomb(side))
        with pytest.raises(CommandError, match="at most 20 times as long as wide"):
            other.ask(Reset, png(3000, 10))
        with pytest.raises(CommandError, match="3 bytes for each"):
            other.ask(Reset, b"abc", raw_picture=[40_000, 40_000])
        with pytest.raises(CommandError, match="truncated or damaged"):
            other.ask(Reset, png(64, 64)[:60])
        assert eventually(lambda: memory_mb(process) < before + 60)


def png(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height)).save(file, "PNG")
    return file.getvalue()


def test_no_text_of_a_client_is_a_path_or_a_name_of_weights(url: str) -> None:
    with playing(url) as other:
        other.wait(lambda: other.connection.seat == "player")  # the place of the test before is free
        other.wait(lambda: any(block.info["block"] == 0 for block, *_ in other.blocks))
        for name in ("image", "weights", "actions", "reward"):
            with pytest.raises(CommandError, match="expected reset options to be among"):
                other.ask(Reset, options={name: "/etc/passwd"})
    names = {field for kind in FROM_CLIENT for field in kind.__dataclass_fields__}
    assert not names & {"path", "file", "weights", "env", "actions", "folder", "module"}


def test_many_commands_at_once_are_refused_not_queued(url: str) -> None:
    with playing(url) as other:
        other.wait(lambda: other.connection.seat == "player")  # the place of the test before is free
        other.wait(lambda: any(block.info["block"] == 0 for block, *_ in other.blocks))
        answers = [other.connection.request(NewWorld) for _ in range(60)]
        errors = [answer.exception(PATIENCE_S) for answer in answers]
        assert errors[0] is None and any("at most 8 commands at a time" in str(error) for error in errors)


def inter_arrival_s(player: Player, blocks: int) -> float:
    """Return the median time between two blocks from now on."""
    first = len(player.blocks)
    player.wait_for_blocks(blocks)
    return float(np.median(np.diff([time_s for *_, time_s in player.blocks[first:]])))


def test_a_flood_does_not_slow_the_player_down(url: str, player: Player) -> None:
    alone_s = inter_arrival_s(player, 6)
    stop = threading.Event()
    flood = threading.Thread(target=flood_until, args=(url, stop))
    flood.start()
    try:
        flooded_s = inter_arrival_s(player, 6)
    finally:
        stop.set()
        flood.join(20)
    assert flooded_s < 1.5 * alone_s


def flood_until(url: str, stop: threading.Event) -> None:
    """Send 1,000 messages a second, and open a connection for every hundred."""
    while not stop.is_set():
        with contextlib.suppress(ConnectionClosed, OSError, InvalidStatus), raw_socket(url) as client:
            for _ in range(100):
                client.send(encode(Pong(time_ms=1.0)))
                time.sleep(0.001)
        with contextlib.suppress(OSError):
            socket.create_connection((urlsplit(url).hostname, urlsplit(url).port)).close()


def refused(url: str) -> dict[str, int]:
    """Return the number of refused connections by reason."""
    lines = [line for line in read(url, f"/metrics?token={TOKEN}")[1].splitlines() if "refused_total{" in line]
    return {line.split('"')[1]: int(line.split()[-1]) for line in lines}


def test_metrics_count_who_was_refused(url: str) -> None:
    before = refused(url)
    read(url, "/?token=guess")
    assert refused(url)["access"] == before["access"] + 1
    assert refused(url).keys() == {*REFUSALS}


def test_when_it_is_terminated_everybody_knows_and_recordings_are_closed(
    process: subprocess.Popen[str], player: Player
) -> None:
    """The last test of the file: it ends the server."""
    assert player.losses == [] and isinstance(process.args, list)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert player.wait(lambda: player.losses)[0] == "The server has stopped."
    episodes = sorted(Path(str(process.args[-1])).iterdir())
    closed = [json.loads((folder / "meta.json").read_text())["closed"]["blocks"] for folder in episodes]
    lines = [len((folder / "blocks.jsonl").read_text().splitlines()) for folder in episodes]
    assert closed == lines and max(lines) >= player.blocks[-1][0].info["block"] + 1
