"""Frames before the commit pass: when it runs, and what a saved state holds when it has not run yet."""

import pytest
from gymnasium.error import ResetNeeded

from infrope_env.env import InfinityRopeEnv
from tests.env_play import ACTIONS, CUT_SNOW, JUMP, WALK_RIGHT, WAVE, play


def count_commits(env: InfinityRopeEnv, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    passes, transformer = [], env.model.transformer
    update_cache = transformer.update_cache
    monkeypatch.setattr(transformer, "update_cache", lambda *rest: (passes.append(len(passes)), update_cache(*rest))[1])
    return passes


def test_an_observation_is_there_before_its_commit_pass(env, monkeypatch):
    passes = count_commits(env, monkeypatch)
    env.reset(seed=1)
    assert not passes and env.timings["commit_s"] == 0
    env.step(JUMP)
    assert len(passes) == 1 and env.timings["commit_s"] > 0
    env.commit()
    assert len(passes) == 2
    env.step(JUMP)
    assert len(passes) == 2 and env.timings["commit_s"] == 0


def test_a_commit_between_steps_changes_no_byte(env):
    expected = play(env, ACTIONS)
    step = env.step
    env.step = lambda action: (env.commit(), step(action))[1]
    assert play(env, ACTIONS) == expected


def test_a_state_is_the_same_before_and_after_the_commit_pass(env):
    futures = []
    for committed in (False, True):
        env.reset(seed=3)
        env.step(WAVE)
        if committed:
            env.commit()
        state = env.save_state()
        env.step(CUT_SNOW)
        env.restore_state(state)
        futures.append([env.step(action)[0].tobytes() for action in (WALK_RIGHT, CUT_SNOW)])
    assert futures[0] == futures[1]


def test_a_commit_before_the_first_reset_asks_for_one(env):
    with pytest.raises(ResetNeeded):
        env.commit()
