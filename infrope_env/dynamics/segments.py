"""The transformer cut at its self-attentions.

What lies between two self-attentions depends on neither the number of context frames nor the coordinates, so it has
one shape: compiled once, it serves every window, flush and cut. Its tensors are tokens, b n dim, and contiguous.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import Tensor, nn

from infrope_env.dynamics.transformer import (
    AttentionContext,
    CausalWanTransformer,
    DiTBlock,
    TextKV,
    TimeModulation,
)

Segment = Callable[..., Tensor | Sequence[Tensor]]
"""The computation of an `nn.Module` of this file: the module itself, or code that was compiled from it."""


class FirstSegment(nn.Module):
    """Everything before the first self-attention."""

    def __init__(self, model: CausalWanTransformer) -> None:
        super().__init__()
        self.model, self.layer = model, _layers(model)[0]

    def forward(self, latents: Tensor, modulation: Tensor) -> tuple[Tensor, ...]:
        """Return tokens, query, key and value; `modulation` is that of the first layer, b 6 dim."""
        return _project(self.layer, self.model.patchify(latents), modulation)


class MiddleSegment(nn.Module):
    """Everything between the self-attentions of two layers."""

    def __init__(self, before: DiTBlock, after: DiTBlock) -> None:
        super().__init__()
        self.before, self.after = before, after

    def forward(
        self, x: Tensor, attended: Tensor, modulation: Tensor, text_key: Tensor, text_value: Tensor, following: Tensor
    ) -> tuple[Tensor, ...]:
        """Return tokens, query, key and value of the second layer.

        Args:
            x: Tokens that the first layer read.
            attended: Result of its self-attention.
            modulation: Modulation of the first layer, b 6 dim.
            text_key: Text keys of the first layer, b text_len dim.
            text_value: Text values, same shape.
            following: Modulation of the second layer, b 6 dim.
        """
        return _project(self.after, _finish(self.before, x, attended, modulation, text_key, text_value), following)


class LastSegment(nn.Module):
    """Everything behind the last self-attention."""

    def __init__(self, model: CausalWanTransformer) -> None:
        super().__init__()
        self.model, self.layer = model, _layers(model)[-1]

    def forward(
        self, x: Tensor, attended: Tensor, modulation: Tensor, text_key: Tensor, text_value: Tensor, following: Tensor
    ) -> Tensor:
        """Return the prediction, b f c h w; `following` is the modulation of the head, b 2 dim."""
        x = _finish(self.layer, x, attended, modulation, text_key, text_value)
        return self.model.unpatchify(self.model.head(x, following))


def cut_into_segments(model: CausalWanTransformer) -> list[nn.Module]:
    """Return the segments of a model in order, one more than it has layers; they share its weights."""
    layers = _layers(model)
    middle = [MiddleSegment(*pair) for pair in pairwise(layers)]
    return [FirstSegment(model), *middle, LastSegment(model)]


class SegmentedTransformer:
    """A `Network` that runs segments, compiled or not, with self-attention between them."""

    def __init__(self, segments: Sequence[Segment], num_heads: int) -> None:
        """Take the segments of `cut_into_segments`, in order, and the number of attention heads."""
        self._segments, self._num_heads = segments, num_heads

    def __call__(
        self, latents: Tensor, time: TimeModulation, text: TextKV, contexts: Sequence[AttentionContext]
    ) -> Tensor:
        """Predict from noisy latents, as `CausalWanTransformer.forward`."""
        x, heads = self._run_layers(latents, time, text, contexts)
        arguments = self._behind(x, contexts[-1].attend(*heads), time.layers[-1], text[-1])
        prediction = self._segments[-1](*arguments, time.head.contiguous())
        assert isinstance(prediction, Tensor)
        return prediction

    def update_cache(
        self, latents: Tensor, time: TimeModulation, text: TextKV, contexts: Sequence[AttentionContext]
    ) -> None:
        """Run the commit pass, as `CausalWanTransformer.update_cache`."""
        _, (_, key, value) = self._run_layers(latents, time, text, contexts)
        contexts[-1].write_kv(key, value)

    def _run_layers(
        self, latents: Tensor, time: TimeModulation, text: TextKV, contexts: Sequence[AttentionContext]
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the last layer's tokens, and its query, key and value, b heads n d."""
        x, *projected = self._segments[0](latents.contiguous(), time.layers[0].contiguous())
        for index, segment in enumerate(self._segments[1:-1]):
            attended = contexts[index].attend(*map(self._split, projected))
            arguments = self._behind(x, attended, time.layers[index], text[index])
            x, *projected = segment(*arguments, time.layers[index + 1].contiguous())
        return x, [self._split(tokens) for tokens in projected]

    def _behind(
        self, x: Tensor, attended: Tensor, modulation: Tensor, text: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, ...]:
        """Return the arguments that every segment behind a self-attention begins with."""
        arguments = x, merge_heads(attended), modulation, *map(merge_heads, text)
        return tuple(argument.contiguous() for argument in arguments)

    def _split(self, tokens: Tensor) -> Tensor:
        """Split b n (heads d) into heads, b heads n d."""
        return split_heads(tokens, self._num_heads)


def split_heads(tokens: Tensor, num_heads: int) -> Tensor:
    """Split b n (heads d) into heads, b heads n d; no copy."""
    return tokens.unflatten(2, (num_heads, -1)).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """Merge b heads n d to b n (heads d); no copy where the tensor came from `split_heads`."""
    return x.transpose(1, 2).flatten(2)


def _project(layer: DiTBlock, x: Tensor, modulation: Tensor) -> tuple[Tensor, ...]:
    return x, *map(merge_heads, layer.project(x, modulation))


def _finish(
    layer: DiTBlock, x: Tensor, attended: Tensor, modulation: Tensor, text_key: Tensor, text_value: Tensor
) -> Tensor:
    heads = layer.self_attn.num_heads
    text = split_heads(text_key, heads), split_heads(text_value, heads)
    return layer.finish(x, split_heads(attended, heads), modulation, text)


def _layers(model: CausalWanTransformer) -> list[DiTBlock]:
    layers = list(model.blocks)
    assert all(isinstance(layer, DiTBlock) for layer in layers)
    return layers  # type: ignore[return-value]
