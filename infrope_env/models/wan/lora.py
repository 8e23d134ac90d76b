"""Low-rank updates in PEFT's layout, merged into the weights that they update.

A pair is `lora_A` (rank in) and `lora_B` (out rank); the weight of the layer becomes W + alpha / rank * B A.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from infrope_env.errors import WeightsError
from infrope_env.models.wan.checkpoint_layout import plain_name, unwrap
from infrope_env.tensor_files import Shapes, check_fit, shapes_of

ADAPTER_NAME = ".default"  # precedes `.weight` where PEFT's names were kept whole


@dataclass(frozen=True)
class LoraUpdate:
    """Updates of linear layers by name, `<layer>.lora_A.weight` and `<layer>.lora_B.weight`, and alpha / rank."""

    tensors: Mapping[str, Tensor]
    scale: float

    def merge(self, name: str, weight: Tensor) -> Tensor:
        """Return the updated weight in float32, or the weight itself where it has no update."""
        layer = name.removesuffix(".weight")
        down, up = (self.tensors.get(f"{layer}.lora_{side}.weight") for side in "AB")
        if down is None or up is None:
            return weight
        return weight.float() + self.scale * (up.float() @ down.float())


def read_update(
    entries: Mapping[str, object], wrapper: str, alpha: float, model_shapes: Shapes, path: Path
) -> LoraUpdate:
    """Return the update in a file's entries; WeightsError unless it fits every linear layer of every `DiTBlock`."""
    tensors = {
        plain_name(name).replace(f"{ADAPTER_NAME}.weight", ".weight"): value
        for name, value in unwrap(entries, (wrapper,), path).items()
    }
    rank = next((value.shape[0] for name, value in tensors.items() if name.endswith("lora_A.weight")), 0)
    if rank == 0:
        raise WeightsError(f"{path}: not a LoRA: no name ends in 'lora_A.weight', one is {next(iter(tensors))!r}.")
    expected = f"a LoRA of rank {rank} on every linear layer of every block"
    check_fit(shapes_of(tensors), pair_shapes(model_shapes, rank), path, expected)
    return LoraUpdate(tensors, alpha / rank)


def pair_shapes(model_shapes: Shapes, rank: int) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of the pairs for every linear layer of every `DiTBlock`."""
    pairs: dict[str, tuple[int, ...]] = {}
    for name, shape in model_shapes.items():
        if name.startswith("blocks.") and name.endswith(".weight") and len(shape) == 2:
            layer, (outputs, inputs) = name.removesuffix(".weight"), shape
            pairs |= {f"{layer}.lora_A.weight": (rank, inputs), f"{layer}.lora_B.weight": (outputs, rank)}
    return pairs
