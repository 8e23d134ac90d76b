"""A server's blocks as the stream of a session, without a window; test_window.py has one."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infrope_env.control.frames import valid_frames
from infrope_env.player.playback import ShownFrame
from infrope_env.player.stream import StreamError
from infrope_env.remote.client import CommandError
from infrope_env.remote.client_messages import Withdraw
from infrope_env.remote.stream import RemoteStream
from tests.remote.players import PATIENCE_S, SlowReader, fast_env
from tests.remote.served import serving


@pytest.fixture
def url(tiny_weights: Path) -> Iterator[str]:
    with serving(lambda: fast_env(tiny_weights)) as server:
        yield server.url


@pytest.fixture
def stream(url: str) -> Iterator[RemoteStream]:
    stream = RemoteStream(url, encodings=("raw",))
    yield stream
    stream.close()


def until_shown(stream: RemoteStream, wanted: Callable[[ShownFrame], object]) -> ShownFrame:
    end = time.monotonic() + PATIENCE_S
    while (frame := stream.frame_to_show()) is None or not wanted(frame):
        assert time.monotonic() < end and not stream.trouble, (frame, stream.trouble)
        time.sleep(0.005)
    return frame


def info_of(future: Future[Any]) -> dict[str, Any]:
    return dict(future.result(PATIENCE_S))


def test_a_seed_and_options_begin_a_world_with_the_pixels_of_a_local_one(
    stream: RemoteStream, tiny_weights: Path
) -> None:
    start = {"subject": "frog", "scene": "beach"}
    assert info_of(stream.start(7, dict(start)))["seed"] == 7
    frame = until_shown(stream, lambda frame: frame.block.info["seed"] == 7 and frame.block.info["block"] == 0)
    env = fast_env(tiny_weights)
    observation, info = env.reset(seed=7, options=start)
    assert frame.block.info == info and np.array_equal(frame.block.frames, valid_frames(observation, info))
    env.close()


def test_without_a_seed_or_options_the_world_of_the_server_goes_on(stream: RemoteStream) -> None:
    assert info_of(stream.start()) == {}
    until_shown(stream, lambda frame: frame.block.info["block"] >= 2)


def test_a_start_that_the_server_refuses_is_an_error_with_its_reason(stream: RemoteStream) -> None:
    with pytest.raises(CommandError, match="expected subject to be one of robot"):
        stream.start(7, {"subject": "dragon"}).result(PATIENCE_S)


def test_what_is_saved_is_restored_and_a_pause_holds_the_picture(stream: RemoteStream) -> None:
    saved = info_of(stream.save())
    until_shown(stream, lambda frame: frame.block.info["block"] > saved["block"] + 2)
    assert info_of(stream.restore())["block"] == saved["block"]
    stream.pause(True)
    until_shown(stream, lambda _: stream.paused)
    time.sleep(0.3)
    held = stream.frame_to_show()
    assert held is not None
    stream.single_step()
    until_shown(stream, lambda frame: frame.block.info["block"] > held.block.info["block"])


def test_a_prompt_that_is_not_wanted_any_more_is_taken_back(tiny_weights: Path) -> None:
    reader, prompt = SlowReader(tiny_weights), "a green frog waves hello in a dark cave"
    with serving(reader) as server:
        stream, wanted = RemoteStream(server.url, encodings=("raw",)), True
        until_shown(stream, lambda _: True)
        answer = stream.set_prompt(prompt, wanted=lambda: wanted)
        assert reader.reading.wait(PATIENCE_S)
        stream.frame_to_show()
        wanted = False
        stream.frame_to_show()
        stream.connection.request(Withdraw, command=12345).result(PATIENCE_S)  # those before it have been executed
        reader.go_on.set()
        answer.result(PATIENCE_S)
        first = until_shown(stream, lambda _: True).block.info["block"]
        frame = until_shown(stream, lambda frame: frame.block.info["block"] > first + 3)
        assert frame.block.info["prompt"] != prompt
        stream.close()


def test_a_viewer_sees_the_blocks_of_the_player(stream: RemoteStream, url: str) -> None:
    assert stream.connection.welcome is not None and stream.steers
    watching = RemoteStream(url.split("/?")[0] + stream.connection.welcome.viewer_path)
    info_of(stream.start(11))
    until_shown(watching, lambda frame: frame.block.info["seed"] == 11)
    assert not watching.steers
    with pytest.raises(CommandError):
        watching.new_world().result(PATIENCE_S)
    watching.close()


def test_a_block_that_cannot_be_decoded_is_a_notice_and_play_goes_on(
    stream: RemoteStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    until_shown(stream, lambda _: True)
    decode, broken = stream._decoder.decode, [True]

    def decode_all_but_one(encoding: str, body: bytes, *rest: Any) -> Any:
        return decode(encoding, body[1:] if broken and broken.pop() else body, *rest)

    monkeypatch.setattr(stream._decoder, "decode", decode_all_but_one)
    until_shown(stream, lambda _: stream.notice)
    assert stream.notice is not None and "could not be decoded" in stream.notice
    newest = stream.frame_to_show()
    assert newest is not None
    until_shown(stream, lambda frame: frame.block.info["block"] > newest.block.info["block"])


def test_a_stream_that_will_not_come_back_ends_the_session_with_the_reason(stream: RemoteStream) -> None:
    until_shown(stream, lambda _: True)
    stream.connection.close()
    with pytest.raises(StreamError, match="closed"):
        stream.frame_to_show()
