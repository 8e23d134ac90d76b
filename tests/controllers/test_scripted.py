from pathlib import Path

import numpy as np
import pytest

from controllers.random_walk import RandomWalkController
from controllers.scripted import ScriptedController, StoryboardController
from infrope_env.control.storyboard import parse

NAMES = ("stand", "walk_right", "jump", "cut_snow")
NOTHING = np.zeros((12, 1, 1, 3), np.uint8)


def test_a_script_is_one_action_per_block_and_then_action_0() -> None:
    script = ScriptedController.from_text("walk_right*3  jump cut_snow*1", NAMES)
    assert [script(NOTHING, {"block": block}) for block in range(7)] == [1, 1, 1, 2, 3, 0, 0]
    assert script.total_blocks == 6


@pytest.mark.parametrize(
    ("text", "named"),
    [("fly*2", "'fly'"), ("jump*0", "'jump*0'"), ("jump*", "'jump*'"), ("jump*x", "'jump*x'"), ("  ", "empty")],
)
def test_a_mistake_in_a_script_is_named(text: str, named: str) -> None:
    with pytest.raises(ValueError, match=named.replace("*", r"\*")):
        ScriptedController.from_text(text, NAMES)


class World:
    """What a storyboard sees of an environment: the prompt in force, set by text."""

    def __init__(self, prompt: str) -> None:
        self.info = {"block": 0, "prompt": prompt, "motion": "jump"}
        self.asked: list[tuple[int, str, bool]] = []

    def set_prompt(self, text: str, cut: bool) -> None:
        self.asked.append((self.info["block"] + 1, text, cut))
        self.info["prompt"] = text


def test_a_storyboard_sets_each_prompt_at_its_block_and_keeps_the_motion() -> None:
    world = World("a fox runs")
    storyboard = parse("a fox runs[1.5s] | a fox waves[1.5s#] | a fox waves[0.75s#] | a fox jumps[0.75s]")
    controller = StoryboardController(storyboard, world.set_prompt, NAMES)
    assert controller.first_prompt == "a fox runs"
    for block in range(controller.total_blocks - 1):
        world.info["block"] = block
        assert controller(NOTHING, world.info) == NAMES.index("jump")
    assert world.asked == [(2, "a fox waves", True), (4, "a fox waves", True), (5, "a fox jumps", False)]


def test_a_storyboard_can_begin_in_the_middle() -> None:
    world = World("something else")
    world.info["block"] = 2
    StoryboardController(parse("a fox runs[1.5s] | a fox waves[1.5s#]"), world.set_prompt, NAMES)(NOTHING, world.info)
    assert world.asked == [(3, "a fox waves", False)]


def test_a_storyboard_file_names_itself_in_a_mistake(tmp_path: Path) -> None:
    path = tmp_path / "board.txt"
    with pytest.raises(ValueError, match=r"board\.txt: cannot be read"):
        StoryboardController.from_file(path, World("").set_prompt, NAMES)
    path.write_text("a fox[0s]")
    with pytest.raises(ValueError, match=r"board\.txt: scene 1 of 1"):
        StoryboardController.from_file(path, World("").set_prompt, NAMES)


def test_a_release_file_with_a_storyboard_on_each_line_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("a fox runs[3s]\n\na frog jumps[3s]\n")
    with pytest.raises(ValueError, match=r"prompts\.txt: 2 storyboards, one on each line as the release reads it"):
        StoryboardController.from_file(path, World("").set_prompt, NAMES, compat="release")
    path.write_text("\na fox runs[3s] | a fox waves[3s]\n")
    controller = StoryboardController.from_file(path, World("").set_prompt, NAMES, compat="release")
    assert controller.prompts == ("a fox runs", "a fox waves")


def walk(seed: int, blocks: int = 60) -> list[int]:
    controller = RandomWalkController(NAMES, seed)
    return [controller(NOTHING, {"block": block}) for block in range(blocks)]


def test_a_random_walk_is_a_function_of_its_seed() -> None:
    assert walk(3) == walk(3)
    assert walk(3) != walk(4)


def test_a_random_walk_begins_again_at_a_reset() -> None:
    controller = RandomWalkController(NAMES, 3)
    rollouts = [[controller(NOTHING, {"block": block}) for block in range(9)] for _ in range(2)]
    assert rollouts[0] == rollouts[1]


def test_a_random_walk_does_everything_and_cuts_for_one_block_at_a_time() -> None:
    actions = walk(0, 2000)
    assert set(actions) == set(range(len(NAMES)))
    assert 20 < actions.count(3) < 200
