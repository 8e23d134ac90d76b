"""Random play in the rendered world: the clips that everything is trained on, captioned block by block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from examples.pocket_world.world.captions import caption
from examples.pocket_world.world.scenes import NEAR_PERIOD, TILE
from examples.pocket_world.world.state import MOTIONS, SCENES, SUBJECTS, World, WorldState
from infrope_env.control.actions import Transition

FIRST_LATENT_PADDING = 3
"""Copies of the first pixel frame in front of a clip, so that its first latent frame covers that frame alone."""

CUT_CHANCE, SWITCH_CHANCE = 0.15, 0.4
DRAWN_MOTIONS = (*MOTIONS, "walk_left", "walk_right")
"""Walks, in which everything moves, take the most learning, and so come twice as often."""
FARTHEST, LONGEST_STAY = NEAR_PERIOD // TILE, 400
"""A clip may be taken up this many blocks of walking along the way, and this many blocks after its scene began."""

HELD_OUT = frozenset(
    {
        ("robot", "beach", "stand"),
        ("frog", "city", "walk_left"),
        ("fox", "cave", "walk_right"),
        ("wizard", "desert", "jump"),
        ("penguin", "meadow", "crouch"),
        ("robot", "snow", "wave"),
    }
)
"""Subject, scene and motion that no clip shows together: what the generator makes of them it has not seen."""


@dataclass(frozen=True)
class PlayedBlock:
    """What one block of a clip shows and how it came about."""

    caption: str
    state: WorldState
    transition: Transition


@dataclass(frozen=True)
class Clip:
    """A clip of play.

    Attributes:
        frames: t H W 3, uint8; t = 12 blocks, the first frame three times over in front.
        blocks: one entry per block.
        far: whether the world was moved along unseen between block 0 and block 1, as if much time had passed.
    """

    frames: np.ndarray
    blocks: tuple[PlayedBlock, ...]
    far: bool


def play_clip(
    rng: np.random.Generator, num_blocks: int = 7, far_chance: float = 0.5, single_prompt: bool = False
) -> Clip:
    """Play a random episode: block 0 stands at the canonical start, the rest may be far along the way.

    An episode that would show what is held out is played anew. With `single_prompt` neither motion nor scene changes.
    """
    while True:
        clip = _play_episode(rng, num_blocks, far_chance, single_prompt)
        if not any(is_held_out(block.state) for block in clip.blocks):
            return clip


def play_on(rng: np.random.Generator, haste: float = 1.0) -> Iterator[tuple[PlayedBlock, np.ndarray]]:
    """Play for ever from the canonical start.

    Args:
        rng: draws everything.
        haste: how often something changes, against the clips.

    Yields:
        a block and its 12 frames, t H W 3 in uint8; in the first, the first frame stands `FIRST_LATENT_PADDING` times
        in front. Nothing that is held out.
    """
    while True:
        world = World()
        frames = world.reset(_pick(rng, SUBJECTS), _pick(rng, SCENES), _pick(rng, DRAWN_MOTIONS))
        if not is_held_out(world.state):
            break
    blocks = [_played(rng, world.state, Transition.START)]
    yield blocks[-1], _padded(frames)
    while True:
        before = world.state
        frames = _play_block(world, rng, blocks, haste)
        if is_held_out(world.state):
            world.state = before
            blocks.pop()
        else:
            yield blocks[-1], frames
            del blocks[:-1]


def is_held_out(state: WorldState) -> bool:
    """Whether no training shows this."""
    return (state.subject, state.scene, state.motion) in HELD_OUT


def _play_episode(rng: np.random.Generator, num_blocks: int, far_chance: float, single_prompt: bool) -> Clip:
    world = World()
    frames = [world.reset(_pick(rng, SUBJECTS), _pick(rng, SCENES), _pick(rng, DRAWN_MOTIONS))]
    blocks = [_played(rng, world.state, Transition.START)]
    far = bool(rng.random() < far_chance)
    if far:
        frames.append(_move_along(world, rng, single_prompt))
        again = PlayedBlock(blocks[0].caption, world.state, Transition.CONTINUE)
        blocks.append(again if single_prompt else _played(rng, world.state, Transition.CONTINUE))
    while len(blocks) < num_blocks:
        frames.append(_play_block(world, rng, blocks, haste=0.0 if single_prompt else 1.0))
    return Clip(np.concatenate([_padded(frames[0]), *frames[1:]]), tuple(blocks), far)


def _padded(frames: np.ndarray) -> np.ndarray:
    """A first block's nine frames as twelve."""
    return np.concatenate([np.repeat(frames[:1], FIRST_LATENT_PADDING, axis=0), frames])


def _play_block(world: World, rng: np.random.Generator, blocks: list[PlayedBlock], haste: float = 1.0) -> np.ndarray:
    """Render one more block: a cut, another motion, or the same going on (its caption then stays word for word)."""
    draw = rng.random()
    if draw < haste * CUT_CHANCE:
        frames = world.step(scene=_pick(rng, SCENES))
        blocks.append(_played(rng, world.state, Transition.CUT))
    elif draw < haste * (CUT_CHANCE + SWITCH_CHANCE):
        others = [motion for motion in DRAWN_MOTIONS if motion != world.state.motion]
        frames = world.step(motion=_pick(rng, others))
        blocks.append(_played(rng, world.state, Transition.SWITCH))
    else:
        frames = world.step()
        blocks.append(PlayedBlock(blocks[-1].caption, world.state, Transition.CONTINUE))
    return frames


def _move_along(world: World, rng: np.random.Generator, stay: bool) -> np.ndarray:
    """Put the subject somewhere along the way of some scene, in some motion, or of its own; render a block there."""
    scroll = TILE * int(rng.integers(-FARTHEST, FARTHEST))
    now = world.state
    scene, motion = (now.scene, now.motion) if stay else (_pick(rng, SCENES), _pick(rng, DRAWN_MOTIONS))
    world.reset(now.subject, scene, motion, scroll)
    world.state = replace(world.state, scene_blocks=int(rng.integers(LONGEST_STAY)))
    return world.step()


def _played(rng: np.random.Generator, state: WorldState, transition: Transition) -> PlayedBlock:
    words = caption(state.subject, state.scene, state.motion, rng if rng.random() < 0.7 else None)
    return PlayedBlock(words, state, transition)


def _pick(rng: np.random.Generator, names: tuple[str, ...] | list[str]) -> str:
    return names[int(rng.integers(len(names)))]
