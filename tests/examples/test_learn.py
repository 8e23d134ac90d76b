"""The agent that learns: its reward is right about the rendered world, its worlds suit Stable-Baselines3."""

import json

import numpy as np
import pytest
from stable_baselines3.common.vec_env import VecMonitor

from examples.learn.__main__ import main
from examples.learn.reward import booth_columns, phone_booth
from examples.learn.worlds import SCENES, Worlds, shrink
from examples.pocket_world.world.state import advance, render_block, spawn


@pytest.mark.parametrize("scene", SCENES)
def test_a_walk_to_the_right_meets_the_booth_in_the_city_only(scene):
    state, found = spawn("fox", scene, "walk_right"), []
    for _ in range(15):  # once around
        found.append(phone_booth(render_block(state), {}))
        state = advance(state)
    meetings = [block for block, (_, ended) in enumerate(found) if ended]
    assert bool(meetings) == (scene == "city")
    assert all(-0.33 < reward < 0.29 for reward, ended in found if not ended)
    if meetings:
        assert 1 < meetings[0] < 8 and found[meetings[0] - 1][0] > 0.02  # it came nearer


def test_the_booth_is_not_seen_where_its_landmarks_are_left_out():
    state = spawn("fox", "city", "walk_right", scroll=150)
    with_booth, without = (booth_columns(render_block(state, landmarks=shown)[-1]).sum() for shown in (True, False))
    assert with_booth > 150 > 60 > without


def make_worlds(tiny_weights, seed=0, **options):
    options = {"weights": str(tiny_weights), "device": "cpu", "max_blocks": 3} | options
    return Worlds(2, seed, options)


def test_observations_are_the_last_pixel_frames_shrunk_and_ends_are_told(tiny_weights):
    worlds = VecMonitor(make_worlds(tiny_weights))
    observations = worlds.reset()
    assert observations.shape == (2, *worlds.observation_space.shape) and worlds.observation_space.contains(
        observations[0]
    )
    first, second = worlds.step(np.array([1, 2])), worlds.step(np.array([1, 2]))
    assert not first[2].any() and second[2].all()
    assert [info["TimeLimit.truncated"] for info in second[3]] == [True, True]
    assert [info["episode"]["l"] for info in second[3]] == [2, 2]
    assert not np.array_equal(second[3][0]["terminal_observation"], second[0][0])


def test_episodes_begin_in_scenes_that_the_seed_draws(tiny_weights):
    def scenes(seed):
        worlds, seen = make_worlds(tiny_weights, seed), []
        worlds.reset()
        for _ in range(12):
            seen.append(tuple(row.newest[1]["scene"] for row in worlds._envs.rows))
            worlds.step(np.array([0, 0]))
        return seen

    assert scenes(1) == scenes(1) != scenes(2)
    assert len({scene for pair in scenes(1) for scene in pair}) > 2


def test_a_frame_is_averaged_over_squares():
    frames = np.zeros((1, 12, 8, 8, 3), np.uint8)
    frames[0, -1, :4, 4:] = 255
    assert shrink(frames).reshape(2, 2, 3)[..., 0].tolist() == [[0, 1], [0, 0]]


def test_one_command_trains_saves_goes_on_and_draws(tiny_weights, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("examples.learn.__main__.EVERY", 64)
    arguments = {"out": tmp_path, "seeds": (5,), "rows": 2, "episodes": 2, "weights": str(tiny_weights)}
    main(blocks=64, **arguments)
    solved = json.loads((tmp_path / "seed_5.json").read_text())
    main(blocks=128, **arguments)
    longer = json.loads((tmp_path / "seed_5.json").read_text())
    assert longer[: len(solved)] == solved and longer[-1][0] == 64 + 60
    assert {path.name for path in tmp_path.iterdir()} == {"curve.png", "seed_5.json", "seed_5.webp", "seed_5.zip"}
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["blocks"] == 128
