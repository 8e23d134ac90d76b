"""What an evaluation plays: held motions, random play, action changes, cuts, and what the codec does to unseen clips.

Every trial drives the environment as a player would, with seeds that no training has seen, and compares what the
detectors name with what was asked for and, where it counts, with the frames the world itself would draw.
"""

from __future__ import annotations

import tomllib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch

from examples.pocket_world.evaluate.detectors import Detectors
from examples.pocket_world.evaluate.landmarks import things_right
from examples.pocket_world.evaluate.measures import mean_colour, psnr, rise, scroll_speed, sharpness, step_rate
from examples.pocket_world.train.codec import as_video
from examples.pocket_world.world.play import FIRST_LATENT_PADDING, play_clip
from examples.pocket_world.world.play import HELD_OUT as HELD_OUT_TOGETHER
from examples.pocket_world.world.state import (
    BLOCK_FRAMES,
    MOTIONS,
    SCENES,
    SUBJECTS,
    WALKING_SPEED,
    WorldState,
    advance,
    render_block,
    spawn,
)
from infrope_env.bench import random_actions
from infrope_env.env import InfinityRopeEnv
from infrope_env.models.world_model import WorldModel

HELD_OUT = 20_000_000
"""Noise seeds and clips from here on are no training's."""
PROMPTS = Path(__file__).with_name("prompts.toml")
LATELY = 5
"""How many blocks, the newest among them, tell the rhythm of a walk and whether what it passes is right."""


@dataclass(frozen=True)
class Judged:
    """Whether each part of what was asked for is what a block shows."""

    subject: bool
    scene: bool
    motion: bool


@dataclass(frozen=True)
class FrozenPrompt:
    """A sentence, and what it asks for."""

    text: str
    subject: str
    scene: str
    motion: str


@dataclass
class Stage:
    """An environment and its judge."""

    env: gymnasium.Env[Any, Any]
    detectors: Detectors
    block_ms: list[float] = field(default_factory=list)

    @property
    def world_env(self) -> InfinityRopeEnv:
        """The environment under its wrappers."""
        assert isinstance(self.env.unwrapped, InfinityRopeEnv)
        return self.env.unwrapped

    def start(self, state: WorldState, seed: int) -> np.ndarray:
        """Begin a rollout in a state's subject, scene and motion; its first block."""
        options = {"subject": state.subject, "scene": state.scene, "motion": state.motion}
        return self.env.reset(seed=HELD_OUT + seed, options=options)[0]

    def read(self, prompt: str, seed: int, blocks: int) -> np.ndarray:
        """Begin a rollout with a prompt of one's own and go on with it; its last block."""
        block = self.env.reset(seed=HELD_OUT + seed, options={"prompt": prompt})[0]
        for _ in range(blocks):
            block = self.step(self.world_env.action_set.index(self.world_env.steering.motion))
        return block

    def play(self, action: str) -> np.ndarray:
        """The next block under an action; keeps how long it took."""
        return self.step(self.world_env.action_set.index(action))

    def step(self, action: int) -> np.ndarray:
        """The same, by number."""
        observation = self.env.step(action)[0]
        self.block_ms.append(1000 * self.world_env.timings["total_s"])
        return observation

    def judge(self, block: np.ndarray, asked: FrozenPrompt | None = None) -> Judged:
        """Compare a block with what a sentence asks for, or with what the player has steered to."""
        asked = asked or self.world_env.steering
        return Judged(
            self.detectors.name_subject(block) == asked.subject,
            self.detectors.name_scene(block) == asked.scene,
            self.detectors.name_motion(block) == asked.motion,
        )


@dataclass(frozen=True)
class HeldRollout:
    """One motion held from the start.

    Attributes:
        judged: by block number, for the blocks that were asked for.
        things: whether each thing along the way was right, in the blocks up to each of those, `LATELY` in all.
        speeds: scroll in pixels a frame of every block but the first.
        drift: change of the mean colour from block 1 to the last, 0 to 255, the worst channel.
        true_drift: the same of the frames the world would have drawn.
        sharpness: mean over some blocks, over that of the world's own frames.
        rhythm: steps a second over those of the world's own frames; None if nobody walks.
        rises: of the blocks of a jump, over that of the world's own.
    """

    motion: str
    judged: dict[int, Judged]
    things: dict[int, list[bool]]
    speeds: list[float]
    drift: float
    true_drift: float
    sharpness: float
    rhythm: float | None
    rises: list[float]


@dataclass(frozen=True)
class Switched:
    """The first block after an action changed."""

    before: str
    after: str
    judged: Judged


@dataclass(frozen=True)
class CutTo:
    """The first block after a cut to another scene.

    Attributes:
        first_frame: whether its first pixel frame alone shows the new scene.
    """

    scene: str
    first_frame: bool
    judged: Judged


def starting_states(count: int, seed: int) -> Iterator[WorldState]:
    """First states of rollouts: motions and subjects take turns; no combination returns before all 180 have come."""
    shifts = np.random.default_rng([HELD_OUT, seed]).integers(len(SCENES), size=len(MOTIONS))
    for index in range(count):
        number, turn = index % len(MOTIONS), index // len(MOTIONS)
        subject = SUBJECTS[(turn + number) % len(SUBJECTS)]
        scene = SCENES[(turn + shifts[number]) % len(SCENES)]
        yield spawn(subject, scene, MOTIONS[number])


def hold(stage: Stage, state: WorldState, seed: int, at: Sequence[int]) -> HeldRollout:
    """Hold the state's motion until the last of the blocks `at` which it is judged."""
    block = stage.start(state, seed)
    judged, things, kept, speeds, rises, recent = {}, {}, {}, [], [], deque(maxlen=LATELY)
    own_rise = rise(render_block(state)) if state.motion == "jump" else 1.0
    for number in range(1, max(at) + 1):
        block = stage.play(state.motion)
        speeds.append(scroll_speed(block))
        recent.append(block)
        if state.motion == "jump":
            rises.append(rise(block) / own_rise)
        if number in at:
            judged[number] = stage.judge(block)
            things[number] = _things_lately(state, number, recent)
        if number == 1 or number in at:
            kept[number] = block
    truth = {number: render_block(after_blocks(state, number)) for number in kept}
    return HeldRollout(
        motion=state.motion,
        judged=judged,
        things=things,
        speeds=speeds,
        drift=colour_change(kept[1], kept[max(at)]),
        true_drift=colour_change(truth[1], truth[max(at)]),
        sharpness=float(np.mean([sharpness(kept[n]) / sharpness(truth[n]) for n in kept])),
        rhythm=_rhythm(state, np.concatenate(recent)) if state.motion in WALKING_SPEED else None,
        rises=rises,
    )


def _things_lately(state: WorldState, number: int, recent: Sequence[np.ndarray]) -> list[bool]:
    """Whether each thing was right in the newest blocks, the last of which is the one of that number."""
    numbered = enumerate(recent, number + 1 - len(recent))
    return [right for n, block in numbered for right in things_right(block, after_blocks(state, n))]


def _rhythm(state: WorldState, frames: np.ndarray) -> float:
    """Steps a second of a walk, over those of the world's own frames."""
    own = np.concatenate([render_block(after_blocks(state, n)) for n in range(len(frames) // BLOCK_FRAMES)])
    return step_rate(frames) / step_rate(own)


def after_blocks(state: WorldState, blocks: int) -> WorldState:
    """Where a held motion has led after so many more blocks."""
    for _ in range(blocks):
        state = advance(state)
    return state


def colour_change(before: np.ndarray, after: np.ndarray) -> float:
    """How far the mean colour has moved, in the channel in which it moved farthest."""
    return float(np.abs(mean_colour(after) - mean_colour(before)).max())


def expected_speed(motion: str) -> int:
    """Scroll of a motion in pixels a frame."""
    return WALKING_SPEED.get(motion, 0)


def random_play(stage: Stage, state: WorldState, seed: int, blocks: int) -> Iterator[Judged]:
    """Motions held and changed, and cuts, for a while; every block judged."""
    stage.start(state, seed)
    for action in random_actions(stage.world_env.action_set, blocks, HELD_OUT + seed):
        yield stage.judge(stage.step(action))


def switch_and_cut(stage: Stage, state: WorldState, seed: int) -> tuple[list[Switched], list[CutTo]]:
    """From one rollout's state, try every other motion and every other scene."""
    stage.start(state, seed)
    for _ in range(int(np.random.default_rng([HELD_OUT, seed]).integers(1, 6))):
        stage.play(state.motion)
    saved = stage.world_env.save_state()
    switched = []
    for motion in (motion for motion in MOTIONS if motion != state.motion):
        stage.world_env.restore_state(saved)
        switched.append(Switched(state.motion, motion, stage.judge(stage.play(motion))))
    cuts = []
    for scene in (scene for scene in SCENES if scene != state.scene):
        stage.world_env.restore_state(saved)
        block = stage.play(f"cut_{scene}")
        cuts.append(CutTo(scene, stage.detectors.name_scene(block[:1]) == scene, stage.judge(block)))
    return switched, cuts


def held_out_together(seeds: int) -> Iterator[WorldState]:
    """First states whose subject, scene and motion no clip of the training shows together."""
    for names in sorted(HELD_OUT_TOGETHER) * seeds:
        yield spawn(*names)


def frozen_prompts() -> list[FrozenPrompt]:
    """What players might type, chosen before the training."""
    return [FrozenPrompt(**entry) for entry in tomllib.loads(PROMPTS.read_text())["prompts"]]


@torch.inference_mode()
def codec_psnr(world: WorldModel, seed: int) -> float:
    """Encode an unseen clip and decode it: likeness in dB."""
    frames = play_clip(np.random.default_rng([HELD_OUT, seed])).frames
    assert world.encoder is not None
    own = torch.from_numpy(frames[FIRST_LATENT_PADDING:])
    latents = world.encoder.encode(as_video(own).to(world.device)).to(world.dtype)
    decoded, _ = world.decoder.decode(latents, None)
    return psnr(decoded[0].cpu().numpy(), frames[FIRST_LATENT_PADDING:])
