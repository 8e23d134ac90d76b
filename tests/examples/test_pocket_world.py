"""The rendered world: scrolling, jumps, cuts, sprites, scenery and captions follow their rules."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace

import numpy as np
import pytest

from examples.pocket_world.evaluate.contact_sheet import contact_sheet
from examples.pocket_world.world.arrangement import Arrangement
from examples.pocket_world.world.captions import VOCABULARY, caption
from examples.pocket_world.world.drawing import Canvas
from examples.pocket_world.world.play import HELD_OUT_COMBINATIONS, play_clip
from examples.pocket_world.world.scenery import Layer, paint, scenery
from examples.pocket_world.world.scenes import COLUMNS, GROUND, NEAR_PERIOD, RECIPES, TILE
from examples.pocket_world.world.sprites import CELL_WIDTH, FEET_ROW, pose_at, sprite_from_pixels, subject_sprite
from examples.pocket_world.world.state import (
    BLOCK_FRAMES,
    HEIGHT,
    MOTIONS,
    SCENES,
    SUBJECTS,
    WALKING_SPEED,
    WIDTH,
    World,
    WorldState,
    advance,
    ground_truth,
    render_block,
    spawn,
)
from infrope_env.control.actions import Transition


def scrolls(world: World, phases: range = range(BLOCK_FRAMES)) -> list[int]:
    """Return the camera positions of the block rendered last."""
    return [truth.scroll for truth in ground_truth(world.state, phases)]


def test_reset_gives_nine_frames_and_step_twelve() -> None:
    world = World()
    assert world.reset("fox", "meadow").shape == (9, HEIGHT, WIDTH, 3)
    block = world.step("wave")
    assert block.shape == (12, HEIGHT, WIDTH, 3)
    assert block.dtype == np.uint8


@pytest.mark.parametrize(("motion", "speed"), [("walk_right", 2), ("walk_left", -2)])
def test_walking_moves_two_pixels_between_all_frames(motion: str, speed: int) -> None:
    world = World()
    world.reset("frog", "snow", motion, scroll=10)
    seen = scrolls(world, range(3, 12))
    for _ in range(3):
        world.step()
        seen += scrolls(world)
    assert seen == [10 + speed * (k + 4) for k in range(9 + 36)]


def test_other_motions_keep_the_scroll_of_the_last_walk() -> None:
    world = World()
    world.reset("frog", "snow", "walk_right")
    world.step()
    end = scrolls(world)[-1]
    for motion in ("stand", "jump", "crouch", "wave"):
        world.step(motion)
        assert scrolls(world) == [end] * BLOCK_FRAMES


def test_the_ground_scrolls_as_the_ground_truth_says() -> None:
    """The bottom rows, which no subject covers, move by exactly 2 pixels per frame."""
    world = World()
    frames = np.concatenate([world.reset("robot", "city", "walk_right"), world.step(), world.step()])
    ground = frames[:, -4:]
    for before, after in itertools.pairwise(ground):
        np.testing.assert_array_equal(after[:, :-2], before[:, 2:])
        assert not np.array_equal(after, before)


def test_a_jump_starts_and_lands_on_the_ground() -> None:
    heights = [truth.jump_height for truth in ground_truth(spawn("wizard", "cave", "jump"))]
    assert heights == [0, 7, 13, 17, 20, 22, 22, 20, 17, 13, 7, 0]


def test_the_wizards_hat_stays_in_the_picture_at_the_top_of_a_jump() -> None:
    world = WorldState("wizard", "beach", "jump", 0, 0)
    difference = render_block(world, [5])[0] != scenery("beach").draw(0)
    rows = np.flatnonzero(difference.any(axis=(1, 2)))
    assert rows[0] > 4


def test_walking_left_is_walking_right_mirrored() -> None:
    for subject, phase in itertools.product(SUBJECTS, range(BLOCK_FRAMES)):
        left = subject_sprite(subject, "walk_left", phase, True)
        right = subject_sprite(subject, "walk_right", phase, True)
        np.testing.assert_array_equal(left.colour, right.colour[:, ::-1])
        assert not np.array_equal(left.colour, right.colour)


def test_only_walking_left_faces_left() -> None:
    facing = {motion: ground_truth(spawn("fox", "cave", motion))[0].facing for motion in MOTIONS}
    assert [motion for motion, side in facing.items() if side == -1] == ["walk_left"]


def test_a_cut_resets_the_scroll_and_restarts_the_motion_also_in_the_same_scene() -> None:
    state = WorldState("fox", "desert", "walk_right", 480, 7)
    assert advance(state, scene="desert") == WorldState("fox", "desert", "walk_right", 0, 0)
    assert advance(state, "jump", "cave") == WorldState("fox", "cave", "jump", 0, 0)


def test_a_motion_counts_its_blocks_from_its_switch() -> None:
    state = spawn("fox", "desert")
    lasted = []
    for motion in (None, "stand", "crouch", None, "crouch", "stand"):
        state = advance(state, motion)
        lasted.append(state.motion_blocks)
    assert lasted == [1, 2, 0, 1, 2, 0]


def test_a_crouch_goes_down_in_its_first_block_and_stays_down() -> None:
    assert [pose_at("crouch", phase, True).crouch for phase in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    later = render_block(WorldState("frog", "beach", "crouch", 0, 1))
    feet = slice(HEIGHT // 2, None)  # below the clouds, which drift
    assert (later[:, feet] == later[0, feet]).all()


@pytest.mark.parametrize("motion", MOTIONS)
def test_every_other_motion_repeats_in_each_block(motion: str) -> None:
    if motion != "crouch":
        first, second = (render_block(WorldState("robot", "snow", motion, 0, lasted)) for lasted in (0, 1))
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("motion", WALKING_SPEED)
@pytest.mark.parametrize("scene", SCENES)
def test_a_walk_passes_every_landmark_and_repeats_after_fifteen_blocks(scene: str, motion: str) -> None:
    layers = scenery(scene)
    blocks = [layers.draw(WALKING_SPEED[motion] * BLOCK_FRAMES * block).tobytes() for block in range(16)]
    assert len(set(blocks)) == 15
    assert blocks[15] == blocks[0]
    bare = replace(layers, near=Layer.of(paint(RECIPES[scene].ground, NEAR_PERIOD)))
    for column in COLUMNS:
        beside = column - WIDTH // 4  # the subject would hide a landmark in the middle
        difference = layers.draw(beside).astype(int) - bare.draw(beside)
        assert np.abs(difference[:, WIDTH // 4 - 8 : WIDTH // 4 + 8]).max() > 60


@pytest.mark.parametrize("scene", SCENES)
def test_no_two_landmarks_touch(scene: str) -> None:
    recipe, shown = RECIPES[scene], np.zeros(NEAR_PERIOD, int)
    for column, *alternatives in zip(COLUMNS, recipe.landmarks, recipe.other_landmarks, strict=True):
        alone = [
            paint(lambda canvas, landmark=landmark, column=column: landmark(canvas, column), NEAR_PERIOD)
            for landmark in alternatives
        ]
        shown += np.any([pixels[..., 3] > 55 for pixels in alone], axis=(0, 1))
    assert shown.max() == 1


@pytest.mark.parametrize("scene", SCENES)
def test_without_its_tint_the_ground_repeats_after_every_block_of_a_walk(scene: str) -> None:
    ground = paint(RECIPES[scene].ground, NEAR_PERIOD)[-GROUND + 2 :, :, :3].astype(int)
    block, half_a_block = (np.abs(np.roll(ground, shift, axis=1) - ground).max() for shift in (TILE, TILE // 2))
    assert block <= 16 < half_a_block  # edges of shapes are smoothed where they fall


def test_walking_back_returns_to_the_same_scenery() -> None:
    state = advance(spawn("fox", "beach", "walk_right"))
    picture = scenery("beach").draw(ground_truth(state)[-1].scroll)
    back = advance(advance(state, "walk_left"), "walk_right")
    np.testing.assert_array_equal(picture, scenery("beach").draw(ground_truth(back)[-1].scroll))


def test_clouds_drift_a_token_per_block_while_the_scene_stands_still() -> None:
    state = advance(spawn("fox", "meadow"))
    drifts = [truth.drift for truth in ground_truth(state)]
    assert drifts == [17, 18, 20, 21, 22, 24, 25, 26, 28, 29, 30, 32]
    assert [truth.drift for truth in ground_truth(advance(state))] == [16 + drift for drift in drifts]
    assert ground_truth(advance(state, scene="meadow"))[0].drift == 1
    snow = advance(spawn("fox", "snow"))
    before, after = (render_block(s, [0])[0, :26] for s in (snow, advance(snow)))
    np.testing.assert_array_equal(after[:, :144], before[:, 16:])
    assert (after != before).any()


@pytest.mark.parametrize("rain", [False, True])
@pytest.mark.parametrize("scene", SCENES)
def test_the_colour_of_the_ground_identifies_the_position(scene: str, rain: bool) -> None:
    layers = scenery(scene, Arrangement("clear", rain=rain))
    places = [layers.draw(scroll, landmarks=False)[-GROUND:, :TILE] for scroll in range(0, NEAR_PERIOD, TILE)]
    colours = [place.mean(axis=(0, 1)) for place in places]
    for one, other in itertools.combinations(colours, 2):
        assert np.abs(one - other).sum() > 1.5


def test_no_clip_shows_a_held_out_combination() -> None:
    for seed in range(40):
        blocks = play_clip(np.random.default_rng(seed), num_blocks=4).blocks
        assert not {(b.state.subject, b.state.scene, b.state.motion) for b in blocks} & HELD_OUT_COMBINATIONS


def test_a_clip_of_a_single_prompt_shows_one_motion_in_one_scene() -> None:
    clips = [play_clip(np.random.default_rng(seed), single_prompt=True) for seed in range(20)]
    assert {clip.time_skip for clip in clips} == {True, False}
    for clip in clips:
        assert len({(b.caption, b.state.scene, b.state.motion) for b in clip.blocks}) == 1
        assert {b.transition for b in clip.blocks[1:]} == {Transition.CONTINUE}
    assert len({clip.blocks[0].state.motion for clip in clips}) > 3


def test_scenes_and_subjects_differ_clearly() -> None:
    skies = [scenery(scene).draw(0).astype(float) for scene in SCENES]
    figures = [subject_sprite(subject, "stand", 0, True).colour.astype(float) for subject in SUBJECTS]
    for pictures in (skies, figures):
        for one, other in itertools.combinations(pictures, 2):
            assert np.abs(one - other).mean() > 10


def test_rendering_is_deterministic_and_gives_fresh_arrays() -> None:
    state = WorldState("penguin", "cave", "walk_left", 12, 3)
    first = render_block(state)
    kept = first.copy()
    first[:] = 0
    np.testing.assert_array_equal(render_block(state), kept)


def test_edges_of_bright_shapes_have_no_dark_fringe() -> None:
    """A white disc over white stays white: the colour of its edge pixels is proportional to their coverage."""
    canvas = Canvas(24, 24, (12, 12))
    canvas.ellipse(0.3, 0.2, 7.3, 6.1, "#ffffff")
    pixels = canvas.pixels()
    assert np.count_nonzero((pixels[..., 3] > 0) & (pixels[..., 3] < 255)) > 20
    sprite = sprite_from_pixels(pixels)
    over_white = (255 * sprite.keep >> 8) + sprite.colour
    assert over_white.min() >= 253


def test_no_sprite_has_more_colour_than_coverage() -> None:
    for subject, motion, phase in itertools.product(SUBJECTS, MOTIONS, (0, 4, 8)):
        sprite = subject_sprite(subject, motion, phase, True)
        assert int(((255 * sprite.keep >> 8) + sprite.colour).max()) <= 255


def test_no_pose_leaves_its_cell() -> None:
    for subject, motion, phase in itertools.product(SUBJECTS, MOTIONS, range(BLOCK_FRAMES)):
        keep = subject_sprite(subject, motion, phase, True).keep
        border = np.concatenate([keep[0], keep[-1], keep[:, 0], keep[:, -1]])
        assert (border == 256).all(), (subject, motion, phase)


def test_the_subject_stands_in_the_middle_on_the_ground() -> None:
    for subject in SUBJECTS:
        keep = subject_sprite(subject, "stand", 0, True).keep[..., 0]
        feet = np.flatnonzero((keep[FEET_ROW - 4 : FEET_ROW] < 128).any(axis=0))
        assert abs(feet.mean() + 0.5 - CELL_WIDTH / 2) < 2, subject
        assert 34 <= np.count_nonzero((keep < 128).any(axis=1)) <= 50
    assert 11 <= GROUND <= 14


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected scene to be one of meadow, .* got 'moon'"):
        spawn("fox", "moon")


def test_the_canonical_caption_follows_the_action_sets_template_and_differs_for_every_state() -> None:
    assert caption("fox", "snow", "walk_right") == "an orange fox walks to the right in a snowy field"
    assert len({caption(*state) for state in itertools.product(SUBJECTS, SCENES, MOTIONS)}) == (
        len(SUBJECTS) * len(SCENES) * len(MOTIONS)
    )


def test_captions_are_short_varied_and_made_of_the_vocabulary() -> None:
    rng = np.random.default_rng(0)
    texts = [caption(*state) for state in itertools.product(SUBJECTS, SCENES, MOTIONS)]
    paraphrases = [caption(*state, rng) for state in itertools.product(SUBJECTS, SCENES, MOTIONS) for _ in range(40)]
    assert len(set(paraphrases)) > 0.9 * len(paraphrases)
    for text in texts + paraphrases:
        assert text == text.lower()
        assert len(text.split()) <= 20
        assert set(text.replace(",", "").split()) <= set(VOCABULARY), text
    assert list(VOCABULARY) == sorted(set(VOCABULARY))
    used = {word for text in texts + paraphrases for word in text.replace(",", "").split()}
    assert used == set(VOCABULARY)


def test_the_captions_of_a_walk_name_its_direction_only() -> None:
    rng = np.random.default_rng(1)
    for motion, side, wrong in (("walk_left", "left", "right"), ("walk_right", "right", "left")):
        for _ in range(200):
            words = caption("robot", "city", motion, rng).replace(",", "").split()
            assert side in words
            assert wrong not in words


def test_a_block_renders_in_less_than_50_ms_once_everything_is_drawn() -> None:
    world = World()
    world.reset("penguin", "meadow", "walk_right")
    world.step()
    times_s = []
    for _ in range(20):
        begin = time.process_time()
        world.step()
        times_s.append(time.process_time() - begin)
    assert min(times_s) < 0.05  # of processor time, and the least: other processes take turns


def test_the_contact_sheet_shows_everything() -> None:
    sheet = contact_sheet()
    assert sheet.width >= 6 * 2 * WIDTH
    assert sheet.height >= (len(SUBJECTS) + len(SCENES)) * 2 * HEIGHT
