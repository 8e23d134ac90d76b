"""The layers of a generator as an ONNX graph whose products are in 8-bit integers.

Weights are rounded once, with a scale for each output; inputs are rounded in every pass. Everything between two
products is float32. Context and text are inputs, and the block's own keys and values outputs: the cache stays where it
is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from infrope_env.config import ModelConfig
from infrope_env.dynamics.transformer import NORM_EPS, Attention, DiTBlock
from infrope_env.models.int8 import LAYER_INPUTS, LAYER_OUTPUTS, largest_weight, round_rows

MICROSOFT = "com.microsoft"
"""Domain of operators that onnxruntime adds: fused products, attention and rotation."""
OPSET = 17


@dataclass
class Graph:
    """Nodes and constants of a graph under construction.

    Attributes:
        heads: Heads of every attention.
        nodes: Nodes so far, in the order in which they run.
        constants: Weights by name.
    """

    heads: int
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def add(self, operator: str, inputs: Sequence[str], domain: str = "", outputs: int = 1, **attributes: Any) -> str:
        """Append a node and return its output's name; several outputs are named behind it, "split_7:0"."""
        name = f"{operator}_{len(self.nodes)}"
        names = [name] if outputs == 1 else [f"{name}:{index}" for index in range(outputs)]
        self.nodes.append(helper.make_node(operator, inputs, names, name=name, domain=domain, **attributes))
        return name

    def constant(self, value: Tensor | np.ndarray) -> str:
        """Append a constant and return its name."""
        name = f"constant_{len(self.constants)}"
        array = value.detach().numpy() if isinstance(value, Tensor) else value
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def linear(self, layer: nn.Linear, x: str) -> str:
        """Append a linear layer in 8-bit integers."""
        weight, scale = round_rows(layer.weight.detach().float(), largest_weight())
        inputs = [x, self.constant(weight.t()), self.constant(scale.flatten()), "", self.constant(layer.bias.float())]
        return self.add("DynamicQuantizeMatMul", inputs, MICROSOFT)

    def modulated_norm(self, x: str, shift: str, scale: str, dim: int) -> str:
        """Append a layer norm without weights, times scale, plus shift."""
        weight = self.constant(np.ones(dim, np.float32))
        normed = self.add("LayerNormalization", [x, weight], axis=-1, epsilon=NORM_EPS)
        return self.add("Add", [self.add("Mul", [normed, scale]), shift])

    def rms_norm(self, weight: Tensor, x: str) -> str:
        """Append a root-mean-square norm."""
        return self.add("SimplifiedLayerNormalization", [x, self.constant(weight.float())], axis=-1, epsilon=NORM_EPS)

    def rotated(self, x: str) -> str:
        """Append the rotation of tokens b n dim by the inputs "cos" and "sin"."""
        inputs = [x, "zero", "cos", "sin"]
        return self.add("RotaryEmbedding", inputs, MICROSOFT, interleaved=1, num_heads=self.heads)

    def split_heads(self, x: str) -> str:
        """Append b n dim -> b heads n d."""
        return self.add("Transpose", [self.add("Reshape", [x, "by_heads"])], perm=[0, 2, 1, 3])

    def attention(self, part: Attention, query: str, keys: str, values: str) -> str:
        """Append attention from b n dim to keys and values b heads n d, and its output projection."""
        merged = self.add("MultiHeadAttention", [query, keys, values], MICROSOFT, num_heads=self.heads)
        return self.linear(part.o, merged)

    def layer(self, block: DiTBlock, x: str, index: int) -> str:
        """Append a transformer layer; see `DiTBlock.forward`."""
        dim, own, cross = block.modulation.shape[-1], block.self_attn, block.cross_attn
        split = self.add("Split", [f"modulation_{index}"], outputs=6, axis=1)
        shift, scale, gate, shift_ffn, scale_ffn, gate_ffn = (f"{split}:{each}" for each in range(6))
        a = self.modulated_norm(x, shift, scale, dim)
        query = self.rotated(self.rms_norm(own.norm_q.weight, self.linear(own.q, a)))
        key = self.named(f"key_{index}", self.rms_norm(own.norm_k.weight, self.linear(own.k, a)))
        value = self.named(f"value_{index}", self.linear(own.v, a))
        keys = self.add("Concat", [f"context_k_{index}", self.split_heads(self.rotated(key))], axis=2)
        values = self.add("Concat", [f"context_v_{index}", self.split_heads(value)], axis=2)
        x = self.add("Add", [x, self.add("Mul", [gate, self.attention(own, query, keys, values)])])
        norm = [self.constant(block.norm3.weight.float()), self.constant(block.norm3.bias.float())]
        a = self.add("LayerNormalization", [x, *norm], axis=-1, epsilon=NORM_EPS)
        query = self.rms_norm(cross.norm_q.weight, self.linear(cross.q, a))
        x = self.add("Add", [x, self.attention(cross, query, f"text_k_{index}", f"text_v_{index}")])
        first, last = block.ffn[0], block.ffn[2]
        assert isinstance(first, nn.Linear) and isinstance(last, nn.Linear)
        a = self.linear(first, self.modulated_norm(x, shift_ffn, scale_ffn, dim))
        a = self.linear(last, self.add("FastGelu", [a], MICROSOFT))
        return self.add("Add", [x, self.add("Mul", [gate_ffn, a])])

    def named(self, name: str, value: str) -> str:
        """Give the newest node's output, which is `value`, another name, and return it."""
        assert self.nodes[-1].output[0] == value
        self.nodes[-1].output[0] = name
        return name


def build_graph(blocks: Sequence[DiTBlock], config: ModelConfig) -> bytes:
    """Return a serialized model: "x", b n dim, "cos", "sin" and the inputs of layers to "y", b n dim, and theirs."""
    graph, x = Graph(config.num_heads), "x"
    for index, block in enumerate(blocks):
        x = graph.layer(block, x, index)
    graph.named("y", x)
    heads, d, dim = config.num_heads, config.head_dim, config.dim
    tokens: list[int | str] = ["b", "n", dim]
    shapes: dict[str, list[int | str]] = {"x": tokens, "cos": ["n", d // 2], "sin": ["n", d // 2]}
    outputs = {"y": tokens}
    for index in range(len(blocks)):
        text, context = (["b", heads, length, d] for length in ("t", "c"))
        layer = (["m", 6, dim], text, text, context, context)
        shapes |= {f"{name}_{index}": shape for name, shape in zip(LAYER_INPUTS, layer, strict=True)}  # type: ignore[misc]
        outputs |= {f"{name}_{index}": tokens for name in LAYER_OUTPUTS}
    small = {"zero": np.zeros(1, np.int64), "by_heads": np.array([0, 0, heads, d])}
    constants = [*graph.constants, *(numpy_helper.from_array(value, name) for name, value in small.items())]
    made = helper.make_graph(graph.nodes, "layers", _described(shapes), _described(outputs), constants)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)]
    model: bytes = helper.make_model(made, opset_imports=opsets, ir_version=8).SerializeToString()
    return model


def _described(shapes: Mapping[str, Sequence[int | str]]) -> list[onnx.ValueInfoProto]:
    """Return float32 tensors with these names and shapes; an axis with a name may have any length."""
    return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
