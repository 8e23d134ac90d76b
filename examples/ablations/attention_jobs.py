"""Cells: the attention of a short rollout with a change and a cut, and of one block as time carries its sink away."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from examples.ablations.attention_weights import Gaze, RecordingRollout, ShiftedRollout
from examples.ablations.features import Eyes
from examples.ablations.harness import Rig, relative_change
from examples.ablations.job import Generated, Outcome
from examples.ablations.long_rollout import held_state
from examples.ablations.metrics import Record
from examples.ablations.variant import Setting
from examples.pocket_world.world.state import MOTIONS, SCENES

HELD, CHANGED, AFTER = 5, 3, 3
"""Blocks of the mapped rollout: one motion, then another, then a cut and what follows it."""


@dataclass(frozen=True)
class Maps(Generated):
    """Record a rollout: a motion held, another one, a cut."""

    @property
    def name(self) -> str:
        """What progress calls it."""
        return f"attention maps, window {self.setting.window.size}, seed {self.seed}"

    def run(self, eyes: Eyes) -> Outcome:
        """One map of frames by frames (what is not seen is nan), and by layer and head what stands out.

        Arrays: "map" frames frames; "sink", "context" and "cut context" layers heads, shares of attention in the
        blocks before the change and, the last one, in the cut's own block.
        """
        rollout = RecordingRollout(self.setting.world.transformer, self.setting.window, self.setting.sampler)
        gazes = self._watch(Rig(self.setting, rollout), rollout)
        settled, cut = gazes[2:HELD], gazes[HELD + CHANGED]
        arrays = {
            "map": frame_map(gazes).numpy(),
            "sink": torch.stack([sink_share(gaze, self.setting.window.sink) for gaze in settled]).mean(0).numpy(),
            "context": torch.stack([context_share(gaze) for gaze in settled]).mean(0).numpy(),
            "cut context": context_share(cut).numpy(),
        }
        return Outcome([{name: float(np.mean(arrays[name])) for name in ("sink", "context", "cut context")}], arrays)

    def _watch(self, rig: Rig, rollout: RecordingRollout) -> list[Gaze]:
        state = held_state(self.seed)
        other = MOTIONS[(MOTIONS.index(state.motion) + 2) % len(MOTIONS)]
        scene = SCENES[(SCENES.index(state.scene) + 1) % len(SCENES)]
        actions = [*[state.motion] * (HELD - 1), *[other] * CHANGED, f"cut_{scene}", *[other] * AFTER]
        rig.start(state, self.seed)
        gazes = [rollout.gaze()]
        for action in actions:
            rig.play(action)
            gazes.append(rollout.gaze())
        return gazes


@dataclass(frozen=True)
class Distances(Generated):
    """Make one block again and again, its sink ever farther away: what absolute coordinates amount to.

    Attributes:
        shifts: coordinates by which all but the sink is moved.
        after: blocks held before.
    """

    shifts: tuple[int, ...]
    after: int = 6

    @property
    def name(self) -> str:
        """What progress calls it."""
        return f"attention against distance, sink {self.setting.window.sink}, seed {self.seed}"

    def run(self, eyes: Eyes) -> Outcome:
        """One record a shift: the sink's share of attention, and how much the block changes; names seen in it."""
        rollout = ShiftedRollout(
            self.setting.world.transformer, self.setting.window, self.setting.sampler, max(self.shifts)
        )
        rig, state = Rig(self.setting, rollout), held_state(self.seed)
        rig.start(state, self.seed)
        for _ in range(self.after):
            rig.play(state.motion)
        here, records, unmoved = rig.save(), [], None
        for shift in (0, *self.shifts):
            rollout.shift = shift
            rig.restore(here)
            rig.play(state.motion)
            latents = rig.latents
            unmoved = latents if unmoved is None else unmoved
            record: Record = {"shift": shift, "change": relative_change(latents, unmoved)}
            record["scene right"] = float(eyes.detectors.name_scene(rig.look()) == state.scene)
            record["subject right"] = float(eyes.detectors.name_subject(rig.look()) == state.subject)
            if self.setting.window.sink:
                record["sink"] = float(sink_share(rollout.gaze(), self.setting.window.sink).mean())
            records.append(record)
        return Outcome(records)


def without_sink(setting: Setting) -> Setting:
    """As many frames, none of them pinned: a plain sliding window."""
    window = setting.window
    return replace(setting, window=replace(window, sink=0, context=window.context + window.sink))


def frame_map(gazes: list[Gaze]) -> Tensor:
    """Attention of every frame of a rollout to every one, a mean over layers and heads; nan where it was not seen."""
    frames = gazes[-1].frames[-1] + 1
    result = torch.full((frames, frames), torch.nan)
    for gaze in gazes:
        rows = torch.tensor(gaze.frames[-gaze.own :])
        result[rows[:, None], torch.tensor(gaze.frames)] = gaze.weights.mean((0, 1))
    return result


def sink_share(gaze: Gaze, sink: int) -> Tensor:
    """Attention to the sink, layers heads."""
    return gaze.weights[..., :sink].sum(-1).mean(-1)


def context_share(gaze: Gaze) -> Tensor:
    """Attention to all that is not the block itself, the sink included: layers heads."""
    return gaze.weights[..., : -gaze.own].sum(-1).mean(-1)
