"""Cached = recomputed: a rollout's velocities against one forward over all blocks, without a cache, under a mask."""

import pytest
import torch
from torch import Tensor

from infrope_env.config import Window
from infrope_env.dynamics.coordinates import Layout
from infrope_env.dynamics.rollout import Rollout
from infrope_env.dynamics.rope import RotaryTable, rotate
from infrope_env.dynamics.transformer import TimeModulation
from tests.dynamics.small_engine import CONTINUE, CUT, SMALL_MODEL, START, SWITCH, prompt, small_model

STORY = [START, SWITCH, CONTINUE, CONTINUE, CONTINUE, CUT, CONTINUE, SWITCH, CONTINUE]
N = SMALL_MODEL.tokens_per_frame


class MaskedAttention:
    """Attention without a cache: the batch axis is blocks, and each attends to all blocks' tokens under a mask."""

    def __init__(self, history: list[tuple[tuple[int, ...], Layout]]) -> None:
        self.history = history
        self.table = RotaryTable(SMALL_MODEL.head_dim, SMALL_MODEL.rows, SMALL_MODEL.cols)

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attend with tensors blocks heads n d."""
        keys, values = (x.transpose(0, 1).flatten(1, 2) for x in (key, value))  # heads (all n) d
        return torch.stack([self._row(index, row, keys, values) for index, row in enumerate(query)])

    def _row(self, index: int, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        visible, layout = self.history[index]
        block = len(layout.block)
        coordinates = dict(zip(visible, layout.context, strict=True))
        coordinates |= {index * block + place: c for place, c in enumerate(layout.block)}
        frames = keys.shape[1] // N
        rotated = rotate(keys, self.table.at([coordinates.get(frame, 0) for frame in range(frames)]))
        mask = torch.tensor([0.0 if frame in coordinates else -torch.inf for frame in range(frames)])
        scores = rotate(query, self.table.at(layout.block)) @ rotated.mT / SMALL_MODEL.head_dim**0.5
        return (scores + mask.repeat_interleave(N)).softmax(-1) @ values


@pytest.mark.parametrize(
    "window",
    [
        Window(),
        Window.release(),
        Window.from_size(12, sink=3),
        Window.from_size(21, sink=0, flush_context=2),
        Window.from_size(12, coordinates="onset", onset_index=9),
        Window(coordinates="absolute"),
        Window(on_switch="none"),
        Window.from_size(12, on_switch="no_cache"),
        Window.from_size(6, sink=2, block=1),
    ],
)
@torch.inference_mode()
def test_a_cached_rollout_equals_one_masked_forward_over_all_blocks(window, monkeypatch):
    model = small_model(torch.float64)
    forward, last_pass = type(model).forward, {}

    def record(noisy, *others):
        last_pass["noisy"], last_pass["velocity"] = noisy, forward(model, noisy, *others)
        return last_pass["velocity"]

    monkeypatch.setattr(model, "forward", record)
    rollout, past, history, texts = Rollout(model, window), [], [], []
    for index, transition in enumerate(STORY):
        texts.append(prompt(sum(t in (SWITCH, CUT) for t in STORY[: index + 1])).double())
        cached = _cached(history, window.block)
        block = rollout.advance(texts[-1], transition)
        history.append((tuple(cached[slot] for slot in block.layout.slots), block.layout))
        recomputed = _recompute(model, forward, [*past, last_pass["noisy"]], texts, history)
        assert torch.allclose(recomputed, last_pass["velocity"], atol=1e-5)
        past.append(block.latents)


def _cached(history: list[tuple[tuple[int, ...], Layout]], block: int) -> tuple[int, ...]:
    made = len(history) * block
    return (*history[-1][0], *range(made - block, made)) if history else ()


def _recompute(model, forward, blocks, texts, history) -> Tensor:
    """Return the velocity of the last block at the schedule's last step; earlier blocks are clean, at timestep 0."""
    times = [model.modulate(torch.tensor([0.0 if index + 1 < len(blocks) else 625.0])) for index in range(len(blocks))]
    time = TimeModulation(torch.cat([t.head for t in times]), torch.cat([t.layers for t in times], dim=1))
    contexts = [MaskedAttention(history)] * SMALL_MODEL.num_layers
    return forward(model, torch.cat(blocks), time, model.project_text(torch.cat(texts)), contexts)[-1:]
