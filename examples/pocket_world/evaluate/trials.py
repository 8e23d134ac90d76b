"""Trials of an evaluation: sustained motions, typed prompts, random play, action changes, cuts, and the codec.

Every trial steps the environment as play does, with seeds that no training uses. Detectors classify the generated
blocks; where the ground truth is known, generated frames are also compared with rendered ones.
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
from examples.pocket_world.evaluate.landmarks import landmarks_in_place
from examples.pocket_world.evaluate.measures import mean_colour, psnr, rise, scroll_speed, sharpness, step_rate
from examples.pocket_world.evaluate.truth import TruthErrors
from examples.pocket_world.train.codec import as_video
from examples.pocket_world.world.arrangement import ARRANGEMENTS, DEFAULT_ARRANGEMENT, Arrangement
from examples.pocket_world.world.play import FIRST_LATENT_PADDING, HELD_OUT_COMBINATIONS, play_clip
from examples.pocket_world.world.state import (
    BLOCK_FRAMES,
    FIRST_PHASE,
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
from infrope_env.control.actions import Steering
from infrope_env.env import InfinityRopeEnv
from infrope_env.models.world_model import WorldModel

EVALUATION_SEED_OFFSET = 20_000_000
"""Added to the seeds of noise and clips; training uses smaller ones."""
HELD_OUT_SEED, SEED_OF_SEEDS = 5, 9000
"""Seed of the arrangements of held-out combinations, and first seed of the rollouts whose seed draws theirs."""
PROMPTS = Path(__file__).with_name("prompts.toml")
FIRST_BLOCK_FRAMES = BLOCK_FRAMES - FIRST_PHASE
"""Frames of a first block; its observation repeats the first of them."""
RECENT_BLOCKS = 5
"""Number of newest blocks from which step rate and landmarks are measured."""


@dataclass(frozen=True)
class BlockScore:
    """Agreement of the detectors with the prompt: True for each of its names that they classify the block as."""

    subject: bool
    scene: bool
    motion: bool


@dataclass(frozen=True)
class TypedPrompt:
    """A sentence that a player might type, and the state that it describes."""

    text: str
    subject: str
    scene: str
    motion: str


@dataclass
class ScoredEnv:
    """An environment whose blocks are scored by detectors.

    Attributes:
        env: The environment.
        detectors: Classifiers of subject, scene and motion.
        block_ms: Milliseconds of every block but the first ones.
    """

    env: gymnasium.Env[Any, Any]
    detectors: Detectors
    block_ms: list[float] = field(default_factory=list)

    @property
    def inner(self) -> InfinityRopeEnv:
        """The environment without its wrappers."""
        assert isinstance(self.env.unwrapped, InfinityRopeEnv)
        return self.env.unwrapped

    @property
    def arrangements(self) -> bool:
        """Whether rollouts have arrangements, which the action set names as variations."""
        return bool(self.inner.action_set.variations)

    def start(self, state: WorldState, seed: int) -> np.ndarray:
        """Begin a rollout with the state's subject, scene, motion and arrangement, and return its first block."""
        names = {"subject": state.subject, "scene": state.scene, "motion": state.motion}
        options = names | {"variation": state.arrangement.words}
        return self.env.reset(seed=EVALUATION_SEED_OFFSET + seed, options=options)[0]

    def play_prompt(self, prompt: str, seed: int, blocks: int) -> np.ndarray:
        """Begin a rollout with a free prompt, continue it for some blocks, and return the last one."""
        block = self.env.reset(seed=EVALUATION_SEED_OFFSET + seed, options={"prompt": prompt})[0]
        for _ in range(blocks):
            block = self.step(self.inner.action_set.index(self.inner.steering.motion))
        return block

    def play(self, action: str) -> np.ndarray:
        """Return the next block under a named action."""
        return self.step(self.inner.action_set.index(action))

    def step(self, action: int) -> np.ndarray:
        """Return the next block under a numbered action, and record how long it took."""
        observation = self.env.step(action)[0]
        self.block_ms.append(1000 * self.inner.timings["total_s"])
        return observation

    def score(self, block: np.ndarray, prompt: TypedPrompt | None = None) -> BlockScore:
        """Score a block against a typed prompt, or by default against the state that the actions have set."""
        expected: TypedPrompt | Steering = prompt or self.inner.steering
        return BlockScore(
            self.detectors.name_subject(block) == expected.subject,
            self.detectors.name_scene(block) == expected.scene,
            self.detectors.name_motion(block) == expected.motion,
        )


@dataclass(frozen=True)
class SustainedRollout:
    """Measurements of a rollout of one motion.

    Attributes:
        motion: Motion of the rollout.
        scores: Score of each requested block, by block number.
        landmarks: Whether each landmark was in place, over the `RECENT_BLOCKS` up to each requested block.
        speeds: Scroll speed of every block but the first, in pixels per frame.
        drift: Change of the mean colour from block 1 to the last, 0 to 255, of the channel that changes most.
        rendered_drift: The same for the frames that the world renders.
        sharpness: Sharpness relative to rendered frames, mean over block 1 and the requested blocks.
        step_rate_ratio: Steps per second relative to rendered frames; None unless the motion is a walk.
        jump_height_ratios: Rise of every block of a jump relative to rendered frames; empty for other motions.
    """

    motion: str
    scores: dict[int, BlockScore]
    landmarks: dict[int, list[bool]]
    speeds: list[float]
    drift: float
    rendered_drift: float
    sharpness: float
    step_rate_ratio: float | None
    jump_height_ratios: list[float]


@dataclass(frozen=True)
class SwitchResult:
    """The first block after an action change: motion before and after, and the block's score."""

    before: str
    after: str
    score: BlockScore


@dataclass(frozen=True)
class CutResult:
    """The first block after a cut to another scene.

    Attributes:
        scene: The new scene.
        first_frame: Whether the first pixel frame alone shows the new scene.
        score: Score of the block.
    """

    scene: str
    first_frame: bool
    score: BlockScore


def starting_states(count: int, seed: int, arrangements: bool = False) -> Iterator[WorldState]:
    """Yield first states of rollouts; motions and subjects alternate, and all 180 combinations precede a repeat.

    `arrangements` draws one for each of them.
    """
    rng = np.random.default_rng([EVALUATION_SEED_OFFSET, seed])
    shifts = rng.integers(len(SCENES), size=len(MOTIONS))
    for index in range(count):
        number, turn = index % len(MOTIONS), index // len(MOTIONS)
        subject = SUBJECTS[(turn + number) % len(SUBJECTS)]
        scene = SCENES[(turn + shifts[number]) % len(SCENES)]
        arrangement = Arrangement.drawn(rng) if arrangements else DEFAULT_ARRANGEMENT
        yield spawn(subject, scene, MOTIONS[number], arrangement=arrangement)


def held_out_states(repeats: int, arrangements: bool = False) -> Iterator[WorldState]:
    """Yield first states whose combination of subject, scene and motion no training clip shows."""
    rng = np.random.default_rng([EVALUATION_SEED_OFFSET, HELD_OUT_SEED])
    for names in sorted(HELD_OUT_COMBINATIONS) * repeats:
        yield spawn(*names, arrangement=Arrangement.drawn(rng) if arrangements else DEFAULT_ARRANGEMENT)


def typed_prompts() -> list[TypedPrompt]:
    """Load the sentences of prompts.toml, which were fixed before the training."""
    return [TypedPrompt(**entry) for entry in tomllib.loads(PROMPTS.read_text())["prompts"]]


def sustain_motion(env: ScoredEnv, state: WorldState, seed: int, numbers: Sequence[int]) -> SustainedRollout:
    """Play the state's motion up to the largest of the block numbers `numbers`; those blocks are scored."""
    block = env.start(state, seed)
    scores, landmarks, kept = {}, {}, {}
    speeds: list[float] = []
    rises: list[float] = []
    recent: deque[np.ndarray] = deque(maxlen=RECENT_BLOCKS)
    rendered_rise = rise(render_block(state)) if state.motion == "jump" else 1.0
    for number in range(1, max(numbers) + 1):
        block = env.play(state.motion)
        speeds.append(scroll_speed(block))
        recent.append(block)
        if state.motion == "jump":
            rises.append(rise(block) / rendered_rise)
        if number in numbers:
            scores[number] = env.score(block)
            landmarks[number] = _recent_landmarks(state, number, recent)
        if number == 1 or number in numbers:
            kept[number] = block
    truth = {number: render_block(after_blocks(state, number)) for number in kept}
    return SustainedRollout(
        motion=state.motion,
        scores=scores,
        landmarks=landmarks,
        speeds=speeds,
        drift=colour_change(kept[1], kept[max(numbers)]),
        rendered_drift=colour_change(truth[1], truth[max(numbers)]),
        sharpness=float(np.mean([sharpness(kept[n]) / sharpness(truth[n]) for n in kept])),
        step_rate_ratio=_step_rate_ratio(state, np.concatenate(recent)) if walking_speed(state.motion) else None,
        jump_height_ratios=rises,
    )


def _recent_landmarks(state: WorldState, number: int, recent: Sequence[np.ndarray]) -> list[bool]:
    """Return whether each landmark is in place in the newest blocks, the last of which has the given number."""
    numbered = enumerate(recent, number + 1 - len(recent))
    return [in_place for n, block in numbered for in_place in landmarks_in_place(block, after_blocks(state, n))]


def _step_rate_ratio(state: WorldState, frames: np.ndarray) -> float:
    """Return the steps per second of a walk, relative to rendered frames."""
    rendered = np.concatenate([render_block(after_blocks(state, n)) for n in range(len(frames) // BLOCK_FRAMES)])
    return step_rate(frames) / step_rate(rendered)


def after_blocks(state: WorldState, blocks: int) -> WorldState:
    """Return the state that the same motion reaches after some more blocks."""
    for _ in range(blocks):
        state = advance(state)
    return state


def colour_change(before: np.ndarray, after: np.ndarray) -> float:
    """Return the absolute change of the mean colour, in the channel that changes most."""
    return float(np.abs(mean_colour(after) - mean_colour(before)).max())


def walking_speed(motion: str) -> int:
    """Return the scroll speed of a motion in pixels per frame; 0 unless it is a walk."""
    return WALKING_SPEED.get(motion, 0)


def random_play(env: ScoredEnv, state: WorldState, seed: int, blocks: int) -> Iterator[BlockScore]:
    """Play random actions, cuts included, and score every block."""
    env.start(state, seed)
    for action in random_actions(env.inner.action_set, blocks, EVALUATION_SEED_OFFSET + seed):
        yield env.score(env.step(action))


def compare_with_truth(env: ScoredEnv, state: WorldState, seed: int, blocks: int) -> TruthErrors:
    """Play random actions, cuts included, and compare every block with the frames that the world renders."""
    errors = TruthErrors()
    errors.add(env.start(state, seed)[BLOCK_FRAMES - FIRST_BLOCK_FRAMES :], state)
    for action in random_actions(env.inner.action_set, blocks - 1, EVALUATION_SEED_OFFSET + seed):
        chosen = env.inner.action_set.actions[action]
        state = advance(state, chosen.motion, chosen.scene)
        errors.add(env.step(action), state)
    return errors


def first_block_right(env: ScoredEnv, state: WorldState, seed: int) -> bool:
    """Return whether the subject is right in every frame of a first block, and the motion in the whole of it."""
    block = env.start(state, seed)
    frames = block[BLOCK_FRAMES - FIRST_BLOCK_FRAMES :]
    named = [env.detectors.name_subject(frame[None]) for frame in frames]
    return set(named) == {state.subject} and env.detectors.name_motion(block) == state.motion


@dataclass(frozen=True)
class SeenArrangement:
    """The arrangement of a rollout that its seed drew, and the one that its first block shows."""

    scene: str
    drawn: Arrangement
    seen: Arrangement


def seen_arrangements(env: ScoredEnv, scene: str, seeds: int) -> Iterator[SeenArrangement]:
    """Begin rollouts of a scene's own seeds, and name what their first blocks show: the nearest of all renderings."""
    subject, motion = SUBJECTS[SCENES.index(scene) % len(SUBJECTS)], "stand"
    every = map(Arrangement.numbered, range(ARRANGEMENTS))
    states = [spawn(subject, scene, motion, arrangement=arrangement) for arrangement in every]
    rendered = np.stack([render_block(state, [BLOCK_FRAMES - 1])[0].astype(np.float32) for state in states])
    options = {"subject": subject, "scene": scene, "motion": motion}
    first = EVALUATION_SEED_OFFSET + SEED_OF_SEEDS + seeds * SCENES.index(scene)
    for seed in range(first, first + seeds):
        frame = env.env.reset(seed=seed, options=options)[0][-1]
        nearest = int(np.square(rendered - frame).mean((1, 2, 3)).argmin())
        drawn = Arrangement.named(env.inner.steering.variation)
        yield SeenArrangement(scene, drawn, states[nearest].arrangement)


def switch_and_cut(env: ScoredEnv, state: WorldState, seed: int) -> tuple[list[SwitchResult], list[CutResult]]:
    """Try every other motion and every other scene, all from one saved state of a rollout."""
    env.start(state, seed)
    for _ in range(int(np.random.default_rng([EVALUATION_SEED_OFFSET, seed]).integers(1, 6))):
        env.play(state.motion)
    saved = env.inner.save_state()
    switches = []
    for motion in (motion for motion in MOTIONS if motion != state.motion):
        env.inner.restore_state(saved)
        switches.append(SwitchResult(state.motion, motion, env.score(env.play(motion))))
    cuts = []
    for scene in (scene for scene in SCENES if scene != state.scene):
        env.inner.restore_state(saved)
        block = env.play(f"cut_{scene}")
        cuts.append(CutResult(scene, env.detectors.name_scene(block[:1]) == scene, env.score(block)))
    return switches, cuts


@torch.inference_mode()
def codec_psnr(model: WorldModel, seed: int, arrangements: bool = False) -> float:
    """Return the PSNR, in dB, of an encoded and decoded clip of an evaluation seed, on request of any arrangement."""
    clip = play_clip(np.random.default_rng([EVALUATION_SEED_OFFSET, seed]), arrangements=arrangements)
    frames = clip.frames[FIRST_LATENT_PADDING:]
    assert model.encoder is not None
    video = as_video(torch.from_numpy(frames)).to(model.device)
    decoded, _ = model.decoder.decode(model.encoder.encode(video).to(model.dtype), None)
    return psnr(decoded[0].cpu().numpy(), frames)
