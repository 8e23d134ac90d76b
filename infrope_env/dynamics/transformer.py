"""The causal Wan DiT: noisy latent frames in, velocity (or clean latent frames) out.

Parameter names are the official ones, so released checkpoints load unchanged. Everything that several passes share is
an input and is computed once: text keys and values per prompt (`project_text`), modulations per timestep (`modulate`),
rotated context keys per block (`AttentionContext`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import pi
from typing import Protocol

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from infrope_env.config import ModelConfig

NORM_EPS = 1e-6
LARGEST_PERIOD = 10000.0
GELU_SLOPE = 2 * (2 / pi) ** 0.5


class AttentionContext(Protocol):
    """One layer's view of the cached frames, with their coordinates; `cache.LayerContext` is the one for play."""

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attend from the block to everything it sees, itself included.

        Args:
            query: Un-rotated queries of the block, b heads n d.
            key: Un-rotated keys of the block, same shape.
            value: Values of the block, same shape.

        Returns:
            Attention output, same shape.
        """
        ...

    def write_kv(self, key: Tensor, value: Tensor) -> None:
        """Store the block's un-rotated keys and values, b heads n d, without attending."""
        ...


@dataclass(frozen=True)
class TimeModulation:
    """Modulation of the network by a timestep.

    Scales include the one that they are added to: tokens are multiplied by them.

    Attributes:
        head: Shift and scale before the output layer, b 2 dim.
        layers: Shift, scale and gate of attention, then of the feed-forward, by layer: layers b 6 dim.
    """

    head: Tensor
    layers: Tensor


TextKV = Sequence[tuple[Tensor, Tensor]]
"""Cross-attention keys and values of a prompt by layer, each b heads text_len head_dim."""


class CausalWanTransformer(nn.Module):
    """Network that predicts the velocity of one block, or its clean latents; see `ModelConfig.prediction`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        dim, patch = config.dim, (1, *config.patch)
        self.patch_embedding = nn.Conv3d(config.latent_channels, dim, kernel_size=patch, stride=patch)
        self.text_embedding = nn.Sequential(nn.Linear(config.text_dim, dim), TanhGELU(), nn.Linear(dim, dim))
        self.time_embedding = nn.Sequential(nn.Linear(config.freq_dim, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.time_projection = nn.Sequential(nn.SiLU(), nn.Linear(dim, dim * 6))
        self.blocks = nn.ModuleList(DiTBlock(config) for _ in range(config.num_layers))
        self.head = Head(config)
        if config.learned_grid:
            self.grid = nn.Parameter(0.02 * torch.randn(config.tokens_per_frame, dim))

    def forward(
        self, latents: Tensor, time: TimeModulation, text: TextKV, contexts: Sequence[AttentionContext]
    ) -> Tensor:
        """Predict from noisy latents.

        Args:
            latents: Noisy latent frames of one block, b f c h w.
            time: Modulation of their timestep, from `modulate`.
            text: Keys and values of the prompt, from `project_text`.
            contexts: Context of each layer.

        Returns:
            Velocity or clean latents, same shape as the latents.
        """
        x = self.patchify(latents)
        for layer, modulation, text_kv, context in zip(self.blocks, time.layers, text, contexts, strict=True):
            x = layer(x, modulation, text_kv, context)
        return self.unpatchify(self.head(x, time.head))

    def update_cache(
        self, latents: Tensor, time: TimeModulation, text: TextKV, contexts: Sequence[AttentionContext]
    ) -> None:
        """Run the commit pass: write the keys and values of clean latents to the contexts, and predict nothing.

        Arguments are those of `forward`. The last layer stops at its keys and values.
        """
        x = self.patchify(latents)
        for layer, modulation, text_kv, context in zip(self.blocks[:-1], time.layers, text, contexts, strict=False):
            x = layer(x, modulation, text_kv, context)
        last = self.blocks[-1]
        assert isinstance(last, DiTBlock)
        _, key, value = last.project(x, time.layers[-1])
        contexts[-1].write_kv(key, value)

    def project_text(self, embedding: Tensor) -> TextKV:
        """Project a prompt embedding, b text_len text_dim, to cross-attention keys and values, zero rows too."""
        tokens = self.text_embedding(embedding)
        return [layer.cross_attn.project_text(tokens) for layer in self.blocks]  # type: ignore[union-attr, operator]

    def modulate(self, timesteps: Tensor) -> TimeModulation:
        """Return the modulation of timesteps in [0, 1000], shape (b,)."""
        frequencies = sinusoid(timesteps, self.config.freq_dim).to(self.head.modulation.dtype)
        embedding = self.time_embedding(frequencies)
        time = self.time_projection(embedding).unflatten(1, (6, -1))  # b 6 dim, the same for every layer
        layers = torch.stack([layer.modulation + time for layer in self.blocks])
        return TimeModulation(
            _add_one(self.head.modulation + embedding.unsqueeze(1), rows=(1,)), _add_one(layers, rows=(1, 4))
        )

    def patchify(self, latents: Tensor) -> Tensor:
        """Embed latents b f c h w as tokens b (f rows cols) dim: the convolution has kernel = stride, so one matmul."""
        p, q = self.config.patch
        patches = rearrange(latents, "b f c (r p) (k q) -> b (f r k) (c p q)", p=p, q=q)
        tokens = F.linear(patches, self.patch_embedding.weight.flatten(1), self.patch_embedding.bias)
        return tokens + self.grid.repeat(latents.shape[1], 1) if self.config.learned_grid else tokens

    def unpatchify(self, tokens: Tensor) -> Tensor:
        """Rearrange output tokens b (f rows cols) (p q c) to latents b f c h w."""
        c, (p, q) = self.config, self.config.patch
        return rearrange(tokens, "b (f r k) (p q c) -> b f c (r p) (k q)", r=c.rows, k=c.cols, p=p, q=q)


class DiTBlock(nn.Module):
    """Transformer layer: self-attention, cross-attention to the text, feed-forward; time modulates first and last."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim = config.dim
        self.self_attn = SelfAttention(dim, config.num_heads)
        self.norm3 = nn.LayerNorm(dim, NORM_EPS)
        self.cross_attn = CrossAttention(dim, config.num_heads)
        self.ffn = nn.Sequential(nn.Linear(dim, config.ffn_dim), TanhGELU(), nn.Linear(config.ffn_dim, dim))
        self.modulation = nn.Parameter(torch.randn(1, 6, dim) / dim**0.5)

    def forward(self, x: Tensor, modulation: Tensor, text: tuple[Tensor, Tensor], context: AttentionContext) -> Tensor:
        """Apply the layer to tokens b n dim; `modulation` is b 6 dim, `text` the keys and values for this layer."""
        return self.finish(x, context.attend(*self.project(x, modulation)), modulation, text)

    def project(self, x: Tensor, modulation: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return un-rotated query, key and value of self-attention, each b heads n d; arguments as in `forward`."""
        shift, scale = modulation[:, :2].chunk(2, dim=1)  # each b 1 dim
        return self.self_attn.project(modulated_norm(x, shift, scale))

    def finish(self, x: Tensor, attended: Tensor, modulation: Tensor, text: tuple[Tensor, Tensor]) -> Tensor:
        """Apply everything behind self-attention, whose result is `attended`, b heads n d."""
        gate_attn, shift, scale, gate = modulation[:, 2:].chunk(4, dim=1)  # each b 1 dim
        x = torch.addcmul(x, gate_attn, self.self_attn.merge(attended))
        x = x + self.cross_attn(self.norm3(x), text)
        return torch.addcmul(x, gate, self.ffn(modulated_norm(x, shift, scale)))


class Network(Protocol):
    """A transformer as a rollout runs it; `CausalWanTransformer` and `segments.SegmentedTransformer` are two."""

    def __call__(
        self, latents: Tensor, time: TimeModulation, text: TextKV, contexts: Sequence[AttentionContext]
    ) -> Tensor:
        """Predict from noisy latents, as `CausalWanTransformer.forward`."""
        ...

    def update_cache(
        self, latents: Tensor, time: TimeModulation, text: TextKV, contexts: Sequence[AttentionContext]
    ) -> None:
        """Run the commit pass, as `CausalWanTransformer.update_cache`."""
        ...


class Attention(nn.Module):
    """Projections shared by self- and cross-attention; queries and keys are normalised over the full width."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q, self.k, self.v, self.o = (nn.Linear(dim, dim) for _ in range(4))
        self.norm_q, self.norm_k = RMSNorm(dim), RMSNorm(dim)

    def split(self, x: Tensor) -> Tensor:
        """Split b n (heads d) into heads, b heads n d."""
        return x.unflatten(2, (self.num_heads, -1)).transpose(1, 2)

    def merge(self, x: Tensor) -> Tensor:
        """Merge the heads of b heads n d and project to b n dim."""
        return self.o(x.transpose(1, 2).flatten(2))


class SelfAttention(Attention):
    """Attention from a block's tokens to the context and to themselves."""

    def forward(self, x: Tensor, context: AttentionContext) -> Tensor:
        """Attend with tokens b n dim, result in the same shape."""
        return self.merge(context.attend(*self.project(x)))

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return un-rotated query, key and value, each b heads n d."""
        return self.split(self.norm_q(self.q(x))), self.split(self.norm_k(self.k(x))), self.split(self.v(x))


class CrossAttention(Attention):
    """Attention from a block's tokens to the prompt."""

    def forward(self, x: Tensor, text: tuple[Tensor, Tensor]) -> Tensor:
        """Attend with tokens b n dim to keys and values of the text, result in the same shape."""
        return self.merge(F.scaled_dot_product_attention(self.split(self.norm_q(self.q(x))), *text))

    def project_text(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values of text tokens b text_len dim, each b heads text_len head_dim."""
        return self.split(self.norm_k(self.k(tokens))), self.split(self.v(tokens))


class Head(nn.Module):
    """Output layer; its channels are ordered patch row, patch column, latent channel."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.head = nn.Linear(config.dim, config.patch_values)
        self.modulation = nn.Parameter(torch.randn(1, 2, config.dim) / config.dim**0.5)

    def forward(self, x: Tensor, modulation: Tensor) -> Tensor:
        """Map tokens b n dim to b n (p q c); `modulation` is shift and scale, b 2 dim."""
        return self.head(modulated_norm(x, *modulation.chunk(2, dim=1)))


class TanhGELU(nn.GELU):
    """GELU in its tanh approximation, x (1 + tanh u) / 2 with u = sqrt(2 / pi) (x + 0.044715 x^3).

    This equals x sigmoid(2 u). A CPU computes that form, in place and without gradients, twice as fast as PyTorch's
    kernel.
    """

    def __init__(self) -> None:
        super().__init__(approximate="tanh")

    def forward(self, x: Tensor) -> Tensor:
        """Apply GELU to every element."""
        if x.device.type != "cpu" or x.dtype != torch.float32 or torch.is_grad_enabled():
            return super().forward(x)
        twice_u = x.square().mul_(0.044715 * GELU_SLOPE).add_(GELU_SLOPE).mul_(x)
        return twice_u.sigmoid_().mul_(x)


class RMSNorm(nn.Module):
    """Root-mean-square normalisation, computed in float32 and weighted in the input's dtype."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last axis."""
        return F.rms_norm(x.float(), self.weight.shape, eps=NORM_EPS).to(x.dtype) * self.weight


def modulated_norm(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Normalise tokens b n dim over the last axis, multiply them by `scale` and add `shift`, both b 1 dim.

    One row of both serves any number of rows of tokens: then one kernel does everything.
    """
    width = x.shape[-1:]
    if len(shift) == 1:
        return F.layer_norm(x, width, scale.flatten(), shift.flatten(), NORM_EPS)
    return torch.addcmul(shift, F.layer_norm(x, width, eps=NORM_EPS), scale)


def _add_one(modulation: Tensor, rows: tuple[int, ...]) -> Tensor:
    """Return modulations ... rows dim with one added to the rows that are scales."""
    ones = torch.zeros_like(modulation[..., :1]).index_fill(-2, torch.tensor(rows, device=modulation.device), 1.0)
    return modulation + ones


def sinusoid(timesteps: Tensor, width: int) -> Tensor:
    """Return cosines, then sines, of timesteps (b,) at `width` / 2 frequencies: b width, float64."""
    half = width // 2
    exponents = torch.arange(half, dtype=torch.float64, device=timesteps.device) / half
    angles = torch.outer(timesteps.double(), LARGEST_PERIOD**-exponents)
    return torch.cat((angles.cos(), angles.sin()), dim=1)
