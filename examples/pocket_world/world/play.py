"""Random play in the rendered world: the training clips, captioned block by block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from examples.pocket_world.world.arrangement import DEFAULT_ARRANGEMENT, Arrangement
from examples.pocket_world.world.captions import caption
from examples.pocket_world.world.scenes import NEAR_PERIOD, TILE
from examples.pocket_world.world.state import MOTIONS, SCENES, SUBJECTS, World, WorldState
from infrope_env.control.actions import Transition

FIRST_LATENT_PADDING = 3
"""Copies of the first pixel frame in front of a clip, so that its first latent frame covers that frame alone."""

WORDLESS_CHANCE, NEW_ARRANGEMENT_CHANCE = 0.15, 0.2
"""Chances that a prompt has no words for the arrangement, and that a change of the prompt changes the arrangement."""
CUT_CHANCE, SWITCH_CHANCE = 0.15, 0.4
DRAWN_MOTIONS = (*MOTIONS, "walk_left", "walk_right")
"""Motions to draw from; walks, the hardest to learn because the scenery moves, are twice as likely."""
MAX_SKIPPED_BLOCKS, MAX_SKIPPED_SCENE_BLOCKS = NEAR_PERIOD // TILE, 400
"""Most blocks of walking, and most blocks since the scene began, that a time skip covers."""

HELD_OUT_COMBINATIONS = frozenset(
    {
        ("robot", "beach", "stand"),
        ("frog", "city", "walk_left"),
        ("fox", "cave", "walk_right"),
        ("wizard", "desert", "jump"),
        ("penguin", "meadow", "crouch"),
        ("robot", "snow", "wave"),
    }
)
"""Combinations of subject, scene and motion that no clip shows, for testing generalisation."""


@dataclass(frozen=True)
class PlayedBlock:
    """Caption, state and transition of one block of play."""

    caption: str
    state: WorldState
    transition: Transition


@dataclass(frozen=True)
class Clip:
    """A training sample.

    Attributes:
        frames: Pixel frames, t H W 3 uint8; 12 per block, with `FIRST_LATENT_PADDING` copies of the first in front.
        blocks: One entry per block.
        time_skip: Whether the clip skips unseen time between block 0 and block 1.
    """

    frames: np.ndarray
    blocks: tuple[PlayedBlock, ...]
    time_skip: bool


def play_clip(
    rng: np.random.Generator,
    num_blocks: int = 7,
    skip_chance: float = 0.5,
    single_prompt: bool = False,
    arrangements: bool = False,
) -> Clip:
    """Play a random clip without held-out combinations.

    Args:
        rng: Random generator of all choices.
        num_blocks: Length of the clip.
        skip_chance: Probability that a time skip follows block 0, so that block 1 may be anywhere along the walk.
        single_prompt: Keep motion and scene for the whole clip.
        arrangements: Draw arrangements of the world and name them in captions; else there is one, without words.
    """
    while True:
        clip = _play_episode(rng, num_blocks, skip_chance, single_prompt, arrangements)
        if not any(is_held_out(block.state) for block in clip.blocks):
            return clip


def play_endlessly(
    rng: np.random.Generator, change_rate: float = 1.0, arrangements: bool = False
) -> Iterator[tuple[PlayedBlock, np.ndarray]]:
    """Play without end from scroll 0, without held-out combinations.

    Args:
        rng: Random generator of all choices.
        change_rate: Rate of switches and cuts relative to clips.
        arrangements: As in `play_clip`.

    Yields:
        A block and its 12 frames, t H W 3 uint8; those of the first block begin with `FIRST_LATENT_PADDING` copies.
    """
    first, frames = play_start(rng, arrangements)
    world, blocks = World(), [first]
    world.state = first.state
    yield first, frames
    while True:
        before = world.state
        frames = _play_block(world, rng, blocks, change_rate, arrangements)
        if is_held_out(world.state):
            world.state = before
            blocks.pop()
        else:
            yield blocks[-1], frames
            del blocks[:-1]


def play_start(rng: np.random.Generator, arrangements: bool = False) -> tuple[PlayedBlock, np.ndarray]:
    """Begin a rollout without a held-out combination.

    Args:
        rng: Random generator of all choices.
        arrangements: As in `play_clip`.

    Returns:
        The first block and its frames, t H W 3 uint8, which begin with `FIRST_LATENT_PADDING` copies.
    """
    while True:
        world = World()
        frames = _start(world, rng, arrangements)
        if not is_held_out(world.state):
            return _captioned(rng, world.state, Transition.START), _padded(frames)


def is_held_out(state: WorldState) -> bool:
    """Return whether a state's combination is held out of training."""
    return (state.subject, state.scene, state.motion) in HELD_OUT_COMBINATIONS


def _play_episode(
    rng: np.random.Generator, num_blocks: int, skip_chance: float, single_prompt: bool, arrangements: bool
) -> Clip:
    world = World()
    frames = [_start(world, rng, arrangements)]
    blocks = [_captioned(rng, world.state, Transition.START)]
    time_skip = bool(rng.random() < skip_chance)
    if time_skip:
        frames.append(_skip_time(world, rng, single_prompt))
        same_caption = PlayedBlock(blocks[0].caption, world.state, Transition.CONTINUE)
        blocks.append(same_caption if single_prompt else _captioned(rng, world.state, Transition.CONTINUE))
    while len(blocks) < num_blocks:
        frames.append(_play_block(world, rng, blocks, 0.0 if single_prompt else 1.0, arrangements))
    return Clip(np.concatenate([_padded(frames[0]), *frames[1:]]), tuple(blocks), time_skip)


def _start(world: World, rng: np.random.Generator, arrangements: bool) -> np.ndarray:
    """Begin a rollout with random names, and render its first block."""
    names = _pick(rng, SUBJECTS), _pick(rng, SCENES), _pick(rng, DRAWN_MOTIONS)
    return world.reset(*names, arrangement=_draw_arrangement(rng) if arrangements else DEFAULT_ARRANGEMENT)


def _draw_arrangement(rng: np.random.Generator) -> Arrangement:
    return DEFAULT_ARRANGEMENT if rng.random() < WORDLESS_CHANCE else Arrangement.drawn(rng)


def _padded(frames: np.ndarray) -> np.ndarray:
    """Pad the nine frames of a first block to twelve."""
    return np.concatenate([np.repeat(frames[:1], FIRST_LATENT_PADDING, axis=0), frames])


def _play_block(
    world: World, rng: np.random.Generator, blocks: list[PlayedBlock], change_rate: float, arrangements: bool
) -> np.ndarray:
    """Render the next block and append it: a cut, a switch, or a continuation, which keeps the caption unchanged."""
    draw = rng.random()
    if draw < change_rate * CUT_CHANCE:
        changed = _draw_arrangement(rng) if arrangements and rng.random() < NEW_ARRANGEMENT_CHANCE else None
        frames = world.step(scene=_pick(rng, SCENES), arrangement=changed)
        blocks.append(_captioned(rng, world.state, Transition.CUT))
    elif draw < change_rate * (CUT_CHANCE + SWITCH_CHANCE):
        others = [motion for motion in DRAWN_MOTIONS if motion != world.state.motion]
        motion, changed, wordless = _pick(rng, others), None, False
        if arrangements and rng.random() < NEW_ARRANGEMENT_CHANCE:
            changed = Arrangement.drawn(rng)
        elif arrangements:
            wordless = rng.random() < WORDLESS_CHANCE
        frames = world.step(motion=motion, arrangement=changed)
        blocks.append(_captioned(rng, world.state, Transition.SWITCH, wordless))
    else:
        frames = world.step()
        blocks.append(PlayedBlock(blocks[-1].caption, world.state, Transition.CONTINUE))
    return frames


def _skip_time(world: World, rng: np.random.Generator, same_prompt: bool) -> np.ndarray:
    """Move the subject to a random position, in a random scene and motion unless `same_prompt`, and render a block."""
    scroll = TILE * int(rng.integers(-MAX_SKIPPED_BLOCKS, MAX_SKIPPED_BLOCKS))
    now = world.state
    scene, motion = (now.scene, now.motion) if same_prompt else (_pick(rng, SCENES), _pick(rng, DRAWN_MOTIONS))
    world.reset(now.subject, scene, motion, scroll, now.arrangement)
    world.state = replace(world.state, scene_blocks=int(rng.integers(MAX_SKIPPED_SCENE_BLOCKS)))
    return world.step()


def _captioned(
    rng: np.random.Generator, state: WorldState, transition: Transition, wordless: bool = False
) -> PlayedBlock:
    """Caption a block; `wordless` leaves out the words of the arrangement, which a block after a switch keeps."""
    words = "" if wordless else state.arrangement.words
    text = caption(state.subject, state.scene, state.motion, rng if rng.random() < 0.7 else None, words)
    return PlayedBlock(text, state, transition)


def _pick(rng: np.random.Generator, names: tuple[str, ...] | list[str]) -> str:
    return names[int(rng.integers(len(names)))]
