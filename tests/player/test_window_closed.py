"""Closing the window of render_mode="human" by its button or Esc."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pygame
import pytest

from infrope_env.player.window import DisplayWindow
from tests.player.real_window import PATIENCE_S, ROOT, x_server

COMMAND = "import sys; from infrope_env import cli; sys.exit(cli.main(sys.argv[1:]))"


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch) -> Iterator[DisplayWindow]:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    window = DisplayWindow((6, 10), scale=8)
    yield window
    window.close()


def test_the_close_button_closes_and_other_events_stay_in_the_queue(window: DisplayWindow) -> None:
    pygame.event.clear()
    assert not window.poll_closed()
    pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_a, mod=0))
    pygame.event.post(pygame.event.Event(pygame.QUIT))
    assert window.poll_closed() and not window.poll_closed()
    assert [event.key for event in pygame.event.get(pygame.KEYDOWN)] == [pygame.K_a]


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    with x_server() as name:
        yield name


def test_a_replay_in_a_window_ends_by_escape(display: str, tiny_weights: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "DISPLAY": display, "SDL_VIDEODRIVER": "x11", "OMP_NUM_THREADS": "1"}

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", COMMAND, *arguments]
        return subprocess.Popen(command, env=environment, cwd=ROOT, text=True, stdout=subprocess.PIPE)

    def xdotool(*command: str) -> str:
        return subprocess.run(["xdotool", *command], env=environment, capture_output=True, text=True).stdout

    record = start("record", "--weights", str(tiny_weights), "--out", str(tmp_path), "--blocks", "40", "--seed", "1")
    record.communicate(timeout=2 * PATIENCE_S)
    replay = start("replay", str(tmp_path / "episode_000"), "--weights", str(tiny_weights))
    end = time.monotonic() + PATIENCE_S
    while not (window := xdotool("search", "--onlyvisible", "--class", ".").split()):
        assert time.monotonic() < end and replay.poll() is None
        time.sleep(0.05)
    xdotool("windowfocus", "--sync", window[0])
    time.sleep(3)  # some blocks
    xdotool("key", "Escape")
    output, _ = replay.communicate(timeout=PATIENCE_S)
    assert replay.returncode == 0
    blocks = int(output.split("episode_000: ")[1].split()[0])
    assert 0 < blocks < 40 and "every block is the same" in output
