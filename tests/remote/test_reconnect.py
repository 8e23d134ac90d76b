"""A connection that is cut comes back by itself and finds its rollout; nothing is lost on the way."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infrope_env.recording.verification import Verdict, verify
from infrope_env.recording.wrapper import RecordRollout
from infrope_env.remote.client_messages import Pause, Save, SetPrompt
from infrope_env.remote.lobby import Capacity
from infrope_env.remote.server import PlayServer
from tests.remote.network import port_of, proxy_to, through
from tests.remote.players import Player, fast_env, playing
from tests.remote.served import serving

CUTS = 10


@pytest.fixture
def server(tiny_weights: Path, tmp_path: Path) -> Iterator[PlayServer]:
    with serving(lambda: RecordRollout(fast_env(tiny_weights), tmp_path), capacity=Capacity(players=1)) as running:
        yield running


def made(server: PlayServer) -> int:
    """Return the number of blocks that the server has made."""
    return int(server.metrics.counters["blocks"])


def test_play_resumes_after_every_cut_no_key_stays_down_and_the_recording_has_every_block(
    server: PlayServer, tmp_path: Path
) -> None:
    with proxy_to(port_of(server)) as proxy, playing(through(server, proxy)) as player:
        for cut in range(1, CUTS + 1):
            player.answer_to(player.key("right", True))  # held when the connection is cut
            proxy.cut()
            welcome = player.welcome(cut + 1)
            assert welcome.resumed and welcome.seat == "player" and welcome.next_seq == player._seq + 1
            player.wait_for_blocks(3)
            assert player.blocks[-1][0].info["motion"] == "stand"
        seen = [block.info["block"] for block, *_ in player.blocks]
        assert {block.info["seed"] for block, *_ in player.blocks} == {player.blocks[0][0].info["seed"]}
    (episode,) = tmp_path.iterdir()
    report = verify(episode)
    assert report.verdict is Verdict.SAME, report.summary()
    assert len((episode / "blocks.jsonl").read_text().splitlines()) >= max(seen) + 1


def test_the_rollout_waits_while_its_player_is_away(server: PlayServer) -> None:
    with proxy_to(port_of(server)) as proxy, playing(through(server, proxy)) as player:
        player.wait_for_blocks(2)
        player.ask(Save)
        with playing(server.url, role="viewer") as viewer:
            proxy.is_open = False
            proxy.cut()
            viewer.wait(lambda: viewer.state.away)
            before = made(server)
            time.sleep(0.6)  # eight blocks' time
            assert made(server) <= before + 1  # one was under way
            proxy.is_open = True
            viewer.wait(lambda: not viewer.state.away)
            viewer.wait_for_blocks(2)
            assert player.welcome(2).resumed and player.welcome(2).saved is not None


def test_a_pause_outlasts_a_cut(server: PlayServer) -> None:
    with proxy_to(port_of(server)) as proxy, playing(through(server, proxy)) as player:
        player.wait_for_blocks(2)
        player.ask(Pause, paused=True)
        proxy.cut()
        assert player.welcome(2).paused
        before = made(server)
        time.sleep(0.6)
        assert made(server) <= before + 1


def test_a_command_whose_answer_was_lost_is_answered_after_all(server: PlayServer) -> None:
    with proxy_to(port_of(server)) as proxy, playing(through(server, proxy)) as player:
        player.wait_for_blocks(1)
        answers = []
        for i in range(4):
            answers.append(
                player.connection.request(SetPrompt, text="a red robot waves hello in a dark cave", cut=True)
            )
            if i % 2:
                proxy.cut()
        assert all(answer.result(20)[0].error == "" for answer in answers)
        cuts = [b for b, *_ in player.blocks if b.info["transition"] == "cut" and not b.immediate]
        assert len({block.seq for block in cuts}) <= 4


def test_a_session_that_stays_away_ends_and_a_new_one_begins(tiny_weights: Path) -> None:
    capacity = Capacity(players=1, resume_s=1.0)
    with (
        serving(lambda: fast_env(tiny_weights), capacity=capacity) as server,
        proxy_to(port_of(server)) as proxy,
        playing(through(server, proxy)) as player,
    ):
        player.wait_for_blocks(1)
        with playing(server.url) as other:
            assert other.connection.seat == "queued"
            proxy.is_open = False
            proxy.cut()
            other.wait(lambda: other.connection.seat == "player")
        proxy.is_open = True
        assert not player.welcome(2).resumed
        assert player.welcome(2).session != player.welcome(1).session
        player.wait_for_blocks(2)


def test_a_session_that_is_resumed_elsewhere_leaves_the_first_connection(server: PlayServer) -> None:
    with playing(server.url) as player:
        player.wait_for_blocks(1)
        twin = Player(server.url)
        twin.connection.welcome = player.connection.welcome
        assert twin.open().resumed
        assert player.wait(lambda: player.losses) == ["The session continues elsewhere."]
        twin.wait_for_blocks(3)
        twin.connection.close()
