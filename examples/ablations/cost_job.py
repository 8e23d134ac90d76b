"""A cell: what a block takes once the window is full, in time and in memory."""

from __future__ import annotations

from dataclasses import dataclass, field

from examples.ablations.features import Eyes
from examples.ablations.harness import Rig
from examples.ablations.job import Generated, Outcome
from examples.ablations.long_rollout import held_state


@dataclass(frozen=True)
class Costs(Generated):
    """Time some blocks with a full window, nothing running beside."""

    blocks: int
    timed: bool = field(default=True, kw_only=True)

    @property
    def name(self) -> str:
        """What progress calls it."""
        steps = len(self.setting.sampler.steps)
        return f"cost of a block, window {self.setting.window.size}, {steps} steps, seed {self.seed}"

    def run(self, eyes: Eyes) -> Outcome:
        """One record a block: milliseconds without text and decoding; megabytes of keys and values in the cache."""
        rig, state = Rig(self.setting), held_state(self.seed)
        rig.start(state, self.seed)
        full = 1 + self.setting.window.size // self.setting.window.block
        cache = rig.rollout.cache
        memory_mb = (cache.keys.nbytes + cache.values.nbytes) / 1e6
        records = []
        for _ in range(full + self.blocks):
            rig.play(state.motion)
            records.append({"ms": rig.block_ms, "passes": float(rig.passes), "memory": memory_mb})
        return Outcome(records[full:])
