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
from infrope_env.remote.server_messages import Welcome
from tests.remote.network import Proxy, proxy_to
from tests.remote.players import Player, fast_env, playing
from tests.remote.served import serving

CUTS = 10


@pytest.fixture
def server(tiny_weights: Path, tmp_path: Path) -> Iterator[PlayServer]:
    capacity = Capacity(players=1, resume_s=3.0)
    with serving(lambda: RecordRollout(fast_env(tiny_weights), tmp_path), capacity=capacity) as running:
        yield running


def through(server: PlayServer, proxy: Proxy) -> str:
    """Return the URL of a server behind a proxy."""
    port = server.url.partition("/?")[0].rpartition(":")[2]
    return server.url.replace(f":{port}", f":{proxy.port}")


def port_of(server: PlayServer) -> int:
    return int(server.url.partition("/?")[0].rpartition(":")[2])


def test_play_resumes_after_every_cut_no_key_stays_down_and_the_recording_has_every_block(
    server: PlayServer, tmp_path: Path
) -> None:
    with proxy_to(port_of(server)) as proxy, playing(through(server, proxy)) as player:
        for cut in range(1, CUTS + 1):
            player.answer_to(player.key("right", True))  # held when the connection is cut
            proxy.cut()
            player.wait(lambda cut=cut: len(player.losses) >= cut and player.connection.is_connected)
            welcome = [each for each in player.messages if isinstance(each, Welcome)][-1]
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
            time.sleep(0.3)
            before = len(viewer.blocks)
            time.sleep(0.6)
            assert len(viewer.blocks) == before
            proxy.is_open = True
            viewer.wait(lambda: not viewer.state.away)
            viewer.wait_for_blocks(2)
            assert player.connection.welcome.saved is not None  # type: ignore[union-attr]


def test_a_pause_outlasts_a_cut(server: PlayServer) -> None:
    with proxy_to(port_of(server)) as proxy, playing(through(server, proxy)) as player:
        player.wait_for_blocks(2)
        player.ask(Pause, paused=True)
        proxy.cut()
        player.wait(lambda: player.losses and player.connection.is_connected)
        assert player.connection.welcome.paused  # type: ignore[union-attr]
        time.sleep(0.3)
        before = len(player.blocks)
        time.sleep(0.5)
        assert len(player.blocks) == before


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


def test_a_session_that_stays_away_ends_and_a_new_one_begins(server: PlayServer) -> None:
    with proxy_to(port_of(server)) as proxy, playing(through(server, proxy)) as player:
        player.wait_for_blocks(1)
        first = player.connection.welcome
        proxy.is_open = False
        proxy.cut()
        with playing(server.url) as other:  # waits in the queue
            assert other.connection.seat == "queued"
            other.wait(lambda: other.connection.seat == "player")
        proxy.is_open = True
        player.wait(lambda: player.connection.is_connected)
        assert not player.connection.welcome.resumed  # type: ignore[union-attr]
        assert player.connection.welcome.session != first.session  # type: ignore[union-attr]
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
