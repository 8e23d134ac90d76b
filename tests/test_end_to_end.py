"""Play in a real window: an X server, keys sent from outside the process, and pixels read from the screen.

Needs Xvfb and xdotool (apt install xvfb xdotool). Without them the tests fail where CI=true and are skipped elsewhere.
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
TIMEOUT_S = 180
pytestmark = pytest.mark.slow
SLOWED_S = 0.4  # duration given to a block of the tiny model, so that keys can be pressed while one is being made
PLAY = """
import sys, time
from infrope_env import cli
from infrope_env.env import InfinityRopeEnv

step, encode = InfinityRopeEnv.step, InfinityRopeEnv.encode_prompts
log, slowed_s = open(sys.argv[1], "w", buffering=1), float(sys.argv[2])

def logged_step(env, action):
    print("begin", time.monotonic(), file=log)
    time.sleep(slowed_s)
    result = step(env, action)
    print("end", time.monotonic(), file=log)
    return result

def logged_encode(env, texts):
    try:
        encode(env, texts)
    except ValueError:
        print("refused", time.monotonic(), file=log)
        raise

InfinityRopeEnv.step, InfinityRopeEnv.encode_prompts = logged_step, logged_encode
sys.exit(cli.main(sys.argv[3:]))
"""


def wait_for(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < end, f"waited {TIMEOUT_S} s for {what}"
        time.sleep(0.005)


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    """An X server on a free display number."""
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
    """`infrope play` in a process of its own, and a keyboard that types into its window."""

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
        self.window = self.xdotool("search", "--onlyvisible", "--class", ".").split()[0]
        self.xdotool("windowfocus", "--sync", self.window)

    def xdotool(self, *command: str) -> str:
        environment = {**os.environ, "DISPLAY": self.display}
        return subprocess.run(["xdotool", *command], env=environment, check=True, capture_output=True, text=True).stdout

    def times(self, event: str) -> list[float]:
        """Return the times at which blocks began or ended, on the clock that all processes share."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [float(line.split()[1]) for line in lines if line.startswith(event) and len(line.split()) == 2]

    def between_blocks(self) -> None:
        """Return right after a block has ended."""
        made = len(self.times("end"))
        wait_for(lambda: len(self.times("end")) > made, "the end of a block")

    def during_a_block(self) -> int:
        """Wait until a block has just begun; return its index."""
        begun = len(self.times("begin"))
        wait_for(lambda: len(self.times("begin")) > begun, "the beginning of a block")
        time.sleep(0.05)
        return len(self.times("begin"))

    def press(self, command: str, key: str) -> int:
        """Press, release or tap a key; return the index of the first block that begins afterwards."""
        self.xdotool(command, key)
        pressed_s = time.monotonic()
        wait_for(lambda: self.times("begin")[-1] > pressed_s, "the next block")
        return 1 + sum(begun_s < pressed_s for begun_s in self.times("begin"))

    def blocks(self) -> list[dict]:
        lines = (self.folder / "kept" / "episode_000" / "blocks.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def screenshot(self) -> np.ndarray:
        """Return the pixels of the screen where the window is: uint8, height width 3."""
        shape = dict(line.split("=") for line in self.xdotool("getwindowgeometry", "--shell", self.window).split())
        left, top, width, height = (int(shape[name]) for name in ("X", "Y", "WIDTH", "HEIGHT"))
        screen = np.asarray(ImageGrab.grab(xdisplay=self.display).convert("RGB"))
        return screen[top : top + height, left : left + width]

    def still_screenshot(self) -> np.ndarray:
        """Return a screenshot once nothing has changed for two seconds."""
        shots = [self.screenshot()]
        still_since = time.monotonic()
        end = still_since + TIMEOUT_S
        while time.monotonic() - still_since < 2.0:
            assert time.monotonic() < end, "the window keeps changing"
            shots.append(self.screenshot())
            if not np.array_equal(shots[-1], shots[-2]):
                still_since = time.monotonic()
            time.sleep(0.1)
        return shots[-1]

    def quit(self) -> int:
        self.xdotool("key", "Escape")
        return self.process.wait(timeout=TIMEOUT_S)


@pytest.fixture(scope="module")
def player(display: str, tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Player]:
    bundled = (BUNDLED / "card.json").exists()
    weights, slowed_s = (BUNDLED, 0.0) if bundled else (tiny_weights, SLOWED_S)
    player = Player(display, tmp_path_factory.mktemp("play"), weights, slowed_s)
    yield player
    if player.process.poll() is None:
        player.process.terminate()
        player.process.wait()


def replayed(player: Player, upto: int) -> np.ndarray:
    """Return the pixel frames of a recorded block, made again from the log and compared with its digest."""
    recorded = player.blocks()
    env = gymnasium.make("infrope_env:infrope/PocketWorld-v0", weights=str(player.weights), disable_env_checker=True)
    observation, info = env.reset(seed=7)
    for record in recorded[1 : upto + 1]:
        if record["asked"]["given"]:
            env.unwrapped.set_prompt(record["asked"]["text"], record["asked"]["cut"])
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
    player.xdotool("keyup", "Right")
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


def test_the_screen_shows_snow_after_the_cut(player: Player) -> None:
    """Continue from the test before; the overlay is hidden for the screenshot."""
    if player.weights != BUNDLED:
        pytest.skip("random weights show no scene, and the package has no bundled weights")
    made = len(player.blocks())
    player.xdotool("key", "h")
    wait_for(lambda: len(player.blocks()) > made + 2, "the blocks")
    shot = player.screenshot()
    player.xdotool("key", "h")
    assert Detectors.load().name_scene(shot[None]) == "snow"


def test_a_typed_prompt_is_in_force_and_its_letters_are_not_actions(player: Player) -> None:
    before = len(player.blocks())
    player.xdotool("key", "t")
    player.xdotool("type", "--delay", "20", "a green frog waves hello in a dark kitchen")
    player.xdotool("key", "Return")
    wait_for(lambda: player.times("refused"), "the unknown word")
    player.between_blocks()
    player.between_blocks()  # the answer has reached the prompt line, which takes no keys before
    assert not any("kitchen" in record["prompt"] for record in player.blocks())  # an unknown word: the line stays open
    for _ in "kitchen":
        player.xdotool("key", "BackSpace")
    player.xdotool("type", "--delay", "20", "cave")
    player.xdotool("key", "Return")
    wait_for(lambda: player.blocks()[-1]["prompt"].endswith("frog waves hello in a dark cave"), "the prompt")
    wait_for(lambda: len(player.blocks()) > before + 2, "blocks under the prompt")
    assert len({record["action"] for record in player.blocks()[before + 1 :]}) == 1
    player.xdotool("key", "space")
    in_the_cave = "a green frog jumps up and down in a dark cave"
    wait_for(lambda: any(record["prompt"] == in_the_cave for record in player.blocks()), "the action")


def test_the_window_shows_the_recorded_pixels_enlarged(player: Player) -> None:
    with_overlay = player.screenshot()
    player.xdotool("key", "period")
    player.xdotool("key", "h")
    player.still_screenshot()
    player.xdotool("key", "n")  # shows the block that was under way, or another one: the newest is on show
    shot = player.still_screenshot()
    frame = replayed(player, upto=player.blocks()[-1]["block"])[-1]
    scale = shot.shape[0] // frame.shape[0]
    assert scale > 1
    assert np.array_equal(shot, frame.repeat(scale, axis=0).repeat(scale, axis=1))
    assert not np.array_equal(with_overlay, shot)


def test_a_resized_window_keeps_the_aspect_between_bars(player: Player) -> None:
    """Continue from the still picture of the test before."""
    full = player.still_screenshot()
    height, width = full.shape[:2]
    player.xdotool("windowsize", "--sync", player.window, str(width + 120), str(height))
    shot = player.still_screenshot()
    assert shot.shape == (height, width + 120, 3)
    assert np.array_equal(shot[:, 60:-60], full)
    assert (shot[:, :60] == BORDER).all() and (shot[:, -60:] == BORDER).all()


def test_escape_closes_the_window_and_the_recording_is_complete(player: Player) -> None:
    assert player.quit() == 0
    meta = json.loads((player.folder / "kept" / "episode_000" / "meta.json").read_text())
    assert meta["closed"]["blocks"] == len(player.blocks())
