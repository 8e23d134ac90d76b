"""The start of every episode, as arguments of the environment."""

import json

import gymnasium
import numpy as np
import pytest

import infrope_env  # noqa: F401  registers the worlds
from infrope_env.env import InfinityRopeEnv
from infrope_env.recording import verify
from infrope_env.wrappers import RecordRollout

PROMPT = "a green frog waves hello in a dark cave"


def make(weights, **arguments):
    return gymnasium.make("infrope/PocketWorld-v0", weights=str(weights), device="cpu", **arguments)


def test_every_episode_of_a_vector_starts_as_its_arguments_say(tiny_weights):
    makers = [lambda: make(tiny_weights, subject="frog", scene="cave", motion="wave", max_blocks=2)] * 2
    vector = gymnasium.vector.SyncVectorEnv(makers)
    prompts = [vector.reset(seed=0)[1]["prompt"].tolist()]
    prompts += [vector.step(np.array([5, 5]))[-1]["prompt"].tolist() for _ in range(4)]  # two of them are autoresets
    assert prompts == [[PROMPT] * 2] * 5
    vector.close()


@pytest.mark.parametrize(
    ("arguments", "options", "prompt"),
    [
        ({"subject": "frog"}, {"scene": "cave", "motion": "wave"}, PROMPT),
        ({"subject": "robot", "scene": "cave", "motion": "wave"}, {"subject": "frog"}, PROMPT),
        ({"prompt": PROMPT}, None, PROMPT),
        ({"prompt": PROMPT}, {}, PROMPT),
        ({"subject": "robot"}, {"prompt": PROMPT}, PROMPT),
        ({"prompt": "a red robot stands still in a snowy field", "subject": "frog", "motion": "wave"},
         {"scene": "cave"}, PROMPT),
    ],
)  # fmt: skip
def test_options_of_a_reset_win(tiny_weights, tmp_path, arguments, options, prompt):
    env = RecordRollout(make(tiny_weights, **json.loads(json.dumps(arguments))), tmp_path)
    expected, info = InfinityRopeEnv(weights=str(tiny_weights), device="cpu").reset(seed=3, options={"prompt": prompt})
    observation, info = env.reset(seed=3, options=options)
    env.step(2)
    env.close()
    assert info["prompt"] == prompt and np.array_equal(observation, expected)
    meta = json.loads((tmp_path / "episode_000" / "meta.json").read_text())
    assert meta["options"] == env.unwrapped.names_used != {}
    assert verify(tmp_path / "episode_000").ok


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"subject": "cat"}, "expected subject to be one of robot"),
        ({"scene": 3}, "expected reset option 'scene' to be a string, got 3"),
        ({"prompt": "a dragon in a dark cave"}, "dragon"),
    ],
)
def test_a_start_that_does_not_exist_is_refused_when_the_environment_is_made(tiny_weights, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        InfinityRopeEnv(weights=str(tiny_weights), device="cpu", **arguments)
