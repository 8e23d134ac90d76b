"""What blocks saw, on the network: sent and measured while a client asks, right after rewind and restore."""

import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from infrope_env.control.frames import valid_frames
from infrope_env.dynamics.attention_mass import AttentionProbe
from infrope_env.env import InfinityRopeEnv
from infrope_env.player.inspection import Cell, Inspection
from infrope_env.remote.client_errors import CommandError
from infrope_env.remote.client_messages import Inspect, Pause, Reset, Restore, Rewind, Save, Step
from infrope_env.remote.lobby import Capacity
from infrope_env.remote.protocol import ProtocolError, decode_from_server, encode
from infrope_env.remote.server import PlayServer
from infrope_env.remote.server_messages import Block, Strip
from infrope_env.remote.stream import RemoteStream
from infrope_env.remote.strips import decode_strip, encode_strip
from tests.remote.players import PATIENCE_S, Player, fast_env, playing
from tests.remote.served import serving
from tests.remote.strips import facts_of, laid_out

WALK = {"motion": "walk_right", "transition": "continue"}


@pytest.fixture
def server(tiny_weights: Path) -> Iterator[PlayServer]:
    with serving(lambda: fast_env(tiny_weights), capacity=Capacity(players=1, viewers=2, resume_s=2)) as running:
        yield running


def viewer_url(server: PlayServer, player: Player) -> str:
    assert player.connection.welcome is not None
    return server.url.partition("/?")[0] + player.connection.welcome.viewer_path


def environment(server: PlayServer) -> InfinityRopeEnv:
    assert server.lobby is not None and server.lobby.rollouts["1"].env is not None
    env = server.lobby.rollouts["1"].env.unwrapped
    assert isinstance(env, InfinityRopeEnv)
    return env


def is_measuring(server: PlayServer) -> bool:
    return environment(server)._rollout.context_hook is not None


def eventually_not_measuring(server: PlayServer) -> bool:
    end_s = time.monotonic() + PATIENCE_S
    while is_measuring(server) and time.monotonic() < end_s:
        time.sleep(0.02)
    return not is_measuring(server)


def until_measured(player: Player, **facts: Any) -> tuple[Block, bytes]:
    """Wait for a block with these facts whose attention was measured; return it and its body."""

    def find() -> tuple[Block, bytes] | None:
        return next(
            (
                (block, body)
                for block, body, _ in player.blocks
                if facts.items() <= block.info.items() and block.strip and block.strip["cells"][0]["mass"] is not None
            ),
            None,
        )

    return player.wait(find)


def mass(block: Block) -> float:
    assert block.strip is not None
    return sum(cell["mass"] or 0 for cell in block.strip["cells"])


def test_the_cells_of_a_walk_a_switch_and_a_cut_are_the_layout_of_each(server: PlayServer) -> None:
    with playing(server.url) as player:
        player.wait_for_blocks(1)
        player.ask(Inspect, on=True)
        player.key("right", True)
        until_measured(player, **WALK)
        player.answer_to(player.tap("space"))
        player.answer_to(player.tap("4"))
        player.wait_for_blocks(2)
        told = [block for block, *_ in player.blocks if block.strip is not None]
    assert {block.info["transition"] for block in told} == {"continue", "switch", "cut"}
    for block in told:
        assert block.strip is not None and facts_of(block.strip["cells"]) == laid_out(block.info)
    cut = next(block for block in told if block.info["transition"] == "cut")
    assert [cell["coordinate"] for cell in cut.strip["cells"]] == [0, None, 1, 45, 46, 47]  # type: ignore[index]
    assert all(mass(block) == pytest.approx(1, abs=1e-3) for block in told[1:])


def test_nothing_is_measured_or_sent_while_nobody_asks(server: PlayServer) -> None:
    with playing(server.url) as player:
        player.wait_for_blocks(3)
        assert not is_measuring(server) and environment(server).strip.mass == ()  # type: ignore[union-attr]
        player.ask(Inspect, on=True)
        asked, body = until_measured(player)
        assert is_measuring(server) and len(body) > sum(asked.sizes)
        player.ask(Inspect, on=False)
        player.wait_for_blocks(3)
        assert not is_measuring(server) and environment(server).strip.mass == ()  # type: ignore[union-attr]
        for block, body, _ in (player.blocks[0], player.blocks[-1]):
            assert block.strip is None and len(body) == sum(block.sizes)


def test_a_client_that_goes_asks_no_longer(server: PlayServer) -> None:
    with playing(server.url) as player:
        player.wait_for_blocks(1)
        with playing(viewer_url(server, player), role="viewer") as viewer:
            viewer.ask(Inspect, on=True)
            until_measured(viewer)
        assert eventually_not_measuring(server)
        player.ask(Inspect, on=True)
        assert is_measuring(server)
    assert eventually_not_measuring(server)  # the environment is free for the next player


def test_a_viewer_sees_the_sink_that_only_block_0_shows_and_the_player_gets_nothing(server: PlayServer) -> None:
    with playing(server.url) as player:
        player.wait_for_blocks(5)
        with playing(viewer_url(server, player), role="viewer") as viewer:
            viewer.ask(Inspect, on=True)
            block, body = until_measured(viewer)
        assert block.strip is not None
        seen = decode_strip(block.info, block.strip, body[sum(block.sizes) :])
        sink = next(index for index, (sent, *_) in enumerate(player.blocks) if sent.info["block"] == 0)
        assert difference(seen.thumbnails[0], player.frames(sink)[0]) < 12
        assert all(sent.strip is None for sent, *_ in player.blocks)


def difference(thumbnail: np.ndarray, pixels: np.ndarray) -> float:
    """Return the mean difference of squares of 8 pixels: a JPEG file does not keep the noise of random weights."""
    squares = [each.astype(float).reshape(4, 8, 6, 8, 3).mean((1, 3)) for each in (thumbnail, pixels)]
    return float(np.abs(squares[0] - squares[1]).mean())


def test_every_thumbnail_is_the_last_pixel_frame_of_its_latent_frame(server: PlayServer) -> None:
    with playing(server.url) as player:
        player.wait_for_blocks(1)
        player.ask(Inspect, on=True)
        block, body = until_measured(player)
        frames = {
            3 * sent.info["block"] + frame: player.frames(index)[4 * frame - 9]
            for index, (sent, *_) in enumerate(player.blocks)
            for frame in range(3)
        }
    assert block.strip is not None
    seen = decode_strip(block.info, block.strip, body[sum(block.sizes) :])
    assert set(seen.thumbnails) == {cell.frame for cell in seen.cells}
    assert max(difference(picture, frames[frame]) for frame, picture in seen.thumbnails.items()) < 12


def test_a_block_that_was_sent_before_is_told_at_once_also_during_a_pause(server: PlayServer) -> None:
    with playing(server.url) as player:
        player.wait_for_blocks(2)
        player.ask(Pause, paused=True)
        time.sleep(0.3)
        newest = player.blocks[-1][0]
        player.ask(Inspect, on=True)
        told = player.wait(lambda: player.newest(Strip))
        assert (told.seq, told.info) == (newest.seq, newest.info)
        assert facts_of(told.strip["cells"]) == laid_out(newest.info)
        assert {cell["mass"] for cell in told.strip["cells"]} == {None}


def strips_by_block(player: Player) -> dict[int, list[Any]]:
    """Return every strip that was sent of each block, oldest first."""
    sent: dict[int, list[Any]] = {}
    for block, body, _ in player.blocks:
        if block.strip is not None:
            sent.setdefault(block.info["block"], []).append((block.strip, body[sum(block.sizes) :]))
    return sent


@pytest.mark.parametrize("back", ["restore", "rewind"])
def test_going_back_shows_what_the_block_saw_when_it_was_made(server: PlayServer, back: str) -> None:
    with playing(server.url) as player:
        player.wait_for_blocks(1)
        player.ask(Inspect, on=True)
        until_measured(player)
        player.wait_for_blocks(2)
        player.answer_to(player.tap("4"))
        if back == "restore":
            player.ask(Save)
            player.wait_for_blocks(2)
        info = player.ask({"restore": Restore, "rewind": Rewind}[back]).info
        again = player.wait(lambda: next((b for b, *_ in player.blocks if b.immediate and b.seq > 1), None))
        assert again.info["block"] == info["block"]
        player.wait_for_blocks(2)
        first, second = strips_by_block(player)[info["block"]][:2]
        assert first == second and first[0]["cells"][0]["mass"] is not None
        following = next(b for b, *_ in player.blocks if b.seq == again.seq + 1)
        assert following.strip is not None and facts_of(following.strip["cells"]) == laid_out(following.info)
        assert following.strip["thumbnails"] == [cell["frame"] for cell in following.strip["cells"]]


def test_a_viewer_of_an_agent_sees_what_its_blocks_saw_and_the_agent_has_no_such_command(server: PlayServer) -> None:
    with playing(server.url, role="agent") as agent:
        agent.ask(Reset, seed=3)
        with pytest.raises(CommandError, match="an agent has no command 'inspect'"):
            agent.ask(Inspect, on=True)
        with playing(viewer_url(server, agent), role="viewer") as viewer:
            viewer.ask(Inspect, on=True)
            for action in (0, 2, 9):
                agent.ask(Step, action=action)
            block, _ = until_measured(viewer, block=3)
            assert block.info["transition"] == "cut" and block.strip is not None
            assert facts_of(block.strip["cells"]) == laid_out(block.info)
            assert block.strip["thumbnails"] == [0, 7, 8, 9, 10, 11]
            state = agent.ask(Save).handle
            agent.ask(Step, action=0)
            agent.ask(Restore, handle=state)
            again = viewer.wait(lambda: [b for b, *_ in viewer.blocks if b.info["block"] == 3][1:])[0]
            assert again.strip == block.strip
        assert isinstance(environment(server)._rollout.context_hook, AttentionProbe)
        agent.ask(Step, action=0)
        assert not is_measuring(server)


def test_where_attention_is_not_measured_the_frames_are_told_nevertheless(
    tiny_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(InfinityRopeEnv, "measure_attention", refuse)
    with serving(lambda: fast_env(tiny_weights)) as server, playing(server.url) as player:
        player.wait_for_blocks(1)
        with pytest.raises(CommandError, match="neither in compiled layers"):
            player.ask(Inspect, on=True)
        block = player.wait(lambda: next((b for b, *_ in player.blocks if b.strip is not None), None))
        assert facts_of(block.strip["cells"]) == laid_out(block.info)
        assert {cell["mass"] for cell in block.strip["cells"]} == {None}


def refuse(self: InfinityRopeEnv, on: bool) -> None:
    if on:
        raise ValueError("attention is measured neither in compiled layers nor in 8-bit numbers")


def test_an_environment_that_does_not_tell_has_no_such_command(
    tiny_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(InfinityRopeEnv, "measure_attention")
    with serving(lambda: fast_env(tiny_weights)) as server:
        stream = RemoteStream(server.url, encodings=("raw",))
        welcome = stream.connection.welcome
        assert welcome is not None and "inspector" not in {command["name"] for command in welcome.commands}
        with pytest.raises(ValueError, match="does not tell"):
            stream.inspect(True).result(PATIENCE_S)
        with pytest.raises(CommandError, match="does not tell"):
            stream.connection.request(Inspect, on=True).result(PATIENCE_S)
        stream.close()


def test_many_questions_at_once_are_refused_not_queued(server: PlayServer) -> None:
    with playing(server.url) as player:
        player.wait_for_blocks(1)
        answers = [player.connection.request(Inspect, on=number % 2 == 0) for number in range(60)]
        errors = [answer.exception(PATIENCE_S) for answer in answers]
        assert errors[0] is None and any("at most 8 commands at a time" in str(error) for error in errors)
        player.ask(Inspect, on=True)
        until_measured(player)


def until_inspected(stream: RemoteStream, **facts: Any) -> Inspection:
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s:
        frame = stream.frame_to_show()
        seen = None if frame is None else stream.inspection_of(frame.block)
        if frame is not None and facts.items() <= frame.block.info.items() and seen is not None and seen.is_measured:
            return seen
        time.sleep(0.005)
    raise AssertionError(f"no measured block with {facts}")


def test_the_stream_of_a_window_has_the_inspection_of_a_local_one(server: PlayServer, tiny_weights: Path) -> None:
    stream = RemoteStream(server.url, encodings=("raw",))
    stream.inspect(True).result(PATIENCE_S)
    seed = stream.start(7).result(PATIENCE_S)["seed"]
    seen = until_inspected(stream, seed=seed, block=2)
    stream.close()
    local = fast_env(tiny_weights)
    env = local.unwrapped
    assert isinstance(env, InfinityRopeEnv)
    env.measure_attention(True)
    expected = None
    for step in range(3):
        observation = local.reset(seed=7)[0] if not step else local.step(0)[0]
        assert env.strip is not None
        expected = Inspection.of(env.strip, observation, expected)
    local.close()
    assert expected is not None and (seen.block, seen.transition) == (2, "continue")
    for here, there in zip(seen.cells, expected.cells, strict=True):
        assert here.mass == pytest.approx(there.mass, abs=1e-4) and facts_of((here,)) == facts_of((there,))
    assert max(difference(seen.thumbnails[cell.frame], expected.thumbnails[cell.frame]) for cell in seen.cells) < 12


def test_the_stream_asks_again_when_the_connection_is_back(server: PlayServer) -> None:
    stream = RemoteStream(server.url, encodings=("raw",))
    stream.inspect(True).result(PATIENCE_S)
    until_inspected(stream)
    before = stream.frame_to_show()
    assert before is not None
    stream.connection.drop()
    end_s = time.monotonic() + PATIENCE_S
    while not (stream.connection.is_connected and stream.connection.welcome.resumed):  # type: ignore[union-attr]
        assert time.monotonic() < end_s
        time.sleep(0.01)
    until_inspected(stream, block=before.block.info["block"] + 3)
    stream.close()


INSPECTION = Inspection(
    4,
    "cut",
    (
        Cell(0, "sink", 0, 0.25),
        Cell(-2, "memory", 1, 0.25),
        Cell(11, "dropped"),
        Cell(12, "block", 45, 0.5, True),
    ),
    {frame: np.full((32, 48, 3), 10 * frame, np.uint8) for frame in (0, 11, 12)},
)
INFO = {"block": 4, "transition": "cut"}


def test_a_strip_arrives_as_it_was_sent() -> None:
    sent = encode_strip(INSPECTION)
    message = Strip(seq=3, info=INFO, strip=sent.fields)
    assert decode_from_server(encode(message, sent.picture)) == (message, sent.picture)
    seen = decode_strip(INFO, sent.fields, sent.picture)
    assert (seen.block, seen.transition, seen.cells) == (4, "cut", INSPECTION.cells)
    assert sent.fields["thumbnails"] == [0, 11, 12] == list(seen.thumbnails)  # a memory token has no picture
    assert all(difference(seen.thumbnails[frame], INSPECTION.thumbnails[frame]) < 2 for frame in (0, 11, 12))


@pytest.mark.parametrize(
    ("cell", "value"),
    [("frame", "0"), ("kind", "root"), ("coordinate", 1.5), ("mass", "1"), ("jump", 1), ("frame", None)],
)
def test_a_strip_of_wrong_values_is_refused(cell: str, value: object) -> None:
    fields = encode_strip(INSPECTION).fields
    wrong: Any = {**fields, "cells": [{**fields["cells"][0], cell: value}]}
    with pytest.raises(ProtocolError, match="expected 'strip' of 'strip' to be an object with cells"):
        decode_from_server(encode(Strip(seq=3, info=INFO, strip=wrong), b""))
    with pytest.raises(ProtocolError, match="an object with cells"):
        decode_from_server(encode(Strip(seq=3, info=INFO, strip={"cells": []}), b""))  # type: ignore[typeddict-item]


def test_a_picture_that_does_not_fit_its_strip_is_refused() -> None:
    fields = encode_strip(INSPECTION).fields
    file = io.BytesIO()
    Image.new("RGB", (2, 32)).save(file, "JPEG")
    with pytest.raises(ValueError, match="a picture of 3 thumbnails"):
        decode_strip(INFO, fields, file.getvalue())
    with pytest.raises(ValueError, match="have its picture"):
        decode_strip(INFO, {**fields, "thumbnails": []}, b"")
    with pytest.raises(OSError):
        decode_strip(INFO, fields, b"no picture")


def test_the_valid_frames_of_block_0_have_thumbnails_too(tiny_weights: Path) -> None:
    env = fast_env(tiny_weights).unwrapped
    assert isinstance(env, InfinityRopeEnv)
    observation, info = env.reset(seed=1)
    assert env.strip is not None
    seen = Inspection.of(env.strip, observation, None)
    assert [cell.frame for cell in seen.cells] == [0, 1, 2]
    assert (seen.thumbnails[0] == valid_frames(observation, info)[0]).all()
