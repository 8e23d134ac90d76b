"""Jobs: attention maps of a short rollout, and the effect of the sink's distance on one block."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from examples.ablations.features import FeatureExtractor
from examples.ablations.harness import Harness, relative_change
from examples.ablations.job import Job, Outcome
from examples.ablations.long_rollout import start_state
from examples.ablations.metrics import Record
from examples.ablations.shifted_layout import ShiftedLayout
from examples.pocket_world.world.state import MOTIONS, SCENES
from infrope_env.dynamics.attention_mass import AttentionMap, AttentionProbe

FIRST_MOTION, SECOND_MOTION, AFTER_CUT = 5, 3, 3
"""Blocks of the mapped rollout: one motion, then another, then those after the cut's own block."""
SHARES = ("sink", "context", "cut context")


@dataclass(frozen=True)
class AttentionMapJob(Job):
    """A job that records the attention of a rollout: one motion, another one, a cut."""

    def run(self, extractor: FeatureExtractor) -> Outcome:
        """Return mean shares of attention as one record, and the maps.

        Arrays: "map", frames frames, nan where a frame was not visible; "sink", "context" and "cut context", layers
        heads: shares on the sink and on all cached frames before the change, and on all cached frames in the cut.
        """
        maps = self._record()
        settled, cut = maps[2:FIRST_MOTION], maps[FIRST_MOTION + SECOND_MOTION]
        sink = self.variant.window.sink
        arrays = {
            "map": frame_map(maps).numpy(),
            "sink": torch.stack([each.sink_share(sink) for each in settled]).mean(0).numpy(),
            "context": torch.stack([each.context_share() for each in settled]).mean(0).numpy(),
            "cut context": cut.context_share().numpy(),
        }
        return Outcome([{name: float(np.mean(arrays[name])) for name in SHARES}], arrays)

    def _record(self) -> list[AttentionMap]:
        probe, state = AttentionProbe(), start_state(self.seed)
        harness = Harness(self.variant, context_hook=probe)
        other = MOTIONS[(MOTIONS.index(state.motion) + 2) % len(MOTIONS)]
        scene = SCENES[(SCENES.index(state.scene) + 1) % len(SCENES)]
        harness.start(state, self.seed)
        maps = [newest_map(probe, harness)]
        before_cut = [*[state.motion] * (FIRST_MOTION - 1), *[other] * SECOND_MOTION]
        for action in [*before_cut, f"cut_{scene}", *[other] * AFTER_CUT]:
            harness.play(action)
            maps.append(newest_map(probe, harness))
        return maps


@dataclass(frozen=True)
class SinkDistanceJob(Job):
    """A job that generates one block repeatedly while its sink moves away, as it does under absolute coordinates.

    Attributes:
        shifts: Coordinates by which everything but the sink is moved.
        lead: Blocks before that block.
    """

    shifts: tuple[int, ...]
    lead: int = 6

    def run(self, extractor: FeatureExtractor) -> Outcome:
        """Return one record per shift: change of the latents, the sink's share of attention, names."""
        window, state = self.variant.window, start_state(self.seed)
        length = max(self.shifts) + max(window.size, window.onset_index + 1)
        layout_rule, probe = ShiftedLayout(), AttentionProbe()
        harness = Harness(replace(self.variant, rotary_length=length), layout_rule, probe)
        harness.start(state, self.seed)
        for _ in range(self.lead):
            harness.play(state.motion)
        saved, records, unmoved = harness.save(), [], None
        for shift in (0, *self.shifts):
            layout_rule.shift = shift
            harness.restore(saved)
            harness.play(state.motion)
            unmoved = harness.latents if unmoved is None else unmoved
            record: Record = {
                "shift": shift,
                "change": relative_change(harness.latents, unmoved),
                "scene right": float(extractor.detectors.name_scene(harness.frames()) == state.scene),
                "subject right": float(extractor.detectors.name_subject(harness.frames()) == state.subject),
            }
            if window.sink:
                record["sink"] = float(newest_map(probe, harness).sink_share(window.sink).mean())
            records.append(record)
        return Outcome(records)


def newest_map(probe: AttentionProbe, harness: Harness) -> AttentionMap:
    """Return the attention of the newest block, which was generated."""
    measured = probe.newest(harness.rollout.next_block - 1)
    assert measured is not None
    return measured


def frame_map(maps: list[AttentionMap]) -> Tensor:
    """Combine maps into attention of frames to frames, a mean over layers and heads; nan if not visible."""
    frames = maps[-1].frames[-1] + 1
    result = torch.full((frames, frames), torch.nan)
    for each in maps:
        rows = torch.tensor(each.frames[-each.own :])
        result[rows[:, None], torch.tensor(each.frames)] = each.weights.mean((0, 1))
    return result
