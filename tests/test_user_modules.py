"""A user's own modules beside the program: none of them is imported in place of one of this package's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NAMES = ("controllers", "examples", "tests", "config", "player", "control", "recording", "env", "wrappers")
ALL_COMMANDS = """
import sys
from infrope_env import cli
weights = ["--weights", sys.argv[1]]
for arguments in (
    ["play", "--blocks", "2", *weights],
    ["play", "--headless", "--storyboard", "board.txt", *weights],
    ["play", "--headless", "--script", "jump", *weights],
    ["record", "--out", "made", "--random", "--blocks", "2", *weights],
    ["replay", "made/episode_000", "--verify", *weights],
    ["bench", "--blocks", "1", *weights],
):
    assert cli.main(arguments) == 0, arguments
print("done")
"""


@pytest.fixture
def users_folder(tmp_path: Path) -> Path:
    """A folder of modules that end a program that imports them."""
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('the wrong {name} was imported')\n")
    (tmp_path / "board.txt").write_text("a red robot jumps in a desert[1s]")
    return tmp_path


def run(folder: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    path = os.pathsep.join([str(folder), str(ROOT)])
    settings = {**os.environ, "PYTHONPATH": path, "SDL_VIDEODRIVER": "dummy", "PYTHONIOENCODING": "utf-8"}
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, env=settings, cwd=folder)


def test_help_is_shown_beside_them(users_folder: Path) -> None:
    ran = run(users_folder, "-m", "infrope_env.cli", "play", "--help")
    assert ran.returncode == 0 and "--script" in ran.stdout, ran.stderr


def test_every_command_runs_beside_them(users_folder: Path, tiny_weights: Path) -> None:
    ran = run(users_folder, "-c", ALL_COMMANDS, str(tiny_weights))
    assert ran.returncode == 0 and ran.stdout.endswith("done\n"), ran.stdout + ran.stderr
