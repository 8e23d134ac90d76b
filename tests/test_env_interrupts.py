"""Calls that Ctrl-C ends, environments in two threads, and use after close."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded

from infrope_env.env import InfinityRopeEnv
from tests.env_play import JUMP, STAND, WALK_RIGHT, WAVE, play
from tests.interrupts import count_lines
from tests.tiny_world import tiny_world

PACKAGE = Path(__file__).parents[1] / "infrope_env"
POINTS = 25
"""Lines at which each call is interrupted, spread evenly over those that it runs."""
TEXT = "a green frog waves hello in a dark cave"


def future(env: InfinityRopeEnv) -> list[object]:
    """Return everything a user can tell of an environment: what it has, and the blocks that follow."""
    assert env.newest is not None
    seen: list[object] = [env.newest[0].tobytes(), env.newest[1], env.steering, env.pending_prompt, env.seed_used]
    seen += [env.names_used, env.np_random.bit_generator.state]
    for action in (STAND, JUMP):
        observation, *_, info = env.step(action)
        seen += [observation.tobytes(), info]
    return seen


CALLS: dict[str, Callable[[InfinityRopeEnv, Any], object]] = {
    "reset": lambda env, _: env.reset(seed=5, options={"subject": "frog"}),
    "step": lambda env, _: env.step(WAVE),
    "set_prompt": lambda env, _: env.set_prompt(TEXT, cut=True),
    "restore_state": lambda env, state: env.restore_state(state),
}


@pytest.mark.parametrize("call", CALLS)
def test_an_interrupted_call_has_done_nothing_or_all_or_asks_for_a_reset(env, call):
    def prepare() -> Any:
        env.reset(seed=2, options={"scene": "snow"})
        state = env.save_state()
        env.step(WALK_RIGHT)
        return state

    CALLS[call](env, prepare())  # from here on every prompt is in the cache, and the lines that run are the same
    prepare()
    undone = future(env)
    state = prepare()
    with count_lines(PACKAGE) as ran:
        CALLS[call](env, state)
    done = future(env)
    env.reset(seed=7)
    fresh = future(env)
    outcomes = set()
    for point in np.unique(np.linspace(1, ran[0], POINTS).astype(int)):
        state = prepare()
        with pytest.raises(KeyboardInterrupt), count_lines(PACKAGE, int(point)):
            CALLS[call](env, state)
        if env.newest is None:
            outcomes.add("reset needed")
            with pytest.raises(ResetNeeded):
                env.step(STAND)
            env.reset(seed=7)
            assert future(env) == fresh
        else:
            seen = future(env)
            outcomes.add("done" if seen == done else "undone")
            assert seen in (undone, done), point
    assert "undone" in outcomes and ("reset needed" in outcomes or call == "set_prompt")


def test_a_reset_with_a_seed_that_is_none_changes_nothing(env):
    env.reset(seed=2)
    undone = future(env)
    env.reset(seed=2)
    with pytest.raises(gymnasium.error.Error, match="Seed"):
        env.reset(seed=-1, options={"subject": "frog"})
    assert future(env) == undone


def test_two_threads_step_two_environments_of_one_model(tmp_path):
    weights = str(tiny_world(tmp_path))
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: InfinityRopeEnv(weights=weights, device="cpu"), range(2))
        assert first.model is second.model  # loaded once
        together = list(pool.map(play, (first, second), ((WAVE, JUMP) * 10, (JUMP, STAND) * 10), (3, 4)))
    assert together == [play(first, (WAVE, JUMP) * 10, 3), play(first, (JUMP, STAND) * 10, 4)]


def test_an_environment_is_usable_after_close(env):
    env.reset(seed=2)
    before = future(env)
    env.reset(seed=2)
    env.close()
    env.close()
    assert future(env) == before
    env.reset(seed=2)
