"""Several rollouts in one forward pass per denoising step. Every row has its own cache, layout, prompt and noise.

Everything but attention runs on all rows together. Attention runs once per number of visible frames: the rows are
ordered by it, so that equal ones lie side by side in the buffers and nothing is padded or copied for it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import torch
from torch import Tensor

from infrope_env.control.actions import Transition
from infrope_env.dynamics.cache import BatchContext, ContextBuffers
from infrope_env.dynamics.rollout import Rollout
from infrope_env.dynamics.state import GeneratedBlock, PreparedBlock
from infrope_env.dynamics.transformer import TextKV


@dataclass(frozen=True)
class BatchPass:
    """Rows that share their forward passes.

    Attributes:
        rollouts: Rollouts of the rows, in the order of the buffers.
        blocks: What each row's passes read.
        text: Cross-attention keys and values of all rows, by layer.
        contexts: Contexts of all rows, by layer.
    """

    rollouts: Sequence[Rollout]
    blocks: Sequence[PreparedBlock]
    text: TextKV
    contexts: Sequence[BatchContext]

    def denoise(self) -> list[GeneratedBlock]:
        """Return the rows' next blocks, denoised together. Their commit passes are due then."""
        noise = torch.cat([rollout.take_noise() for rollout in self.rollouts], dim=1)
        first = self.rollouts[0]
        latents = first.denoise(first.model, noise, self.text, self.contexts)
        rows = zip(self.rollouts, self.blocks, latents.split(1), strict=True)
        return [rollout.finish(block, row) for rollout, block, row in rows]

    def commit(self) -> None:
        """Run the commit passes together if all are due; a row that was reset, restored or committed has none."""
        dues = [rollout.due_latents(block) for rollout, block in zip(self.rollouts, self.blocks, strict=True)]
        latents = [due for due in dues if due is not None]
        if len(latents) == len(dues):
            started, first = time.perf_counter(), self.rollouts[0]
            first.update_cache(first.model, torch.cat(latents), self.text, self.contexts)
            for rollout in self.rollouts:
                rollout.store_due(started)


class RolloutBatch:
    """Rows of rollouts that are made together. Every row is the same rollout as alone, up to rounding.

    A row's `reset`, `prefill`, `save`, `restore` and `commit` are called on its rollout.

    Attributes:
        rollouts: Rollout of each row.
    """

    def __init__(self, rollouts: Sequence[Rollout]) -> None:
        """Join rollouts of one model, window and sampler, which are of one row each and have no hooks.

        Raises:
            ValueError: They differ, or there are none.
        """
        if len({(id(r.model), r.window, r.schedule, r.first_schedule) for r in rollouts}) != 1:
            raise ValueError("expected rollouts of one model, window and sampler")
        self.rollouts, first = tuple(rollouts), rollouts[0]
        shape = replace(first.cache.shape, batch=len(rollouts), slots=first.window.size)
        self._buffers = ContextBuffers(shape, first.window.block, first.device, first.dtype)
        self._rows = [self._buffers.row(row) for row in range(len(rollouts))]
        self._passes: list[BatchPass] = []

    @torch.inference_mode()
    def generate(self, requests: Mapping[int, tuple[Tensor, Transition]]) -> dict[int, GeneratedBlock]:
        """Denoise the next block of some rows; every commit pass that is due comes first.

        Args:
            requests: Embedding, 1 text_len text_dim, and transition of the next block, by row.

        Returns:
            The blocks, by row. Their commit passes are due.

        Raises:
            ValueError: As in `Rollout.generate`; then no row has made a block.
        """
        for row in requests:
            self.rollouts[row].begin_timings()
        self.commit()
        order = sorted(requests, key=lambda row: self._sort_key(row, requests[row][1]))
        blocks = [self.rollouts[row].prepare(*requests[row], self._rows[place]) for place, row in enumerate(order)]
        self._passes = list(self._form_passes([self.rollouts[row] for row in order], blocks))
        made = [block for each in self._passes for block in each.denoise()]
        return dict(zip(order, made, strict=True))

    @torch.inference_mode()
    def commit(self) -> None:
        """Run every commit pass that is due; an interrupted call can be repeated."""
        for each in self._passes:
            each.commit()
        for rollout in self.rollouts:
            rollout.commit()
        self._passes = []

    def _sort_key(self, row: int, transition: Transition) -> tuple[bool, int]:
        rollout = self.rollouts[row]
        return rollout.next_schedule is rollout.schedule, len(rollout.lay_out(transition).slots)

    def _form_passes(self, rollouts: Sequence[Rollout], blocks: Sequence[PreparedBlock]) -> list[BatchPass]:
        """Join neighbours at equal noise levels; only first blocks can have others."""
        passes, start = list[BatchPass](), 0
        for _, same in groupby(rollouts, key=lambda rollout: rollout.next_schedule):
            stop = start + len(list(same))
            members, parts = rollouts[start:stop], blocks[start:stop]
            contexts = self._buffers.batch_contexts(self._rows[start:stop], start, members[0].rotary_table)
            passes.append(BatchPass(members, parts, _stack_text([part.text for part in parts]), contexts))
            start = stop
        return passes


def _stack_text(texts: Sequence[TextKV]) -> TextKV:
    """Return the keys and values of all rows, by layer, each b heads text_len head_dim."""
    layers = zip(*texts, strict=True)
    return [(torch.cat([k for k, _ in layer]), torch.cat([v for _, v in layer])) for layer in layers]
