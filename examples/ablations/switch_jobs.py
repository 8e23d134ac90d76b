"""Jobs: one change of motion under every cache policy, measured pixel frame by pixel frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from examples.ablations.features import FeatureExtractor
from examples.ablations.harness import Harness
from examples.ablations.job import Job, Outcome
from examples.ablations.metrics import Record
from examples.ablations.variant import resized
from examples.pocket_world.world.state import MOTIONS, SCENES, SUBJECTS, WorldState, advance, render_block, spawn

INDISTINGUISHABLE = 0.995
"""Cosine from which on rendered frames of the old and the new motion count as the same."""
STEADY_SHARE = 0.8
"""Share of the remaining distinguishable frames that must show the new motion."""


@dataclass(frozen=True)
class SwitchPolicy:
    """The treatment of the cache at a change of prompt, at one window size."""

    name: str
    size: int
    on_switch: str = "flush"
    flush_context: int = 1


@dataclass(frozen=True)
class SwitchJob(Job):
    """A job that changes the motion under every policy, from shared starts.

    Attributes:
        policies: The policies to compare.
        starts: Motions to change from, each played for `lead` blocks.
        targets: Motions to change to, from each.
        blocks: Measured blocks after the change.
    """

    policies: tuple[SwitchPolicy, ...]
    starts: int
    targets: int
    lead: int = 7
    blocks: int = 3

    def run(self, extractor: FeatureExtractor) -> Outcome:
        """Return one record per change and policy; "policy" is its number."""
        sizes = sorted({policy.size for policy in self.policies})
        return Outcome([record for size in sizes for record in self._run_size(size, extractor)])

    def _run_size(self, size: int, extractor: FeatureExtractor) -> Iterator[Record]:
        """Run the policies of one window size: they share the start, saved with the latents that re-caching needs."""
        window = resized(self.variant.window, size, on_switch="recache")
        base = replace(self.variant, window=window)
        start = Harness(base)
        harnesses = {
            number: Harness(base.with_rules(on_switch=policy.on_switch, flush_context=policy.flush_context))
            for number, policy in enumerate(self.policies)
            if policy.size == size
        }
        for state in start_states(self.starts, self.seed):
            before, last = play_lead(start, state, self.seed, self.lead)
            saved = start.save()
            for motion in other_names(MOTIONS, state.motion, self.targets, self.seed):
                for number, harness in harnesses.items():
                    harness.restore(saved)
                    blocks, costs = [], []
                    for _ in range(self.blocks):
                        harness.play(motion)
                        costs.append({"ms": harness.block_ms, "passes": float(harness.passes)})
                        blocks.append(harness.frames())
                    yield {"policy": number} | switch_metrics(before, motion, last, blocks, extractor) | costs[0]


def switch_metrics(
    before: WorldState, motion: str, last: np.ndarray, blocks: Sequence[np.ndarray], extractor: FeatureExtractor
) -> Record:
    """Measure a change of motion.

    Args:
        before: State of the last block before the change.
        motion: The new motion.
        last: Last pixel frame before the change, H W 3.
        blocks: Blocks after the change, 12 pixel frames each.
        extractor: Detectors and features.
    """
    detectors, first = extractor.detectors, blocks[0]
    new, old = (list(rendered_blocks(before, each, len(blocks))) for each in (motion, before.motion))
    named = [detectors.name_motion(block) == motion for block in blocks]
    shown_after = frames_until_shown(np.concatenate(blocks), np.concatenate(new), np.concatenate(old), extractor)
    rendered_step = mean_difference(render_block(before)[-1], new[0][0])
    record: Record = {
        "motion right": named[0],
        "blocks until named": named.index(True) + 1 if True in named else len(blocks) + 1,
        "frames until shown": shown_after,
        "seam": mean_difference(last, first[0]) - rendered_step,
        "subject kept": detectors.name_subject(first) == before.subject,
        "scene kept": detectors.name_scene(first) == before.scene,
    }
    return {name: float(value) for name, value in record.items()}


def frames_until_shown(frames: np.ndarray, new: np.ndarray, old: np.ndarray, extractor: FeatureExtractor) -> int:
    """Return the delay of a new motion in pixel frames.

    Args:
        frames: Generated frames after the change, t H W 3.
        new: Rendered frames of the new motion.
        old: Rendered frames of the old motion, as if nothing had changed.
        extractor: Features to compare them by.

    Returns:
        Frames after the first in which `new` and `old` differ; t if the new motion never stays.
    """
    seen, expected, unchanged = (extractor.features("subject", each) for each in (frames, new, old))
    distinguishable = ((expected * unchanged).sum(1) < INDISTINGUISHABLE).numpy()
    shown = ((seen * expected).sum(1) > (seen * unchanged).sum(1)).numpy()
    candidates = np.flatnonzero(distinguishable)
    for count, frame in enumerate(candidates):
        if shown[frame] and shown[candidates[count:]].mean() >= STEADY_SHARE:
            return int(frame - candidates[0])
    return len(frames)


def mean_difference(first: np.ndarray, second: np.ndarray) -> float:
    """Return the mean absolute difference of two images, 0 to 255."""
    return float(np.abs(first.astype(np.float32) - second.astype(np.float32)).mean())


def start_states(count: int, seed: int) -> list[WorldState]:
    """Return states to start from: motions in turn, subjects and scenes by seed."""
    return [
        spawn(
            SUBJECTS[(seed + n) % len(SUBJECTS)],
            SCENES[(2 * seed + n) % len(SCENES)],
            MOTIONS[(seed + n) % len(MOTIONS)],
        )
        for n in range(count)
    ]


def play_lead(harness: Harness, state: WorldState, seed: int, blocks: int) -> tuple[WorldState, np.ndarray]:
    """Start at `state`, keep its motion for `blocks` blocks; return the state and the last pixel frame, H W 3."""
    harness.start(state, seed)
    for _ in range(blocks):
        harness.play(state.motion)
        state = advance(state)
    return state, harness.frames()[-1]


def other_names(names: tuple[str, ...], name: str, count: int, seed: int) -> list[str]:
    """Return `count` of the other names, another selection for each seed."""
    others = [other for other in names if other != name]
    return [others[(seed + 2 * n) % len(others)] for n in range(min(count, len(others)))]


def rendered_blocks(state: WorldState, motion: str, blocks: int) -> Iterator[np.ndarray]:
    """Render the blocks after `state` under a motion."""
    for _ in range(blocks):
        state = advance(state, motion)
        yield render_block(state)
