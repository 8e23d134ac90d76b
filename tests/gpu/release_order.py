"""The generator in the release's order of operations, with our weights and inputs: the slow arm of the comparison.

Re-created, in every pass and layer: float64 complex rotation of the whole window's keys and of the queries, from tables
that are put together anew; norms, modulations, gates and residuals one operation at a time, per latent frame; the
timestep's embedding and the text's; counters read from the device; a commit pass with its last layer and head;
FlashAttention 2. Not re-created: kernels of the flash-attn package, noise drawn on the GPU, and a cache that moves when
it is full; ours gathers the window once per block instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from infrope_env.config import Sampler, Window
from infrope_env.dynamics.cache import LayerContext
from infrope_env.dynamics.coordinates import Layout
from infrope_env.dynamics.rollout import Rollout
from infrope_env.dynamics.transformer import (
    NORM_EPS,
    Attention,
    AttentionContext,
    CausalWanTransformer,
    DiTBlock,
    TextKV,
    TimeModulation,
    sinusoid,
)

COUNTER_READS = 4
"""Counters that a layer reads from the device in a pass; the release has 695 reads in 150 such calls."""
FLASH_FIRST = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


class Table:
    """Rotations as complex128 numbers, by coordinate and by patch."""

    def __init__(self, rollout: Rollout) -> None:
        time, grid = rollout.rotary_table._time, rollout.rotary_table._grid
        self.time = torch.complex(time.cos.double(), time.sin.double())  # length pairs
        self.grid = torch.complex(grid.cos.double(), grid.sin.double())  # n pairs

    def rotate(self, x: Tensor, coordinates: Sequence[int]) -> Tensor:
        """Rotate b (frames n) heads d at one coordinate per frame."""
        count, n = len(coordinates), len(self.grid)
        time = self.time[list(coordinates)].view(count, 1, -1).expand(count, n, -1)
        factors = torch.cat((time, self.grid.expand(count, n, -1)), dim=-1).reshape(count * n, 1, -1)
        pairs = torch.view_as_complex(x.to(torch.float64).reshape(*x.shape[:-1], -1, 2))
        return torch.view_as_real(pairs * factors).flatten(3).type_as(x)


@dataclass
class ReleaseContext:
    """One layer's window, un-rotated, b (frames n) heads d; the block's own frames are the last.

    Attributes:
        inner: The context of play, which gets the block's keys and values for the commit.
        keys: Keys of the window.
        values: Values of the window.
        layout: Coordinates of context and block.
        table: Rotations.
        counters: Global and local end of the cache, on the device.
    """

    inner: LayerContext
    keys: Tensor
    values: Tensor
    layout: Layout
    table: Table
    counters: Tensor

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attend from the block to its window; all b n heads d, un-rotated."""
        for read in range(COUNTER_READS):
            self.counters[read % 2].item()
        own = slice(-key.shape[1], None)
        self.keys[:, own], self.values[:, own] = key, value
        for counter in self.counters:
            counter.fill_(self.keys.shape[1])
        query = self.table.rotate(query, self.layout.block)
        keys = self.table.rotate(self.keys, (*self.layout.context, *self.layout.block))
        inputs = (x.transpose(1, 2) for x in (query, keys, self.values))
        return F.scaled_dot_product_attention(*inputs).transpose(1, 2)

    def write_kv(self, key: Tensor, value: Tensor) -> None:
        """Give the context of play what the commit stores; b heads n d."""
        self.inner.fresh_keys.copy_(key)
        self.inner.values[:, :, -value.shape[2] :] = value


def release_rollout(model: CausalWanTransformer, window: Window, embedding: Callable[[], Tensor]) -> Rollout:
    """Return a rollout that computes in the release's order; `embedding` is the prompt's in force."""
    rollout: Rollout
    counters = torch.zeros(model.config.num_layers, 2, dtype=torch.long, device=model.head.modulation.device)

    def hook(layout: Layout, visible: tuple[int, ...], contexts: list[LayerContext]) -> list[ReleaseContext]:
        slots = [rollout.cache.slot_of[frame] for frame in visible]
        return [
            ReleaseContext(
                context,
                window_of(rollout.cache.keys[index], slots, window.block),
                window_of(rollout.cache.values[index], slots, window.block),
                layout,
                table,
                counters[index],
            )
            for index, context in enumerate(contexts)
        ]

    rollout = Rollout(model, window, Sampler(), context_hook=hook)
    table = Table(rollout)
    rollout.network = ReleaseOrder(rollout, embedding)
    return rollout


def window_of(cached: Tensor, slots: Sequence[int], block: int) -> Tensor:
    """Return b heads slots n d as b (frames n) heads d, with room for a block behind the visible frames."""
    b, heads, _, n, d = cached.shape
    window = cached.new_zeros(b, (len(slots) + block) * n, heads, d)
    for index, slot in enumerate(slots):
        window[:, index * n : (index + 1) * n] = cached[:, :, slot].transpose(1, 2)
    return window


class ReleaseOrder:
    """A `Network` that computes a rollout's generator in the release's order of operations."""

    def __init__(self, rollout: Rollout, embedding: Callable[[], Tensor]) -> None:
        self._rollout, self._model, self._embedding = rollout, rollout.model, embedding

    def __call__(
        self, latents: Tensor, time: TimeModulation, text: TextKV, contexts: Sequence[AttentionContext]
    ) -> Tensor:
        """Predict from noisy latents, as `CausalWanTransformer.forward`."""
        model, frames = self._model, latents.shape[1]
        with sdpa_kernel(FLASH_FIRST, set_priority=True):
            model.text_embedding(self._embedding())  # the release computes it in every pass, and seldom uses it
            timesteps = torch.full((frames,), self._timestep(time), device=latents.device)
            frequencies = sinusoid(timesteps, model.config.freq_dim).to(latents.dtype)
            embedding = model.time_embedding(frequencies)
            modulation = model.time_projection(embedding).unflatten(1, (6, -1)).unsqueeze(0)  # b f 6 dim
            x = model.patchify(latents)
            for layer, text_kv, context in zip(model.blocks, text, contexts, strict=True):
                assert isinstance(layer, DiTBlock) and isinstance(context, ReleaseContext)
                x = apply_layer(layer, x, modulation, text_kv, context)
            return self._predict(x, embedding)

    def update_cache(
        self, latents: Tensor, time: TimeModulation, text: TextKV, contexts: Sequence[AttentionContext]
    ) -> None:
        """Run the commit pass to its end and drop the prediction."""
        self(latents, time, text, contexts)
        for context in contexts:
            assert isinstance(context, ReleaseContext)
            own = slice(-context.inner.fresh_keys.shape[2], None)
            context.write_kv(context.keys[:, own].transpose(1, 2), context.values[:, own].transpose(1, 2))

    def _predict(self, x: Tensor, embedding: Tensor) -> Tensor:
        head, frames = self._model.head, len(embedding)
        shift, scale = (head.modulation.unsqueeze(1) + embedding.view(1, frames, 1, -1)).chunk(2, dim=2)
        return self._model.unpatchify(head.head(modulate(layer_norm(x), shift, scale)))

    def _timestep(self, time: TimeModulation) -> float:
        """Return the timestep of one of the rollout's modulations."""
        for schedule, modulations in self._rollout._modulations.items():
            for timestep, modulation in zip(schedule.timesteps, modulations, strict=True):
                if modulation is time:
                    return timestep
        assert time is self._rollout.commit_modulation
        return 0.0


def apply_layer(
    layer: DiTBlock, x: Tensor, modulation: Tensor, text: tuple[Tensor, Tensor], context: ReleaseContext
) -> Tensor:
    """Apply a layer to tokens b n dim; `modulation` is b f 6 dim, without the layer's own."""
    shift, scale, gate, shift_ffn, scale_ffn, gate_ffn = (layer.modulation.unsqueeze(1) + modulation).chunk(6, dim=2)
    attended = attend_to_window(layer.self_attn, modulate(layer_norm(x), shift, scale), context)
    x = x + per_frame(attended, gate).mul(gate).flatten(1, 2)
    x = x + attend_to_text(layer.cross_attn, layer.norm3(x), text)
    y = layer.ffn(modulate(layer_norm(x), shift_ffn, scale_ffn))
    return x + per_frame(y, gate_ffn).mul(gate_ffn).flatten(1, 2)


def attend_to_window(attention: Attention, x: Tensor, context: ReleaseContext) -> Tensor:
    """Return self-attention of tokens b n dim."""
    query, key = rms_norm(attention.norm_q, attention.q(x)), rms_norm(attention.norm_k, attention.k(x))
    heads = (y.unflatten(2, (attention.num_heads, -1)) for y in (query, key, attention.v(x)))
    return attention.o(context.attend(*heads).flatten(2))


def attend_to_text(attention: Attention, x: Tensor, text: tuple[Tensor, Tensor]) -> Tensor:
    """Return cross-attention of tokens b n dim."""
    query = rms_norm(attention.norm_q, attention.q(x)).unflatten(2, (attention.num_heads, -1)).transpose(1, 2)
    return attention.o(F.scaled_dot_product_attention(query, *text).transpose(1, 2).flatten(2))


def per_frame(x: Tensor, modulation: Tensor) -> Tensor:
    """Split tokens b (f n) dim by latent frame; a modulation is b f 1 dim."""
    return x.unflatten(1, (modulation.shape[1], -1))


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Return tokens b n dim, scaled and shifted per latent frame."""
    return (per_frame(x, shift) * (1 + scale) + shift).flatten(1, 2)


def layer_norm(x: Tensor) -> Tensor:
    """Normalise the last axis."""
    return F.layer_norm(x, x.shape[-1:], eps=NORM_EPS).type_as(x)


def rms_norm(norm: nn.Module, x: Tensor) -> Tensor:
    """Normalise the last axis in float32, one operation at a time."""
    wide = x.float()
    return (wide * torch.rsqrt(wide.pow(2).mean(dim=-1, keepdim=True) + NORM_EPS)).type_as(x) * norm.weight
