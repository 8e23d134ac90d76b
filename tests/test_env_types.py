"""`infrope_env.make`, and the types that a user's type checker sees."""

import os
import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest

import infrope_env
from infrope_env.env import InfinityRopeEnv
from infrope_env.wrappers import RecordRollout
from tests.env_play import WALK_RIGHT, play

ROOT = Path(__file__).parents[1]
PROGRAM = """
import numpy as np

import infrope_env

env = infrope_env.make("infrope/PocketWorld-v0", max_blocks=5)
names: tuple[str, ...] = env.action_names
observation, info = env.reset(seed=1)
observation, reward, terminated, truncated, info = env.step(np.int64(2))
env.step(names.index("jump"))
env.step(env.action_space.sample())
total: float = reward
env.set_prompt("a fox", cut=True)
state = env.save_state()
observation, info = env.restore_state(state)
"""
MISTAKES = """
env.set_prompt(3)
env.step("jump")
env.no_such_method()
"""


def check_types(program: str, folder: Path) -> str:
    """Return what mypy prints of a user's program; it reads the package as an installed one, by py.typed."""
    (folder / "program.py").write_text(program)
    command = [sys.executable, "-m", "mypy", "--follow-imports=silent", "--ignore-missing-imports", "program.py"]
    environment = {**os.environ, "MYPYPATH": str(ROOT), "MYPY_CACHE_DIR": str(ROOT / ".mypy_cache" / "user")}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True).stdout


def test_mypy_knows_the_environment_of_make(tmp_path):
    pytest.importorskip("mypy")
    printed = check_types(PROGRAM + MISTAKES, tmp_path).splitlines()
    first = len(PROGRAM.splitlines()) + 2
    assert [line.split(":")[1] for line in printed[:-1]] == [str(first), str(first + 1), str(first + 2)], printed


def test_make_returns_the_environment_itself(tiny_weights, tmp_path):
    env = infrope_env.make(weights=str(tiny_weights), max_blocks=4)
    assert type(env) is InfinityRopeEnv and env.max_blocks == 4
    assert play(env, (WALK_RIGHT,)) == play(InfinityRopeEnv(weights=str(tiny_weights)), (np.int64(WALK_RIGHT),))
    recorder = RecordRollout(env, tmp_path)
    recorder.reset(seed=1)
    recorder.close()
    assert len(recorder.episodes) == 1


def test_make_refuses_what_it_would_lose(tiny_weights):
    with pytest.raises(ValueError, match=r"'infrope/PocketWorld-v0' has TimeLimit: use gymnasium\.make"):
        infrope_env.make(weights=str(tiny_weights), max_episode_steps=3)
    with pytest.raises(ValueError, match="'infrope/PocketWorldImage-v0' has LastFrame"):
        infrope_env.make("infrope/PocketWorldImage-v0", weights=str(tiny_weights))
    with pytest.raises(ValueError, match="expected the id of an infrope environment, got 'CartPole-v1'"):
        infrope_env.make("CartPole-v1")
    with pytest.raises(gymnasium.error.Error):
        infrope_env.make("infrope/Nowhere-v0")
