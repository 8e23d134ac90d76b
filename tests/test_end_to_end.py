"""A player at a real window: an X server, keys from outside the process, and the pixels that stand on the screen.

Needs Xvfb and xdotool (apt install xvfb xdotool). Without them the test fails where CI=true and is skipped elsewhere.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from PIL import ImageGrab

from examples.pocket_world.evaluate.detectors import Detectors
from infrope_env.control.frames import valid_frames
from infrope_env.player.window import BORDER
from infrope_env.recording.episode import frames_digest

ROOT = Path(__file__).parent.parent
BUNDLED = ROOT / "infrope_env" / "assets" / "pocket"
PATIENCE_S = 60
SLOWED_S = 0.4  # what a block of the tiny world is made to take, so that keys can be pressed while one is under way
PLAY = """
import sys, time
from infrope_env import cli
from infrope_env.env import InfinityRopeEnv

step, log, slowed_s = InfinityRopeEnv.step, open(sys.argv[1], "w", buffering=1), float(sys.argv[2])

def logged_step(env, action):
    print("begin", time.monotonic(), file=log)
    time.sleep(slowed_s)
    result = step(env, action)
    print("end", time.monotonic(), file=log)
    return result

InfinityRopeEnv.step = logged_step
sys.exit(cli.main(sys.argv[3:]))
"""


def wait_for(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, f"waited {PATIENCE_S} s for {what}"
        time.sleep(0.005)


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    """An X server of its own, on a free display number."""
    if missing := [tool for tool in ("Xvfb", "xdotool") if shutil.which(tool) is None]:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"{' and '.join(missing)} not installed")
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "1280x800x24", "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    with os.fdopen(read) as pipe:
        number = pipe.readline().strip()
    assert number, "Xvfb did not start"
    yield f":{number}"
    server.terminate()
    server.wait()


class Player:
    """`infrope play` in a process of its own, and hands on its keyboard."""

    def __init__(self, display: str, folder: Path, weights: Path, slowed_s: float) -> None:
        self.display, self.folder, self.weights = display, folder, weights
        self.log = folder / "steps.log"
        arguments = ["play", "--weights", str(weights), "--record", str(folder / "kept"), "--seed", "7"]
        self.process = subprocess.Popen(
            [sys.executable, "-c", PLAY, str(self.log), str(slowed_s), *arguments],
            env={**os.environ, "DISPLAY": display, "OMP_NUM_THREADS": "1", "SDL_VIDEODRIVER": "x11"},
            cwd=ROOT,
        )
        wait_for(lambda: self.times("end"), "the first blocks")
        self.window = self.hand("search", "--onlyvisible", "--class", ".").split()[0]
        self.hand("windowfocus", "--sync", self.window)

    def hand(self, *command: str) -> str:
        environment = {**os.environ, "DISPLAY": self.display}
        return subprocess.run(["xdotool", *command], env=environment, check=True, capture_output=True, text=True).stdout

    def times(self, event: str) -> list[float]:
        """When blocks began, or ended, on the clock that all processes share."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [float(line.split()[1]) for line in lines if line.startswith(event) and len(line.split()) == 2]

    def between_blocks(self) -> None:
        """Return right after a block was finished."""
        made = len(self.times("end"))
        wait_for(lambda: len(self.times("end")) > made, "the end of a block")

    def during_a_block(self) -> int:
        """Return right after a block began: its index."""
        begun = len(self.times("begin"))
        wait_for(lambda: len(self.times("begin")) > begun, "the beginning of a block")
        time.sleep(0.05)
        return len(self.times("begin"))

    def press(self, command: str, key: str) -> int:
        """Press, release or tap a key: the index of the first block that begins afterwards."""
        self.hand(command, key)
        pressed_s = time.monotonic()
        wait_for(lambda: self.times("begin")[-1] > pressed_s, "the next block")
        return 1 + sum(begun_s < pressed_s for begun_s in self.times("begin"))

    def blocks(self) -> list[dict]:
        lines = (self.folder / "kept" / "episode_000" / "blocks.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def screenshot(self) -> np.ndarray:
        """What stands on the screen where the window is: uint8 [height, width, 3]."""
        shape = dict(line.split("=") for line in self.hand("getwindowgeometry", "--shell", self.window).split())
        left, top, width, height = (int(shape[name]) for name in ("X", "Y", "WIDTH", "HEIGHT"))
        screen = np.asarray(ImageGrab.grab(xdisplay=self.display).convert("RGB"))
        return screen[top : top + height, left : left + width]

    def still_screenshot(self) -> np.ndarray:
        """The same, once nothing has moved for a while."""
        shots = [self.screenshot()]
        still_since = time.monotonic()
        end = still_since + PATIENCE_S
        while time.monotonic() - still_since < 2.0:
            assert time.monotonic() < end, "the window never stands still"
            shots.append(self.screenshot())
            if not np.array_equal(shots[-1], shots[-2]):
                still_since = time.monotonic()
            time.sleep(0.1)
        return shots[-1]

    def quit(self) -> int:
        self.hand("key", "Escape")
        return self.process.wait(timeout=PATIENCE_S)


@pytest.fixture(scope="module")
def player(display: str, tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Player]:
    bundled = (BUNDLED / "card.json").exists()
    weights, slowed_s = (BUNDLED, 0.0) if bundled else (tiny_weights, SLOWED_S)
    player = Player(display, tmp_path_factory.mktemp("play"), weights, slowed_s)
    yield player
    if player.process.poll() is None:
        player.process.terminate()
        player.process.wait()


def made_again(player: Player, upto: int) -> np.ndarray:
    """The pixel frames of a recorded block, made again from the log and equal to it by their digest."""
    recorded = player.blocks()
    env = gymnasium.make("infrope_env:infrope/PocketWorld-v0", weights=str(player.weights), disable_env_checker=True)
    observation, info = env.reset(seed=7)
    for record in recorded[1 : upto + 1]:
        if record["asked"] is not None:
            env.unwrapped.set_prompt(**record["asked"])
        observation, _, _, _, info = env.step(record["action"])
    env.close()
    frames = valid_frames(observation, info)
    assert frames_digest(frames) == recorded[upto]["sha256"]
    return frames


def test_each_key_acts_in_the_first_block_generated_after_it(player: Player) -> None:
    player.between_blocks()
    walk = player.press("keydown", "Right")
    under_way = player.during_a_block()
    jump = player.press("key", "space")
    player.between_blocks()
    cut = player.press("key", "3")
    player.between_blocks()
    player.hand("keyup", "Right")
    wait_for(lambda: len(player.blocks()) > cut + 1, "the blocks")
    names = gymnasium.make("infrope_env:infrope/PocketWorld-v0", weights=str(player.weights)).unwrapped.action_names
    actions = ["reset", *(names[record["action"]] for record in player.blocks()[1:])]
    assert jump == under_way + 1
    assert set(actions[1:walk]) <= {"stand"}
    assert set(actions[walk:jump]) == {"walk_right"}
    assert actions[jump] == "jump"
    assert actions[cut] == "cut_snow"
    assert set(actions[jump + 1 : cut]) <= {"walk_right"}
    assert player.blocks()[cut]["transition"] == "cut"


def test_the_screen_shows_snow_after_the_cut_to_it(player: Player) -> None:
    """Goes on from the test before. The overlay is put away for the picture."""
    if player.weights != BUNDLED:
        pytest.skip("random weights show no scene; the package has no pocket weights in it")
    made = len(player.blocks())
    player.hand("key", "h")
    wait_for(lambda: len(player.blocks()) > made + 2, "the blocks")
    shot = player.screenshot()
    player.hand("key", "h")
    assert Detectors.load().name_scene(shot[None]) == "snow"


def test_a_typed_prompt_is_in_force_and_its_letters_are_no_actions(player: Player) -> None:
    before = len(player.blocks())
    player.hand("key", "t")
    player.hand("type", "--delay", "20", "a green frog waves hello in a dark kitchen")
    player.hand("key", "Return")
    time.sleep(1.0)
    assert not any("kitchen" in record["prompt"] for record in player.blocks())  # a word nobody taught: it stays
    for _ in "kitchen":
        player.hand("key", "BackSpace")
    player.hand("type", "--delay", "20", "cave")
    player.hand("key", "Return")
    wait_for(lambda: player.blocks()[-1]["prompt"].endswith("frog waves hello in a dark cave"), "the prompt")
    wait_for(lambda: len(player.blocks()) > before + 2, "blocks under the prompt")
    assert len({record["action"] for record in player.blocks()[before + 1 :]}) == 1
    player.hand("key", "space")
    in_the_cave = "a green frog jumps up and down in a dark cave"
    wait_for(lambda: any(record["prompt"] == in_the_cave for record in player.blocks()), "the action")


def test_the_window_shows_the_recorded_pixels_enlarged(player: Player) -> None:
    with_overlay = player.screenshot()
    player.hand("key", "period")
    player.hand("key", "h")
    shot = player.still_screenshot()
    frame = made_again(player, upto=player.blocks()[-1]["block"])[-1]
    scale = shot.shape[0] // frame.shape[0]
    assert scale > 1
    assert np.array_equal(shot, frame.repeat(scale, axis=0).repeat(scale, axis=1))
    assert not np.array_equal(with_overlay, shot)


def test_a_resized_window_keeps_the_aspect_between_bars(player: Player) -> None:
    """Goes on from the still picture of the test before."""
    full = player.still_screenshot()
    height, width = full.shape[:2]
    player.hand("windowsize", "--sync", player.window, str(width + 120), str(height))
    shot = player.still_screenshot()
    assert shot.shape == (height, width + 120, 3)
    assert np.array_equal(shot[:, 60:-60], full)
    assert (shot[:, :60] == BORDER).all() and (shot[:, -60:] == BORDER).all()


def test_escape_closes_it_and_the_recording_is_whole(player: Player) -> None:
    assert player.quit() == 0
    meta = json.loads((player.folder / "kept" / "episode_000" / "meta.json").read_text())
    assert meta["closed"]["blocks"] == len(player.blocks())
