"""What Gymnasium's own tests ask of a vector environment, for this id."""

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import VectorizeMode
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import vector as wrappers

from infrope_env.vector_env import InfinityRopeVectorEnv

ID, ROWS = "infrope/PocketWorld-v0", 3


@pytest.fixture
def arguments(tiny_weights):
    return {"weights": str(tiny_weights), "device": "cpu", "dtype": "float32"}


@pytest.fixture
def envs(arguments):
    envs = gymnasium.make_vec(ID, num_envs=ROWS, render_mode="rgb_array", max_blocks=4, **arguments)
    yield envs
    envs.close()


def stand() -> np.ndarray:
    return np.zeros(ROWS, np.int64)


# Making.


def test_a_spec_makes_the_same_environment_again(envs):
    assert envs.spec.id == ID and envs.spec.kwargs["num_envs"] == ROWS and ID in repr(envs)
    assert envs.spec.kwargs["vectorization_mode"] == VectorizeMode.VECTOR_ENTRY_POINT.value
    again = gymnasium.make_vec(envs.spec)
    assert isinstance(again, InfinityRopeVectorEnv) and again.spec == envs.spec
    assert again.num_envs == ROWS and again.render_mode == "rgb_array" and again.get_attr("max_blocks") == (4,) * ROWS
    assert np.array_equal(again.reset(seed=1)[0], envs.reset(seed=1)[0])
    again.close()


def test_making_changes_neither_the_registry_nor_the_arguments(arguments):
    given = {**arguments, "window": {"context": 2}}
    before = gymnasium.spec(ID)
    gymnasium.make_vec(ID, num_envs=1, **given).close()
    assert gymnasium.spec(ID) == before and given == {**arguments, "window": {"context": 2}}


def test_arguments_of_gymnasiums_own_vector_environments_are_refused(arguments):
    with pytest.raises(gymnasium.error.Error, match="vector_kwargs"):
        gymnasium.make_vec(ID, num_envs=2, vector_kwargs={"copy": False}, **arguments)
    with pytest.raises(gymnasium.error.Error, match="wrappers"):
        gymnasium.make_vec(ID, num_envs=2, wrappers=[gymnasium.wrappers.TimeAwareObservation], **arguments)


def test_gymnasiums_own_vectorization_makes_the_same_blocks(arguments, envs):
    theirs = gymnasium.make_vec(ID, num_envs=ROWS, vectorization_mode="sync", max_blocks=4, **arguments)
    assert isinstance(theirs, SyncVectorEnv)
    for name in ("observation_space", "single_observation_space", "action_space", "single_action_space", "num_envs"):
        assert getattr(envs, name) == getattr(theirs, name)
    assert envs.metadata == theirs.metadata
    assert np.array_equal(envs.reset(seed=2)[0], theirs.reset(seed=2)[0])
    assert np.array_equal(envs.step(stand() + 3)[0], theirs.step(stand() + 3)[0])
    theirs.close()


def test_every_row_passes_gymnasiums_check(envs):
    for row in envs.rows:
        check_env(row, skip_render_check=True)


# Reset and step.


def test_results_are_in_the_spaces_and_have_the_types_of_gymnasium(envs):
    envs.action_space.seed(4)
    observations, infos = envs.reset(seed=0)
    assert observations in envs.observation_space and isinstance(infos, dict)
    for _ in range(9):
        actions = envs.action_space.sample()
        assert actions in envs.action_space
        observations, rewards, terminations, truncations, infos = envs.step(actions)
        assert observations in envs.observation_space and observations.shape[0] == ROWS
        assert (rewards.dtype, terminations.dtype, truncations.dtype) == (np.float64, np.bool_, np.bool_)
        assert {rewards.shape, terminations.shape, truncations.shape} == {(ROWS,)}
        masks = {name for name in infos if name.startswith("_")}
        assert masks == {f"_{name}" for name in infos.keys() - masks}
        assert all(infos[name].dtype == np.bool_ and infos[name].shape == (ROWS,) for name in masks)


@pytest.mark.parametrize("kind", [list, tuple, np.array, lambda actions: np.array(actions, np.int32)])
def test_actions_may_be_any_sequence(envs, kind):
    envs.reset(seed=0)
    assert list(envs.step(kind([1, 2, 3]))[4]["action"]) == [1, 2, 3]


def test_results_that_were_returned_do_not_change_later(envs):
    kept = envs.reset(seed=0)[0]
    copy = kept.copy()
    results = envs.step(stand())
    copies = [part.copy() for part in results[:4]]
    kept_too = envs.reset(seed=9, options={"reset_mask": np.array([True, False, False])})[0]
    copy_too = kept_too.copy()
    envs.step(stand() + 1)
    assert np.array_equal(kept, copy) and np.array_equal(kept_too, copy_too)
    assert all(np.array_equal(part, copied) for part, copied in zip(results[:4], copies, strict=True))


def test_a_step_before_the_first_reset_is_refused(envs):
    with pytest.raises(gymnasium.error.ResetNeeded, match="row 0"):
        envs.step(stand())


# Seeds.


def test_a_number_seeds_the_rows_one_after_the_other_and_a_list_each(envs):
    counted = envs.reset(seed=7)[0]
    assert envs.np_random_seed == (7, 8, 9)
    assert np.array_equal(envs.reset(seed=[7, 8, 9])[0], counted)
    assert np.array_equal(envs.reset(seed=[9, 8, 7])[0], counted[::-1])
    assert len({generator.integers(2**40) for generator in envs.np_random}) == ROWS


def test_a_row_without_a_seed_goes_on_with_its_generator(envs):
    first = [envs.reset(seed=[3, 4, 5])[0]] + [envs.reset()[0] for _ in range(2)]
    again = [envs.reset(seed=[3, 4, 5])[0]] + [envs.reset(seed=[None, None, None])[0] for _ in range(2)]
    assert np.array_equal(first, again) and not np.array_equal(first[1], first[2])


# Resets of some rows.


def test_a_mask_resets_its_rows_only(envs):
    before, _ = envs.reset(seed=0)
    after = envs.step(stand() + 2)[0]
    observations, infos = envs.reset(seed=[0, 1, 2], options={"reset_mask": np.array([False, True, False])})
    assert np.array_equal(observations[1], before[1]) and np.array_equal(observations[[0, 2]], after[[0, 2]])
    assert list(infos["_block"]) == [False, True, False]
    assert list(envs.step(stand())[4]["block"]) == [2, 1, 2]


def test_options_with_a_mask_are_left_as_they_are(envs):
    options = {"scene": "city", "reset_mask": np.array([True, False, True])}
    envs.reset(seed=0)
    envs.reset(options=options)
    assert options.keys() == {"scene", "reset_mask"}


@pytest.mark.parametrize(
    "mask", [[True, False, True], np.array([1, 0, 1]), np.array([True, False]), np.zeros(ROWS, np.bool_)]
)
def test_a_mask_of_another_kind_is_refused_and_changes_nothing(envs, mask):
    envs.reset(seed=0)
    with pytest.raises((TypeError, ValueError), match="reset_mask"):
        envs.reset(options={"reset_mask": mask})
    assert list(envs.step(stand())[4]["block"]) == [1] * ROWS


# The end of an episode.


@pytest.mark.parametrize(
    ("mode", "blocks", "ended"),
    [
        (AutoresetMode.NEXT_STEP, [0, 1, 2, 3, 0, 1, 2, 3, 0], [0, 0, 0, 1, 0, 0, 0, 1, 0]),
        (AutoresetMode.SAME_STEP, [0, 1, 2, 0, 1, 2, 0, 1, 2], [0, 0, 0, 1, 0, 0, 1, 0, 0]),
    ],
)
def test_an_episode_that_ends_is_followed_by_the_next(arguments, mode, blocks, ended):
    envs = gymnasium.make_vec(ID, num_envs=ROWS, max_blocks=4, autoreset_mode=mode, **arguments)
    assert envs.metadata["autoreset_mode"] is mode
    _, infos = envs.reset(seed=0)
    seen, ends = [infos["block"].tolist()], [[False] * ROWS]
    for _ in blocks[1:]:
        _, _, _, truncated, infos = envs.step(stand())
        seen.append(infos["block"].tolist())
        ends.append(truncated.tolist())
        if mode is AutoresetMode.SAME_STEP and truncated.any():
            assert infos["final_info"]["block"].tolist() == [3] * ROWS and infos["_final_obs"].all()
            assert all(last in envs.single_observation_space for last in infos["final_obs"])
    assert seen == [[block] * ROWS for block in blocks] and ends == [[bool(end)] * ROWS for end in ended]
    envs.close()


@pytest.mark.parametrize("mode", AutoresetMode)
def test_gymnasiums_statistics_count_episodes_in_every_mode(arguments, mode):
    envs = InfinityRopeVectorEnv(ROWS, autoreset_mode=mode, max_blocks=3, **arguments)
    counted = wrappers.RecordEpisodeStatistics(envs)
    counted.reset(seed=0)
    lengths = []
    for _ in range(8):
        *_, truncated, infos = counted.step(stand())
        if truncated.any():
            lengths.append(infos["episode"]["l"].tolist())
            if mode is AutoresetMode.DISABLED:
                counted.reset(options={"reset_mask": truncated})
    assert lengths[:2] == [[2] * ROWS] * 2
    counted.close()


# Rows from outside, pictures, wrappers, the end.


def test_call_returns_methods_and_attributes_of_every_row(envs):
    envs.reset(seed=0)
    assert envs.call("max_blocks") == envs.get_attr("max_blocks") == (4, 4, 4)
    assert envs.call("get_keys_to_action") == (envs.rows[0].get_keys_to_action(),) * ROWS
    assert [each.shape for each in envs.call("render")] == [(*envs.rows[0].model.frame_size, 3)] * ROWS
    with pytest.raises(AttributeError, match="no_such_attribute"):
        envs.get_attr("no_such_attribute")


def test_set_attr_takes_one_value_or_one_for_each_row(envs):
    envs.set_attr("max_blocks", 7)
    assert envs.get_attr("max_blocks") == (7, 7, 7)
    envs.set_attr("max_blocks", (2, 3, 4))
    assert envs.get_attr("max_blocks") == (2, 3, 4)
    with pytest.raises(ValueError, match="3 elements"):
        envs.set_attr("max_blocks", [1, 2])


def test_the_picture_changes_with_every_step(envs):
    envs.reset(seed=0)
    before = envs.render()
    envs.step(stand() + 2)
    after = envs.render()
    assert before.shape == after.shape and before.dtype == np.uint8 and not np.array_equal(before, after)


def test_gymnasiums_wrappers_of_vector_environments_go_around_it(envs):
    scaled = wrappers.RescaleObservation(wrappers.DtypeObservation(envs, np.float32), 0.0, 1.0)
    listed = wrappers.DictInfoToList(wrappers.TransformReward(scaled, lambda rewards: rewards + 1))
    observations, infos = listed.reset(seed=0)
    assert (
        observations.dtype == np.float32 and observations.max() <= 1 and [each["block"] for each in infos] == [0] * ROWS
    )
    _, rewards, *_, infos = listed.step(stand())
    assert rewards.tolist() == [1.0] * ROWS and [each["block"] for each in infos] == [1] * ROWS
    assert listed.unwrapped is envs and listed.num_envs == ROWS


def test_closing_twice_closes_once(arguments):
    envs = gymnasium.make_vec(ID, num_envs=2, **arguments)
    envs.reset(seed=0)
    assert not envs.closed
    envs.close()
    envs.close()
    assert envs.closed
