"""Forward passes over buffers whose addresses never change: on a GPU they are replayed as CUDA graphs.

A block has a handful of context lengths. Each has one pass that denoises and one that commits; a flush, a cut, a reset
or a restored state selects among them and changes the content of buffers only.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeGuard

import torch
from torch import Tensor

from infrope_env.dynamics.cache import LayerContext
from infrope_env.dynamics.rope import Rotation
from infrope_env.dynamics.transformer import AttentionContext, Network, TextKV, TimeModulation

WARM_UP_PASSES = 3
"""Passes before a capture: they choose kernels, compile what is to be compiled and allocate workspaces."""

PoolHandle = Any
"""Handle from `torch.cuda.graph_pool_handle`; its type has no public name."""

logger = logging.getLogger(__name__)


class GraphedNetwork:
    """A `Network` that runs another one over fixed buffers; its results are those of the other one.

    On a GPU a pass of a new shape is captured as a CUDA graph and replayed from then on: the host launches one graph
    in place of hundreds of kernels. Elsewhere the network runs eagerly over the same buffers. Weights must keep their
    addresses, so CPU offload excludes it. Contexts of another kind than that of play go to the network itself.
    """

    def __init__(self, network: Network) -> None:
        """Run a network, compiled or not, for one rollout."""
        self._network = network
        self._inputs: dict[torch.Size, FixedInputs] = {}  # by the shape of the latents
        self._passes: dict[tuple[object, ...], FixedPass] = {}
        self._pool: PoolHandle | None = None  # memory that all graphs share: one runs at a time

    def __call__(
        self, latents: Tensor, time: TimeModulation, text: TextKV, contexts: Sequence[AttentionContext]
    ) -> Tensor:
        """Predict from noisy latents, as `CausalWanTransformer.forward`."""
        if not are_of_play(contexts):
            return self._network(latents, time, text, contexts)
        prediction = self._run(self._network, latents, time, text, contexts)
        assert prediction is not None
        return prediction.clone()  # the next pass overwrites it

    def update_cache(
        self, latents: Tensor, time: TimeModulation, text: TextKV, contexts: Sequence[AttentionContext]
    ) -> None:
        """Run the commit pass, as `CausalWanTransformer.update_cache`."""
        if are_of_play(contexts):
            self._run(self._network.update_cache, latents, time, text, contexts)
        else:
            self._network.update_cache(latents, time, text, contexts)

    def addresses(self) -> dict[tuple[object, ...], tuple[int, ...]]:
        """Return the addresses of every tensor that a pass reads or writes, by pass."""
        return {key: fixed.addresses for key, fixed in self._passes.items()}

    def _run(
        self,
        compute: Callable[..., Tensor | None],
        latents: Tensor,
        time: TimeModulation,
        text: TextKV,
        contexts: Sequence[LayerContext],
    ) -> Tensor | None:
        """Load the inputs into their buffers and run the pass of these contexts; return its own output buffer."""
        if latents.shape not in self._inputs:
            self._inputs[latents.shape] = FixedInputs(latents, time, text, contexts[0].rotation)
        inputs = self._inputs[latents.shape]
        inputs.load(latents, time, text, contexts[0].rotation)
        key = (compute == self._network, latents.shape, contexts[0].keys.shape, *context_addresses(contexts))
        if key not in self._passes:
            self._passes[key] = self._make_pass(compute, inputs, contexts)
        return self._passes[key].run()

    def _make_pass(
        self, compute: Callable[..., Tensor | None], inputs: FixedInputs, contexts: Sequence[LayerContext]
    ) -> FixedPass:
        made = FixedPass(compute, inputs, [replace(context, rotation=inputs.rotation) for context in contexts])
        if inputs.latents.device.type == "cuda":
            self._pool = self._pool or torch.cuda.graph_pool_handle()
            made.capture(self._pool)
            logger.info("captured CUDA graph %d, %d tokens visible", len(self._passes) + 1, contexts[0].keys.shape[2])
        return made


class FixedInputs:
    """Buffers of everything that a pass reads besides the weights and the contexts' keys and values.

    Attributes:
        latents: Latent frames, b f c h w.
        time: Modulation of their timestep.
        text: Keys and values of the prompt.
        rotation: Rotation of the block's tokens.
    """

    def __init__(self, latents: Tensor, time: TimeModulation, text: TextKV, rotation: Rotation) -> None:
        """Allocate buffers in the shapes and layouts of these tensors."""
        self.latents = torch.empty_like(latents)
        self.time = TimeModulation(torch.empty_like(time.head), torch.empty_like(time.layers))
        self.text: TextKV = [(torch.empty_like(key), torch.empty_like(value)) for key, value in text]
        self.rotation = Rotation(*map(torch.empty_like, rotation))
        self._loaded_text: TextKV | None = None

    def load(self, latents: Tensor, time: TimeModulation, text: TextKV, rotation: Rotation) -> None:
        """Copy inputs to the buffers; those of a prompt, a hundred times as large as the rest, once per prompt."""
        pairs = list(zip(self._small(), (latents, time.head, time.layers, *rotation), strict=True))
        if text is not self._loaded_text:
            self._loaded_text = None  # until the copy is complete
            pairs += zip(_flatten(self.text), _flatten(text), strict=True)
        for buffer, tensor in pairs:
            buffer.copy_(tensor)
        self._loaded_text = text

    def tensors(self) -> list[Tensor]:
        """Return all buffers."""
        return [*self._small(), *_flatten(self.text)]

    def _small(self) -> list[Tensor]:
        return [self.latents, self.time.head, self.time.layers, *self.rotation]


@dataclass
class FixedPass:
    """One forward pass over fixed buffers.

    Attributes:
        compute: The pass of a network: prediction or commit.
        inputs: Its inputs.
        contexts: Its contexts, with the rotation of the inputs.
    """

    compute: Callable[..., Tensor | None]
    inputs: FixedInputs
    contexts: Sequence[LayerContext]
    _graph: torch.cuda.CUDAGraph | None = None
    _output: Tensor | None = None

    def run(self) -> Tensor | None:
        """Replay the graph, or compute where there is none; return the output, which the next run overwrites."""
        if self._graph is None:
            return self._compute()
        self._graph.replay()
        return self._output

    def capture(self, pool: PoolHandle) -> None:
        """Capture the pass as a CUDA graph, on a stream of its own, with memory from a pool that graphs share."""
        device = self.inputs.latents.device
        with torch.cuda.device(device):
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(WARM_UP_PASSES):
                    self._compute()
            torch.cuda.current_stream().wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
                self._output = self._compute()
        self._graph = graph

    @property
    def addresses(self) -> tuple[int, ...]:
        """Addresses of every tensor that the pass reads or writes, besides weights and its own intermediate results."""
        own = [*self.inputs.tensors(), *(tensor for context in self.contexts for tensor in context.rotation)]
        return (*(tensor.data_ptr() for tensor in own), *context_addresses(self.contexts))

    def _compute(self) -> Tensor | None:
        return self.compute(self.inputs.latents, self.inputs.time, self.inputs.text, self.contexts)


def are_of_play(contexts: Sequence[AttentionContext]) -> TypeGuard[Sequence[LayerContext]]:
    """Return whether all contexts are views of buffers, as `ContextBuffers.gather` makes them."""
    return all(type(context) is LayerContext for context in contexts)


def context_addresses(contexts: Sequence[LayerContext]) -> tuple[int, ...]:
    """Return the addresses of keys, values and fresh keys of every layer."""
    return tuple(
        tensor.data_ptr() for context in contexts for tensor in (context.keys, context.values, context.fresh_keys)
    )


def _flatten(text: TextKV) -> list[Tensor]:
    return [tensor for pair in text for tensor in pair]
