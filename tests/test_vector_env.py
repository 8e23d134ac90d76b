"""Many rows in one forward pass: each is the single environment with its seed and actions."""

import gc
from dataclasses import replace

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.vector.utils import batch_space

from infrope_env.env import InfinityRopeEnv
from infrope_env.models.resolve import load_model
from infrope_env.pixels.taehv import TAEHV, TAEHVEncoder
from infrope_env.recording.reader import Recording
from infrope_env.recording.verification import Verdict, verify
from infrope_env.vector_env import InfinityRopeVectorEnv
from tests.env_play import JUMP, STAND, WALK_RIGHT
from tests.tiny_world import TINY_DECODER

ROWS = 3
REWARD = "tests.test_vector_env:brightness_until_a_jump"


def brightness_until_a_jump(frames, info):
    """Reward of the tests; a jump ends the episode now and then."""
    return float(frames.mean()), info["motion"] == "jump" and info["block"] % 3 == 2


@pytest.fixture
def arguments(tiny_weights):
    return {"weights": str(tiny_weights), "device": "cpu", "dtype": "float32"}


def make(arguments, rows=ROWS, **options) -> InfinityRopeVectorEnv:
    return InfinityRopeVectorEnv(rows, **arguments, **options)


def same_infos(ours, theirs) -> bool:
    """Return whether two infos of a batch are equal, arrays and all."""
    if isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(same_infos(ours[key], theirs[key]) for key in theirs)
    if isinstance(theirs, np.ndarray) and theirs.dtype == object:
        return len(ours) == len(theirs) and all(same_infos(a, b) for a, b in zip(ours, theirs, strict=True))
    return np.array_equal(ours, theirs)


def test_make_vec_makes_it_and_the_ids_of_pictures_stay_with_gymnasiums_own(arguments):
    envs = gymnasium.make_vec("infrope/PocketWorld-v0", num_envs=2, **arguments)
    assert isinstance(envs, InfinityRopeVectorEnv) and envs.num_envs == 2
    assert envs.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP and envs.metadata["render_fps"] == 16
    assert envs.observation_space == batch_space(envs.single_observation_space, 2)
    assert envs.action_space == batch_space(envs.single_action_space, 2)
    assert len({id(row.model) for row in envs.rows}) == 1
    images = gymnasium.make_vec("infrope/PocketWorldImage-v0", num_envs=2, **arguments)
    assert isinstance(images, SyncVectorEnv)


@pytest.mark.parametrize("mode", AutoresetMode)
def test_results_and_infos_are_those_of_gymnasiums_own_vector_environment(arguments, mode):
    """For 40 steps; test_vector_env_modes.py has more of them, and resets at any time."""
    kwargs = arguments | {"max_blocks": 9, "reward": REWARD}
    ours = make(kwargs, autoreset_mode=mode)
    theirs = SyncVectorEnv([lambda: InfinityRopeEnv(**kwargs)] * ROWS, autoreset_mode=mode)
    chance, endings = np.random.default_rng(0), 0
    (observations, infos), (expected, reference) = ours.reset(seed=5), theirs.reset(seed=5)
    assert np.array_equal(observations, expected) and same_infos(infos, reference)
    for _ in range(40):
        actions = chance.integers(ours.single_action_space.n, size=ROWS)
        results, wanted = ours.step(actions), theirs.step(actions)
        assert all(np.array_equal(one, other) for one, other in zip(results[:4], wanted[:4], strict=True))
        assert [part.dtype for part in results[:4]] == [part.dtype for part in wanted[:4]]
        assert same_infos(results[4], wanted[4])
        ended = results[2] | results[3]
        endings += int(ended.sum())
        if mode is AutoresetMode.DISABLED and ended.any():
            seeds, options = [int(seed) for seed in chance.integers(99, size=ROWS)], {"scene": "city"}
            answers = (envs.reset(seed=seeds, options=options | {"reset_mask": ended}) for envs in (ours, theirs))
            (observations, infos), (expected, reference) = answers
            assert np.array_equal(observations, expected) and same_infos(infos, reference)
    assert endings > 3


@pytest.fixture
def models_have_an_encoder(monkeypatch):
    """Give every loaded model a picture encoder with random weights."""
    encoder = TAEHVEncoder(TAEHV(TINY_DECODER).requires_grad_(False))
    monkeypatch.setattr("infrope_env.env.load_model", lambda *a, **k: replace(load_model(*a, **k), encoder=encoder))


@pytest.mark.usefixtures("models_have_an_encoder")
def test_every_row_has_its_own_seed_subject_scene_prompt_and_picture(arguments):
    envs = make(arguments)
    picture = np.full((*envs.rows[0].model.frame_size, 3), 90, np.uint8)
    options = [{"subject": "fox", "scene": "city"}, {"prompt": "a green frog jumps in a city"}, {"image": picture}]
    names = ("subject", "scene", "prompt", "image")
    observations, infos = envs.reset(
        seed=[4, 9, 4], options={name: [each.get(name) for each in options] for name in names}
    )
    for row, (seed, each) in enumerate(zip((4, 9, 4), options, strict=True)):
        single = InfinityRopeEnv(**arguments)
        expected, info = single.reset(seed=seed, options=each)
        assert np.array_equal(observations[row], expected) and infos["prompt"][row] == info["prompt"]
    actions = np.array([JUMP, WALK_RIGHT, STAND])
    assert np.array_equal(envs.step(actions)[0][2], single.step(STAND)[0])


def test_prompts_are_set_for_some_rows_or_for_all(arguments):
    envs, single = make(arguments), InfinityRopeEnv(**arguments)
    envs.reset(seed=[0, 0, 0])
    single.reset(seed=0)
    envs.set_prompt([None, "a green frog waves hello in a sunny beach", None], cut=True)
    observations, *_, infos = envs.step(np.array([STAND] * ROWS))
    assert list(infos["transition"]) == ["continue", "cut", "continue"]
    assert np.array_equal(observations[0], single.step(STAND)[0])
    envs.set_prompt("a green frog waves hello in a sunny beach")
    assert list(envs.step(np.array([STAND] * ROWS))[4]["transition"]) == ["switch", "continue", "switch"]


def test_states_are_saved_and_restored_by_row_and_fit_single_environments(arguments):
    envs, single = make(arguments), InfinityRopeEnv(**arguments)
    envs.reset(seed=1)
    envs.step(np.array([JUMP, STAND, WALK_RIGHT]))
    states = envs.save_state()
    actions = np.array([STAND, JUMP, JUMP])
    expected = envs.step(actions)[0]
    single.restore_state(states[1])
    assert np.array_equal(single.step(JUMP)[0], expected[1])
    envs.step(actions)
    observations, infos = envs.restore_state([states[0], None, states[2]])
    assert np.array_equal(observations[0], states[0].observation) and list(infos["_block"]) == [True, False, True]
    with pytest.raises(ValueError, match="row 1: expected a state of the same weights"):
        envs.restore_state(
            [states[0], replace(states[1], origin=replace(states[1].origin, dtype=torch.bfloat16)), None]
        )
    again = envs.step(actions)[0]
    assert np.array_equal(again[[0, 2]], expected[[0, 2]]) and not np.array_equal(again[1], expected[1])


def test_a_row_that_cannot_be_stepped_is_named_and_changes_no_other(arguments):
    envs, untouched = make(arguments), make(arguments)
    for each in (envs, untouched):
        each.reset(seed=2)
    with pytest.raises(ValueError, match="row 1: expected an action from 0 to"):
        envs.step(np.array([JUMP, 99, JUMP]))
    with pytest.raises(ValueError, match="row 2: expected scene to be one of"):
        envs.reset(options={"scene": ["city", None, "moon"]})
    with pytest.raises(ValueError, match="row 1: "):
        envs.set_prompt([None, "\ud800", None])
    with pytest.raises(ValueError, match="expected 3 actions, got 2"):
        envs.step(np.array([JUMP, JUMP]))
    with pytest.raises(ValueError, match="expected seed to have 3 elements"):
        envs.reset(seed=[1, 2])
    with pytest.raises(TypeError, match="expected reset_mask to be a bool array of shape"):
        envs.reset(options={"reset_mask": [True, False, False]})
    actions = np.array([STAND, JUMP, STAND])
    assert np.array_equal(envs.step(actions)[0], untouched.step(actions)[0])


def test_an_interrupted_step_leaves_no_row_at_a_block_that_was_not_handed_out(arguments, monkeypatch):
    envs = make(arguments)
    envs.reset(seed=0)
    with monkeypatch.context() as patched:
        patched.setattr(envs.rows[1]._codec, "decode", interrupt)
        with pytest.raises(KeyboardInterrupt):
            envs.step(np.array([STAND] * ROWS))
    assert [row.newest is None for row in envs.rows] == [False, True, True]
    with pytest.raises(ResetNeeded, match="row 1: "):
        envs.step(np.array([STAND] * ROWS))
    observations, _ = envs.reset(seed=0)
    assert np.array_equal(observations, make(arguments).reset(seed=0)[0])


def interrupt(*_):
    raise KeyboardInterrupt


def test_an_episode_that_ended_is_reset_by_the_caller_only_under_disabled(arguments):
    envs = make(arguments | {"max_blocks": 2}, autoreset_mode="Disabled")
    envs.reset(seed=0)
    assert envs.step(np.array([STAND] * ROWS))[3].all()
    with pytest.raises(ResetNeeded, match=r"rows \[0, 1, 2\] have ended"):
        envs.step(np.array([STAND] * ROWS))


def test_the_picture_of_all_rows_has_them_side_by_side(arguments):
    envs = make(arguments, render_mode="rgb_array")
    observations, _ = envs.reset(seed=0)
    height, width = envs.rows[0].model.frame_size
    picture = envs.render()
    assert picture.shape == (2 * height, 2 * width, 3)
    assert np.array_equal(picture[:height, width:], observations[1, -1])
    assert np.array_equal(picture[height:, :width], observations[2, -1]) and not picture[height:, width:].any()
    assert make(arguments).render() is None


def test_attributes_and_methods_of_the_rows_are_reached(arguments):
    envs = make(arguments)
    envs.reset(seed=7)
    assert envs.get_attr("seed_used") == (7, 8, 9) and envs.np_random_seed == (7, 8, 9)
    assert len(envs.call("save_state")) == ROWS
    envs.set_attr("max_blocks", [2, 3, 4])
    assert list(envs.step(np.array([STAND] * ROWS))[3]) == [True, False, False]


def test_rows_are_recorded_and_replay_on_a_single_environment(arguments, tmp_path):
    envs = gymnasium.make_vec("infrope/PocketWorld-v0", num_envs=2, record=str(tmp_path), max_blocks=4, **arguments)
    envs.reset(seed=3)
    for action in ([JUMP, STAND], [STAND, JUMP], [WALK_RIGHT, WALK_RIGHT], [STAND, STAND], [JUMP, JUMP]):
        envs.step(np.array(action))
    envs.close()
    assert "device" not in gymnasium.spec("infrope/PocketWorld-v0").kwargs  # the registry keeps its own arguments
    episodes = sorted(path.parent for path in tmp_path.glob("row_*/episode_*/meta.json"))
    assert [len(Recording.read(path).blocks) for path in episodes] == [4, 2, 4, 2]
    for path in episodes:
        assert Recording.read(path).meta.made_with.batch == 2
        assert verify(path).verdict is Verdict.SAME
    with pytest.raises(ValueError, match="make_vec can be recorded"):
        make(arguments, record=str(tmp_path)).reset(seed=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_envs": 0}, "num_envs to be a number from 1"),
        ({"render_mode": "human"}, "None or rgb_array"),
        ({"compile": True}, "compile is for a single environment"),
        ({"precision": "int8"}, "precision='int8' is for a single environment"),
        ({"autoreset_mode": "later"}, "later"),
    ],
)
def test_an_argument_without_a_meaning_is_refused(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        InfinityRopeVectorEnv(**{"num_envs": 2} | arguments | options)


def test_no_tensor_is_left_behind_by_a_step(arguments):
    envs, chance = make(arguments | {"max_blocks": 7}), np.random.default_rng(0)
    for row in envs.rows:
        row.encode_prompts(row.action_set.prompts())  # embeddings are kept
    envs.reset(seed=0)
    counts = []
    for _ in range(3):
        for _ in range(25):
            envs.step(chance.integers(envs.single_action_space.n, size=ROWS))
        envs.reset(seed=0)
        gc.collect()
        counts.append(sum(isinstance(each, torch.Tensor) for each in gc.get_objects()))
    assert counts[1] == counts[2]
