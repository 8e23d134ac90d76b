"""Arrangements: named by words of the prompt, visible wherever the subject stands, and kept until other words come."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from examples.pocket_world.train.generator import EMBEDDING, PocketGenerator, load_average
from examples.pocket_world.world.actions import action_set
from examples.pocket_world.world.arrangement import ARRANGEMENTS, LIGHTS, OWN_LIGHT, Arrangement
from examples.pocket_world.world.captions import ARRANGEMENT_WORDS, MOST_WORDS, VOCABULARY, caption
from examples.pocket_world.world.play import PlayedBlock, play_clip, play_endlessly
from examples.pocket_world.world.scenery import near_layer
from examples.pocket_world.world.scenes import COLUMNS, HEIGHT, NEAR_PERIOD, TILE
from examples.pocket_world.world.state import SCENES, WorldState, advance, render_block, spawn
from infrope_env.control.actions import ActionSet, Transition

POCKET = Path(__file__).parents[2] / "infrope_env/assets/pocket"
ALL = [Arrangement.numbered(number) for number in range(ARRANGEMENTS)]


def test_there_are_32_and_each_has_words_of_its_own() -> None:
    assert len(set(ALL)) == len({each.words for each in ALL}) == ARRANGEMENTS == 32
    assert Arrangement("red", south=True, rain=True).words == "in red light facing south after rain"
    assert Arrangement().words == ""
    assert {word for each in ALL for word in each.words.split()} == set(ARRANGEMENT_WORDS)
    with pytest.raises(ValueError, match="expected light to be one of clear, red, blue, grey, got 'green'"):
        Arrangement("green")


def test_a_caption_with_the_most_words_fits_into_an_embedding() -> None:
    rng, longest = np.random.default_rng(0), max((each.words for each in ALL), key=lambda words: len(words.split()))
    captions = [caption("robot", "meadow", "jump", rng, longest) for _ in range(200)]
    assert max(len(text.split()) for text in captions) <= MOST_WORDS
    assert all(text.endswith(f" {longest}") for text in captions)


@pytest.mark.parametrize("scene", SCENES)
def test_any_two_arrangements_differ_clearly_wherever_one_stands(scene: str) -> None:
    for scroll in range(0, NEAR_PERIOD, 5 * TILE):
        state = WorldState("fox", scene, "stand", scroll, 1)
        frames = [render_block(replace(state, arrangement=each), [0])[0].astype(int) for each in ALL]
        for one, other in itertools.combinations(frames, 2):
            assert (np.abs(one - other).sum(-1) > 20).mean() > 0.04


@pytest.mark.parametrize("scene", SCENES)
def test_without_words_a_scene_has_its_own_light_and_no_other_change(scene: str) -> None:
    equal = [
        each
        for each in ALL
        if np.array_equal(render_block(spawn("fox", scene, arrangement=each)), render_block(spawn("fox", scene)))
    ]
    assert len(equal) == 1 and not (equal[0].south or equal[0].autumn or equal[0].rain)
    assert {each.sky(scene) for each in ALL} == set(range(len(LIGHTS)))


@pytest.mark.parametrize("scene", SCENES)
def test_view_season_and_weather_select_one_landmark_each_and_light_the_other_two(scene: str) -> None:
    def others(arrangement: Arrangement) -> set[int]:
        return {place for place, other in enumerate(arrangement.landmarks(scene)) if other}

    own = OWN_LIGHT[scene]
    assert others(Arrangement(own, south=True)) == {0}
    assert others(Arrangement(own, autumn=True)) == {1}
    assert others(Arrangement(own, rain=True)) == {2}
    lights = sorted(LIGHTS, key=lambda light: Arrangement(light).sky(scene))
    assert [others(Arrangement(light)) for light in lights] == [set(), {3}, {4}, {3, 4}]


@pytest.mark.parametrize("place", range(len(COLUMNS)))
def test_a_landmark_that_is_selected_stands_at_its_place(place: int) -> None:
    """Nothing but the landmark differs: the ground and what is behind it are the same."""
    chosen = [False] * len(COLUMNS)
    pictures = np.zeros((2, HEIGHT, NEAR_PERIOD, 3), np.uint16)
    for other in (False, True):
        chosen[place] = other
        layer = near_layer("beach", False, tuple(chosen))
        pictures[int(other), layer.top : layer.bottom] = layer.colour[:, :NEAR_PERIOD]
    changed = (pictures[0] != pictures[1]).any(axis=(0, 2))
    distance = np.abs((np.flatnonzero(changed) - COLUMNS[place] + NEAR_PERIOD // 2) % NEAR_PERIOD - NEAR_PERIOD // 2)
    assert len(distance) > 10 and distance.max() <= 32


def played(seed: int, blocks: int) -> list[PlayedBlock]:
    play = play_endlessly(np.random.default_rng(seed), arrangements=True)
    return [block for block, _ in itertools.islice(play, blocks)]


def test_captions_name_the_arrangement_and_without_words_what_is_visible_stays() -> None:
    changes = wordless = 0
    for before, block in itertools.pairwise(itertools.chain.from_iterable(played(seed, 60) for seed in range(4))):
        now = block.state.arrangement
        named = block.caption.endswith(now.words) and bool(now.words)
        if block.transition in (Transition.START, Transition.CUT):
            assert named or now == Arrangement()
        elif not named:
            assert now == before.state.arrangement
            wordless += now != Arrangement()
        if block.transition is not Transition.START:
            changes += now != before.state.arrangement
        if block.transition is Transition.CONTINUE:
            assert now == before.state.arrangement
    assert changes > 5 and wordless > 5


def test_random_play_shows_every_arrangement_and_that_without_words() -> None:
    shown = {played(seed, 1)[0].state.arrangement for seed in range(400)}
    assert shown == {*ALL, Arrangement()}


def test_a_cut_keeps_the_arrangement_unless_it_is_given_another() -> None:
    state = spawn("fox", "snow", arrangement=Arrangement("grey", rain=True))
    state = advance(advance(advance(state, "walk_right"), scene="city"), "jump")
    assert state.arrangement == Arrangement("grey", rain=True)
    assert advance(state, arrangement=Arrangement("blue")).arrangement == Arrangement("blue")


def test_a_clip_is_captioned_as_play_is() -> None:
    blocks = [
        block for seed in range(12) for block in play_clip(np.random.default_rng(seed), 5, arrangements=True).blocks
    ]
    named = [block for block in blocks if block.state.arrangement.words]
    assert len(named) > 30
    assert sum(block.caption.endswith(block.state.arrangement.words) for block in named) > 0.7 * len(named)


def test_without_the_option_play_has_one_arrangement_and_no_words_for_it() -> None:
    blocks = [block for seed in range(6) for block in play_clip(np.random.default_rng(seed), 5).blocks]
    blocks += [block for block, _ in itertools.islice(play_endlessly(np.random.default_rng(0)), 40)]
    assert {block.state.arrangement for block in blocks} == {Arrangement()}
    assert not any("light" in block.caption.split() for block in blocks)


def test_a_generator_of_a_world_folder_learns_new_words_beside_its_own() -> None:
    torch.manual_seed(0)
    known = load_average(POCKET)
    more = load_average(POCKET, arrangements=True)
    plain, wider = PocketGenerator.from_weights(known), PocketGenerator.from_weights(more)
    assert set(wider.text.known_words) - set(plain.text.known_words) == set(ARRANGEMENT_WORDS) - set(VOCABULARY)
    text = [caption("fox", "snow", "jump")]
    assert torch.equal(plain.text(text), wider.text(text))
    assert {name for name in known if not torch.equal(known[name], more[name])} == {f"text.{EMBEDDING}"}


def test_words_name_their_arrangement_and_the_variations_of_the_action_set_are_all_of_them() -> None:
    assert [Arrangement.named(each.words) for each in ALL] == ALL and Arrangement.named("") == Arrangement()
    with pytest.raises(ValueError, match="expected the words of an arrangement, such as 'in red light facing south'"):
        Arrangement.named("in green light")
    drawn = ActionSet.from_dict(action_set(arrangements=True))
    named = {Arrangement.named(drawn.start(seed=seed).variation) for seed in range(300)}
    assert named == set(ALL)
    start = drawn.start(variation=Arrangement("red", rain=True).words)
    assert start.prompt == caption("fox", "snow", "stand", arrangement="in red light after rain")
    assert ActionSet.from_dict(action_set()) == ActionSet.load("pocket")
