from pathlib import Path

import numpy as np
import pytest

from infrope_env.control.random_walk import RandomWalkController
from infrope_env.control.scripted import ScriptedController, StoryboardController
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
def test_the_error_of_a_script_quotes_the_word(text: str, named: str) -> None:
    with pytest.raises(ValueError, match=named.replace("*", r"\*")):
        ScriptedController.from_text(text, NAMES)


@pytest.mark.parametrize("count", ["99999999999999", "9" * 5000, "1000000", "600000 jump*600000"])
def test_a_script_beyond_reason_is_refused_before_it_is_laid_out(count: str) -> None:
    with pytest.raises(ValueError, match="the script is too long: expected at most 1,000,000 blocks, got "):
        ScriptedController.from_text(f"jump*{count}", NAMES)


def test_a_script_that_is_no_text_is_refused() -> None:
    with pytest.raises(TypeError, match="expected the script to be a text, got NoneType"):
        ScriptedController.from_text(None, NAMES)  # type: ignore[arg-type]


class FakeEnv:
    """The part of an environment that a storyboard uses: the info of the newest block, and `set_prompt`."""

    def __init__(self, prompt: str) -> None:
        self.info = {"block": 0, "prompt": prompt, "motion": "jump"}
        self.requests: list[tuple[int, str, bool]] = []  # (block, text, cut)

    def set_prompt(self, text: str, cut: bool) -> None:
        self.requests.append((self.info["block"] + 1, text, cut))
        self.info["prompt"] = text


def test_a_storyboard_sets_each_prompt_at_its_block_and_repeats_the_motion_in_force() -> None:
    env = FakeEnv("a fox runs")
    storyboard = parse("a fox runs[1.5s] | a fox waves[1.5s#] | a fox waves[0.75s#] | a fox jumps[0.75s]")
    controller = StoryboardController(storyboard, env.set_prompt, NAMES)
    assert controller.first_prompt == "a fox runs"
    for block in range(controller.total_blocks - 1):
        env.info["block"] = block
        assert controller(NOTHING, env.info) == NAMES.index("jump")
    assert env.requests == [(2, "a fox waves", True), (4, "a fox waves", True), (5, "a fox jumps", False)]


def test_a_storyboard_can_start_in_the_middle() -> None:
    env = FakeEnv("something else")
    env.info["block"] = 2
    StoryboardController(parse("a fox runs[1.5s] | a fox waves[1.5s#]"), env.set_prompt, NAMES)(NOTHING, env.info)
    assert env.requests == [(3, "a fox waves", False)]


def test_the_error_of_a_storyboard_file_begins_with_its_path(tmp_path: Path) -> None:
    path = tmp_path / "board.txt"
    with pytest.raises(ValueError, match=r"board\.txt: cannot be read"):
        StoryboardController.from_file(path, FakeEnv("").set_prompt, NAMES)
    path.write_text("a fox[0s]")
    with pytest.raises(ValueError, match=r"board\.txt: shot 1 of 1"):
        StoryboardController.from_file(path, FakeEnv("").set_prompt, NAMES)


def test_a_release_file_with_a_storyboard_on_each_line_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("a fox runs[3s]\n\na frog jumps[3s]\n")
    with pytest.raises(
        ValueError, match=r"2 storyboards, one on each line as the release .* Choose one with --line 1 to --line 3\.$"
    ):
        StoryboardController.from_file(path, FakeEnv("").set_prompt, NAMES, compat="release")
    path.write_text("\na fox runs[3s] | a fox waves[3s]\n")
    controller = StoryboardController.from_file(path, FakeEnv("").set_prompt, NAMES, compat="release")
    assert controller.prompts == ("a fox runs", "a fox waves")


def walk(seed: int, blocks: int = 60) -> list[int]:
    controller = RandomWalkController(NAMES, seed)
    return [controller(NOTHING, {"block": block}) for block in range(blocks)]


def test_a_random_walk_is_a_function_of_its_seed() -> None:
    assert walk(3) == walk(3)
    assert walk(3) != walk(4)


def test_a_random_walk_repeats_from_a_reset_on() -> None:
    controller = RandomWalkController(NAMES, 3)
    rollouts = [[controller(NOTHING, {"block": block}) for block in range(9)] for _ in range(2)]
    assert rollouts[0] == rollouts[1]


def test_a_random_walk_takes_every_action_and_cuts_now_and_then() -> None:
    actions = walk(0, 2000)
    assert set(actions) == set(range(len(NAMES)))
    assert 20 < actions.count(3) < 200
