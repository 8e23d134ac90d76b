"""Environments in worker processes and in threads."""

import multiprocessing
import subprocess
import sys
from pathlib import Path

import pytest

from infrope_env.forked import is_forked

ROOT = Path(__file__).parents[1]
TIMEOUT_S = 120
BUSY_PARENT = """
import sys
import gymnasium, torch
torch.set_num_threads(2)
numbers = torch.randn(2000, 2000)
(numbers @ numbers, torch.nn.functional.gelu(numbers))  # starts OpenMP's second thread
weights = sys.argv[1]
"""
ASYNC_VECTOR = """
import infrope_env
envs = gymnasium.make_vec("infrope/PocketWorld-v0", num_envs=2, vectorization_mode="async", weights=weights,
                          vector_kwargs={"context": "fork"})
observation, info = envs.reset(seed=3)
"""
SUBPROC_VECTOR = """
from stable_baselines3.common.vec_env import SubprocVecEnv
def make():
    torch.set_num_threads(2)
    return gymnasium.make("infrope_env:infrope/PocketWorld-v0", weights=weights, max_blocks=5)
envs = SubprocVecEnv([make, make], start_method="fork")
observation = envs.reset()
"""
FORKED_WITH_A_STATE = """
import os
from infrope_env.env import InfinityRopeEnv
env = InfinityRopeEnv(weights=weights)
env.reset(seed=1)
state = env.save_state()
if os.fork() == 0:
    env.restore_state(state)
    env.set_prompt("a red robot waves hello in a desert")
    torch.set_num_threads(2)
    env.step(0)
    assert torch.get_num_threads() == 1
    print("done", flush=True)
    os._exit(0)
assert os.wait()[1] == 0 and torch.get_num_threads() == 2
"""
STEPPED = """
for _ in range(2):
    observation = envs.step([2, 3])[0]
print("done", observation.shape[0])
envs.close()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
@pytest.mark.parametrize("program", [ASYNC_VECTOR + STEPPED, SUBPROC_VECTOR + STEPPED, FORKED_WITH_A_STATE])
def test_a_forked_process_plays_after_its_parent_has_used_two_threads(tiny_weights: Path, program: str) -> None:
    if "stable_baselines3" in program:
        pytest.importorskip("stable_baselines3")
    command = [sys.executable, "-c", BUSY_PARENT + program, str(tiny_weights)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, cwd=ROOT)
    assert done.stdout.startswith("done"), done.stderr


def report(queue: "multiprocessing.Queue[bool]") -> None:
    queue.put(is_forked())


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_only_a_fork_counts_as_one(method: str) -> None:
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    process = context.Process(target=report, args=(queue,))
    process.start()
    assert queue.get(timeout=TIMEOUT_S) is (method == "fork")
    process.join()
    assert not is_forked()
