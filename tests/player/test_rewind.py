"""Stepping back under real keys, across a cut, and the replay of what was recorded.

Needs Xvfb and xdotool. Without them the tests fail where CI=true and are skipped elsewhere.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from infrope_env import cli
from infrope_env.recording.episode import BlockReference
from infrope_env.recording.reader import Recording
from tests.player.played_window import PlayedWindow
from tests.player.real_window import x_server

FPS = 48  # pixel frames a second, three times those of play


@pytest.fixture
def game(tiny_weights: Path, tmp_path: Path) -> Iterator[PlayedWindow]:
    arguments = ("--weights", str(tiny_weights), "--seed", "7", "--scene", "snow", "--record", str(tmp_path / "kept"))
    with x_server() as display:
        game = PlayedWindow(display, tmp_path, *arguments, fps=FPS)
        yield game
        game.close()


def test_five_steps_back_across_a_cut_are_replayed_to_the_same_hashes(
    game: PlayedWindow, tiny_weights: Path, tmp_path: Path
) -> None:
    game.xdotool("keydown", "Right")
    game.until_shown(motion="walk_right")
    game.until(lambda: game.block > 6, "six blocks")
    game.xdotool("keyup", "Right")
    game.keys("4")
    game.until_shown(scene="city", transition="cut")
    cut = game.block
    game.until(lambda: game.block >= cut + 2, "blocks after the cut")
    game.keys("p")
    game.until(lambda: game.state["paused"], "the pause")
    on_show = game.block
    game.keys(*["BackSpace"] * 5)
    game.until_shown(block=on_show - 5, scene="snow")
    game.until_said(f"stepped back to block {on_show - 5}")
    game.keys("p", "space")
    game.until_shown(motion="jump", scene="snow")
    game.keys("BackSpace")
    game.until_said("stepped back to block")
    game.until(lambda: "jump" not in game.state["info"]["motion"], "the block before the jump")
    again = game.block
    game.until(lambda: game.block > again + 1, "blocks")
    game.keys("t")
    game.until(lambda: game.state["typed"] == "", "the prompt line")
    game.xdotool("type", "ab")
    game.keys("BackSpace")
    game.until(lambda: game.state["typed"] == "a", "the letter to go")
    game.keys("Escape", "Escape")
    assert game.process.wait(60) == 0

    episodes = [Recording.read(folder) for folder in sorted((tmp_path / "kept").glob("episode_*"))]
    assert len(episodes) == 3
    assert episodes[1].meta.continues == BlockReference("episode_000", on_show - 5)
    assert episodes[2].meta.continues is not None and episodes[2].meta.continues.block >= on_show - 5
    assert episodes[1].blocks[0].block == on_show - 4
    for episode in episodes:
        assert cli.main(["replay", "--verify", str(episode.folder), "--weights", str(tiny_weights)]) == 0


def test_the_same_key_after_a_step_back_makes_the_same_block(game: PlayedWindow, tmp_path: Path) -> None:
    game.keys("p")
    game.until(lambda: game.state["paused"], "the pause")
    for _ in range(4):
        before = game.block
        game.keys("n")
        game.until_shown(block=before + 1)
    game.keys(*["BackSpace"] * 2)
    game.until_shown(block=before - 1)
    for block in (before, before + 1, before + 2):
        game.keys("n")
        game.until_shown(block=block)
    game.keys("Escape")
    assert game.process.wait(60) == 0
    first, second = (Recording.read(tmp_path / "kept" / f"episode_00{number}") for number in (0, 1))
    hashes = {record.block: record.sha256 for record in first.blocks}
    repeated = [record for record in second.blocks if record.block in hashes]
    assert len(repeated) >= 2 and all(hashes[record.block] == record.sha256 for record in repeated)
