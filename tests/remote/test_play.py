"""Live play on a server: keys and their answers, commands, viewers, the queue, videos and metrics."""

import io
import logging
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from infrope_env.control.frames import valid_frames
from infrope_env.recording.wrapper import RecordRollout
from infrope_env.remote.client_errors import CommandError, RemoteError
from infrope_env.remote.client_messages import (
    Leave,
    NewWorld,
    Pause,
    ReleaseAll,
    Reset,
    Restore,
    Save,
    SetPrompt,
    Shown,
    SingleStep,
    Step,
    Withdraw,
)
from infrope_env.remote.frame_encoding import encode_frames
from infrope_env.remote.live_play import LivePlay
from infrope_env.remote.lobby import Capacity
from infrope_env.remote.protocol import MOST_PICTURE_BYTES
from infrope_env.remote.server import PlayServer
from tests.remote.network import Proxy, port_of, proxy_to, through
from tests.remote.players import PATIENCE_S, Player, SlowReader, fast_env, playing
from tests.remote.served import serving

PROMPT = "a green frog waves hello in a dark cave"


@pytest.fixture
def server(tiny_weights: Path) -> Iterator[PlayServer]:
    with serving(lambda: fast_env(tiny_weights), capacity=Capacity(players=1, viewers=2, resume_s=0.5)) as running:
        yield running


def viewer_url(server: PlayServer, player: Player) -> str:
    assert player.connection.welcome is not None
    return server.url.partition("/?")[0] + player.connection.welcome.viewer_path


def read(server: PlayServer, path: str) -> bytes:
    base, _, query = server.url.partition("?")
    joined = f"{base}{path}{'&' if '?' in path else '?'}{query}"
    with urllib.request.urlopen(joined) as answer:
        return answer.read()


def test_a_key_is_answered_by_the_block_that_is_made_after_it(server: PlayServer) -> None:
    with playing(server.url) as player:
        player.wait_for_blocks(2)
        walk = player.answer_to(player.key("right", True))
        assert walk.info["motion"] == "walk_right" and walk.info["transition"] == "switch"
        jump = player.answer_to(player.tap("space"))
        assert [each["name"] for each in jump.answers] == ["jump"] and jump.info["motion"] == "jump"
        later = lambda b: b.seq > jump.seq and b.info["motion"] != "jump"  # noqa: E731
        after = player.wait(lambda: next((b for b, *_ in player.blocks if later(b)), None))
        assert after.info["motion"] == "walk_right" and after.answers == []  # the held key applies again
        cut = player.answer_to(player.tap("action:cut_cave"))  # an on-screen button
        assert cut.info["scene"] == "cave" and cut.info["transition"] == "cut"
        player.connection.send(ReleaseAll(seq=player._seq + 1))
        player.wait(lambda: player.blocks[-1][0].info["motion"] == "stand")
        numbers = [block.seq for block, *_ in player.blocks]
        assert numbers == list(range(1, len(numbers) + 1))


def test_keys_without_a_binding_are_not_kept(server: PlayServer) -> None:
    with playing(server.url) as player:
        player.wait_for_blocks(1)
        for i in range(50):
            player.key(f"no-such-key-{i}", True)
        jump = player.answer_to(player.tap("space"))
        assert jump.info["motion"] == "jump"
        assert server.lobby is not None
        play = server.lobby.rollouts["1"].play
        assert isinstance(play, LivePlay)
        player.wait(lambda: not play._keyboard._held)  # the release of the last key may come after its answer


def test_key_events_that_came_already_are_ignored(server: PlayServer) -> None:
    with playing(server.url) as player:
        player.wait_for_blocks(1)
        player.answer_to(player.tap("space"))
        newest, player._seq = player._seq, 0
        player.key("right", True)
        player._seq = newest
        player.answer_to(player.tap("space"))  # the server has read what was sent before
        assert {block.info["motion"] for block, *_ in player.blocks} <= {"stand", "jump"}


def test_blocks_are_those_of_the_environment(server: PlayServer, tiny_weights: Path) -> None:
    local = fast_env(tiny_weights)
    observation, info = local.reset(seed=11, options={"subject": "fox"})
    expected = [valid_frames(observation, info)]
    for _ in range(3):
        observation, *_, info = local.step(0)
        expected.append(valid_frames(observation, info))
    with playing(server.url) as player:
        player.wait_for_blocks(1)
        player.ask(Reset, seed=11, options={"subject": "fox"})
        start = player.wait(lambda: next((i for i, (b, *_) in enumerate(player.blocks) if b.info["seed"] == 11), None))
        player.wait(lambda: len(player.blocks) >= start + 4)
        assert player.blocks[start][0].immediate and not player.blocks[start + 1][0].immediate
        for i, frames in enumerate(expected):
            assert (player.frames(start + i) == frames).all()


def test_every_encoding_shows_the_same_block(server: PlayServer) -> None:
    with playing(server.url) as player:
        watched = viewer_url(server, player)
        with (
            playing(watched, role="viewer", encodings=("h264",)) as first,
            playing(watched, role="viewer", encodings=("nonsense", "jpeg")) as second,
        ):
            clients = (player, first, second)

            def seqs_of_all() -> set[int]:
                return set.intersection(*({block.seq for block, *_ in each.blocks} for each in clients))

            seq = max(player.wait(seqs_of_all))
            received = [{block.seq: body for block, body, _ in each.blocks} for each in clients]
            frames = player.frames(next(i for i, (block, *_) in enumerate(player.blocks) if block.seq == seq))
            for encoding, bodies in zip(("raw", "h264", "jpeg"), received, strict=True):
                assert b"".join(encode_frames(frames, encoding, 160)) == bodies[seq]
            assert all(sum(block.sizes) == len(body) for block, body, _ in first.blocks)
            assert first.connection.welcome.codec.startswith("avc1.")  # type: ignore[union-attr]
        assert all(block.answers == [] for block, *_ in first.blocks)


def test_a_viewer_cannot_steer(server: PlayServer) -> None:
    with playing(server.url) as player:
        link = viewer_url(server, player)
        with playing(link, role="viewer") as viewer:
            viewer.key("right", True)
            with pytest.raises(CommandError, match="Only the player can do that"):
                viewer.ask(SetPrompt, text=PROMPT)
            viewer.wait_for_blocks(4)
            assert all(block.info["motion"] == "stand" for block, *_ in viewer.blocks)
            player.wait(lambda: player.state.viewers == 1)
        player.wait(lambda: player.state.viewers == 0)
        with pytest.raises(RemoteError, match="link is for viewers"):
            Player(link, role="player").open()


def test_a_newcomer_sees_the_newest_block_at_once_even_during_a_pause(server: PlayServer) -> None:
    with playing(server.url) as player:
        player.wait_for_blocks(2)
        player.ask(Pause, paused=True)
        with playing(viewer_url(server, player), role="viewer") as viewer:
            viewer.wait_for_blocks(1)
            assert viewer.blocks[0][0].immediate and viewer.blocks[0][0].seq >= player.blocks[-1][0].seq
            assert viewer.state.paused


def test_a_pause_holds_the_rollout_and_a_single_step_shows_one_block(server: PlayServer) -> None:
    with playing(server.url) as player:
        player.wait_for_blocks(2)
        player.ask(Pause, paused=True)
        for _ in range(3):
            before = sent(server)
            player.wait(lambda before=before: player.blocks[-1][0].seq == before)
            player.ask(SingleStep)
            player.wait_for_blocks(1)
            time.sleep(0.4)  # five blocks' time
            assert sent(server) == before + 1
        player.ask(Pause, paused=False)
        player.wait_for_blocks(3)


def sent(server: PlayServer) -> int:
    """Return the number of the newest block that the first rollout has sent."""
    assert server.lobby is not None
    return server.lobby.rollouts["1"].feed._seq


def test_commands_answer_with_the_result_or_the_reason(server: PlayServer) -> None:
    with playing(server.url) as player:
        player.wait_for_blocks(1)
        with pytest.raises(CommandError, match="nothing to restore yet"):
            player.ask(Restore)
        saved = player.ask(Save).info["block"]
        assert player.wait(lambda: player.state.saved == saved)
        player.ask(SetPrompt, text=PROMPT, cut=True)
        shown = player.wait(lambda: next((b for b, *_ in player.blocks if b.info["prompt"] == PROMPT), None))
        assert shown.info["transition"] == "cut" and shown.info["free_prompt"]
        with pytest.raises(CommandError, match="xyzzy"):
            player.ask(SetPrompt, text="xyzzy")
        assert player.ask(Restore).info["block"] == saved
        assert player.ask(NewWorld).info["block"] == 0
        with pytest.raises(CommandError, match="expected subject to be one of"):
            player.ask(Reset, options={"subject": "dragon"})
        with pytest.raises(CommandError, match="no command 'step'"):
            player.ask(Step, action=1)
        with pytest.raises(CommandError, match="has no encoder"):
            player.ask(Reset, png(40, 30))
        with pytest.raises(CommandError, match="no picture that can be read"):
            player.ask(Reset, b"no picture")


def png(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height)).save(file, "PNG")
    return file.getvalue()


def test_a_player_without_a_place_queues_watches_and_gets_it(server: PlayServer) -> None:
    with playing(server.url) as first:
        first.wait_for_blocks(1)
        second, third = Player(server.url), Player(server.url)
        welcome = second.open()
        assert (welcome.seat, welcome.place) == ("queued", 1) and third.open().place == 2
        second.wait_for_blocks(2)  # it watches meanwhile
    second.wait(lambda: second.connection.seat == "player")
    assert third.wait(lambda: third.seats) == [("queued", 1)]
    second.wait(lambda: any(b.info["block"] == 0 and b.immediate for b, *_ in second.blocks))
    assert second.answer_to(second.tap("space")).info["motion"] == "jump"
    second.connection.close()
    third.wait(lambda: third.connection.seat == "player")
    third.connection.close()


def test_a_prompt_that_is_still_being_read_is_taken_back(tiny_weights: Path) -> None:
    reader = SlowReader(tiny_weights)
    with serving(reader) as server, playing(server.url) as player:
        player.wait_for_blocks(1)
        answers = [player.connection.request(SetPrompt, text=PROMPT, cut=True) for _ in range(2)]
        assert reader.reading.wait(PATIENCE_S)
        player.connection.withdraw(answers[0])
        player.connection.withdraw(answers[1])
        assert player.ask(Withdraw, command=12345).error == ""  # those before it have been executed, too
        reader.go_on.set()
        assert [answer.result(PATIENCE_S)[0].error for answer in answers] == ["", ""]
        player.connection.withdraw(answers[0])  # too late: nothing happens
        player.wait_for_blocks(4)
        assert PROMPT not in {block.info["prompt"] for block, *_ in player.blocks}
        player.ask(SetPrompt, text=PROMPT)
        player.wait(lambda: player.blocks[-1][0].info["prompt"] == PROMPT)


def leave_for_good(player: Player, proxy: Proxy) -> None:
    """Say goodbye as a page does that goes, and do not come back."""
    proxy.is_open = False
    player.connection.send(Leave(may_return=True))
    player.wait(lambda: player.losses)


@pytest.mark.parametrize("waits", [True, False])
def test_the_seat_of_a_page_that_has_gone_is_another_players(tiny_weights: Path, waits: bool) -> None:
    capacity = Capacity(players=1, resume_s=600.0, reload_s=0.3)
    with (
        serving(lambda: fast_env(tiny_weights), capacity=capacity) as server,
        proxy_to(port_of(server)) as proxy,
        playing(through(server, proxy)) as first,
    ):
        first.wait_for_blocks(1)
        second = Player(server.url)
        if waits:
            assert second.open().seat == "queued"
            leave_for_good(first, proxy)
        else:
            leave_for_good(first, proxy)
            first.wait(lambda: server.lobby is not None and server.lobby._leavers)
            second.open()
        second.wait(lambda: second.connection.seat == "player")
        second.wait(lambda: any(block.info["block"] == 0 and block.immediate for block, *_ in second.blocks))
        proxy.is_open = True
        assert not first.welcome(2).resumed and first.welcome(2).seat == "queued"
        second.connection.close()


@pytest.mark.parametrize("reload_s", [600.0, 0.0])
def test_a_page_that_is_loaded_again_finds_its_rollout(tiny_weights: Path, reload_s: float) -> None:
    """Within some seconds while another player waits, and within a minute while nobody does."""
    capacity = Capacity(players=1, resume_s=600.0, reload_s=reload_s)
    with serving(lambda: fast_env(tiny_weights), capacity=capacity) as server, playing(server.url) as player:
        player.wait_for_blocks(1)
        other = Player(server.url)
        assert not reload_s or other.open().seat == "queued"
        player.connection.send(Leave(may_return=True))  # the connection comes back by itself
        assert player.welcome(2).resumed and player.welcome(2).seat == "player"
        player.wait_for_blocks(3)
        assert {block.info["seed"] for block, *_ in player.blocks} == {player.blocks[0][0].info["seed"]}
        assert server.lobby is not None and not server.lobby._leavers
        other.connection.close()


def test_players_have_rollouts_of_their_own(tiny_weights: Path) -> None:
    with (
        serving(lambda: fast_env(tiny_weights), capacity=Capacity(players=2)) as server,
        playing(server.url) as first,
        playing(server.url) as second,
    ):
        assert first.connection.welcome.rollout != second.connection.welcome.rollout  # type: ignore[union-attr]
        first.key("right", True)
        first.wait_for_blocks(4)
        second.wait_for_blocks(4)
        assert first.blocks[-1][0].info["motion"] == "walk_right"
        assert second.blocks[-1][0].info["motion"] == "stand"


def test_too_many_viewers_are_refused_in_a_sentence(server: PlayServer) -> None:
    with (
        playing(server.url, role="viewer"),
        playing(server.url, role="viewer"),
        pytest.raises(RemoteError, match="takes 2 viewers"),
    ):
        Player(server.url, role="viewer").open()


def test_the_last_seconds_are_a_video(server: PlayServer) -> None:
    with pytest.raises(urllib.error.HTTPError) as error:
        read(server, "clip.mp4")
    assert error.value.code == 404
    with playing(server.url) as player:
        player.wait_for_blocks(8)
        with av.open(io.BytesIO(read(server, "clip.mp4?seconds=0.3"))) as video:
            frames = list(video.decode(video=0))
        assert len(frames) in (48, 57, 60) and frames[0].width == 48
        assert [frame.pts for frame in frames] == sorted(frame.pts for frame in frames)  # type: ignore[type-var]


def test_the_recording_has_every_block_and_is_a_download(tiny_weights: Path, tmp_path: Path) -> None:
    make: Callable[[], Any] = lambda: RecordRollout(fast_env(tiny_weights), tmp_path)  # noqa: E731
    with serving(make) as server, playing(server.url) as player:
        assert player.connection.welcome.recording  # type: ignore[union-attr]
        player.wait_for_blocks(3)
        with av.open(io.BytesIO(read(server, "recording.mp4"))) as video:
            assert sum(1 for _ in video.decode(video=0)) >= 9 + 12
        player.ask(NewWorld)
    lines = [len((folder / "blocks.jsonl").read_text().splitlines()) for folder in sorted(tmp_path.iterdir())]
    assert len(lines) == 2 and sum(lines) >= len(player.blocks)


def test_metrics_have_what_an_operator_needs(server: PlayServer) -> None:
    with playing(server.url) as player:
        seq = player.tap("space")
        block = player.answer_to(seq)
        player.connection.send(Shown(seq=block.seq, key_to_pixel_ms=[350.0], late_ms=0.0))
        player.wait_for_blocks(4)
        values = dict(
            line.rsplit(" ", 1) for line in read(server, "metrics").decode().splitlines() if not line.startswith("#")
        )
    assert float(values['infrope_key_to_pixel_seconds{quantile="0.95"}']) == pytest.approx(0.35)
    assert 0 < float(values['infrope_block_interarrival_seconds{quantile="0.5"}']) < PATIENCE_S
    assert float(values["infrope_realtime_factor"]) > 0 and float(values["infrope_blocks_total"]) >= 5
    assert float(values["infrope_time_to_first_block_seconds_count"]) == 1
    assert values['infrope_sessions{seat="player"}'] == "1" and float(values["infrope_blocks_dropped_total"]) == 0


def test_a_server_that_stops_says_so(tiny_weights: Path) -> None:
    with serving(lambda: fast_env(tiny_weights)) as server:
        player = Player(server.url)
        player.open()
        player.wait_for_blocks(1)
    assert player.wait(lambda: player.losses)[0] == "The server has stopped."
    player.connection.close()


def test_what_the_terminal_shows_reaches_the_players(server: PlayServer) -> None:
    with playing(server.url) as player:
        logging.getLogger("infrope_env.text.progress").info("encoding prompts: 1 of 1, 39 s each")
        assert player.wait(lambda: player.notices) == ["encoding prompts: 1 of 1, 39 s each"]


def test_the_limits_of_pictures_are_in_the_welcome(server: PlayServer) -> None:
    with playing(server.url) as player:
        assert player.connection.welcome.most_picture_bytes == MOST_PICTURE_BYTES  # type: ignore[union-attr]
