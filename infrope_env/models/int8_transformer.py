"""A generator whose layers are computed in 8-bit integers, by onnxruntime."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeGuard

import torch
from torch import Tensor

from infrope_env.config import ModelConfig
from infrope_env.dynamics.cache import LayerContext
from infrope_env.dynamics.transformer import AttentionContext, CausalWanTransformer, DiTBlock, TextKV, TimeModulation
from infrope_env.errors import WeightsError
from infrope_env.models.int8 import LAYER_INPUTS, LAYER_OUTPUTS

if TYPE_CHECKING:
    import onnxruntime

PACKAGES = ("onnxruntime", "onnx")
INSTALL = 'pip install "infrope-env[int8]"'


class Int8Transformer(CausalWanTransformer):
    """The causal Wan DiT with layers in 8-bit integers.

    Patches, time, text and the output layer are computed in float32. Contexts of another kind than that of play, which
    see every layer's attention, get the whole pass in float32. The graph is made on the first pass.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self._session: onnxruntime.InferenceSession | None = None
        self._making = threading.Lock()

    def forward(
        self, latents: Tensor, time: TimeModulation, text: TextKV, contexts: Sequence[AttentionContext]
    ) -> Tensor:
        """Predict from noisy latents; see `CausalWanTransformer.forward`."""
        if not _are_of_play(contexts):
            return super().forward(latents, time, text, contexts)
        (y,) = self._run(["y"], latents, time, text, contexts)
        return self.unpatchify(self.head(y, time.head))

    def update_cache(
        self, latents: Tensor, time: TimeModulation, text: TextKV, contexts: Sequence[AttentionContext]
    ) -> None:
        """Run the commit pass; see `CausalWanTransformer.update_cache`."""
        if not _are_of_play(contexts):
            super().update_cache(latents, time, text, contexts)
            return
        names = [f"{name}_{index}" for index in range(len(contexts)) for name in LAYER_OUTPUTS]
        outputs = iter(self._run(names, latents, time, text, contexts))
        for context, layer in zip(contexts, self.blocks, strict=True):
            assert isinstance(layer, DiTBlock)
            context.write_kv(layer.self_attn.split(next(outputs)), layer.self_attn.split(next(outputs)))

    def _run(
        self,
        outputs: list[str],
        latents: Tensor,
        time: TimeModulation,
        text: TextKV,
        contexts: Sequence[LayerContext],
    ) -> list[Tensor]:
        """Return outputs of the graph for a block; the block's own part of the contexts is not read."""
        x, rotation = self.patchify(latents), contexts[0].rotation
        inputs = {"x": x, "cos": rotation.cos, "sin": rotation.sin}
        for index, (modulation, text_kv, context) in enumerate(zip(time.layers, text, contexts, strict=True)):
            seen = slice(0, context.keys.shape[2] - x.shape[1])
            parts = (modulation, *text_kv, context.keys[:, :, seen], context.values[:, :, seen])
            inputs |= {f"{name}_{index}": part for name, part in zip(LAYER_INPUTS, parts, strict=True)}
        arrays = {name: tensor.contiguous().numpy() for name, tensor in inputs.items()}
        return [torch.from_numpy(array) for array in self._graph().run(outputs, arrays)]

    def _graph(self) -> onnxruntime.InferenceSession:
        with self._making:
            if self._session is None:
                self._session = make_session(self)
            return self._session

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to this process; a copy makes its own graph."""
        return {**self.__dict__, "_session": None, "_making": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._making = threading.Lock()


def _are_of_play(contexts: Sequence[AttentionContext]) -> TypeGuard[Sequence[LayerContext]]:
    return all(isinstance(context, LayerContext) for context in contexts)


def make_session(transformer: CausalWanTransformer) -> onnxruntime.InferenceSession:
    """Return a session of onnxruntime with a transformer's layers, in one thread."""
    import onnxruntime

    from infrope_env.models.onnx_graph import build_graph

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    graph = build_graph(list(transformer.blocks), transformer.config)  # type: ignore[arg-type]
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def require_packages() -> None:
    """Raise WeightsError with the command that installs what int8 needs, unless it is here."""
    if missing := [package for package in PACKAGES if find_spec(package) is None]:
        raise WeightsError(f"precision='int8' needs {' and '.join(missing)}. Run: {INSTALL}")
