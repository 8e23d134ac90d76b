"""Low-rank updates, merged into the weights that they update.

A pair is `lora_A` (rank in) and `lora_B` (out rank); the weight of the layer becomes W + alpha / rank * B A. PEFT's and
diffusers' files call them so, Comfy's and kohya's `lora_down` and `lora_up`, with a tensor `alpha` for each layer and
whole differences of weights, biases and modulations (`diff`, `diff_b`, `diff_m`). The names of layers may be any that
checkpoint_layout.py reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from infrope_env.errors import WeightsError
from infrope_env.models.wan.adapter_config import read_adapter_config
from infrope_env.models.wan.checkpoint_layout import check_precision, unwrap, without_traces
from infrope_env.models.wan.official_names import official_module
from infrope_env.tensor_files import Shapes, check_fit, read_entries, shapes_of

PAIR = re.compile(r"(?P<layer>.+)\.(?P<side>lora_A|lora_down|lora_B|lora_up)(\.[^.]+)?\.weight")
SIDES = {"lora_A": "lora_A", "lora_down": "lora_A", "lora_B": "lora_B", "lora_up": "lora_B"}
OTHER = re.compile(r"(?P<layer>.+)\.(?P<kind>alpha|diff|diff_b|diff_m)")
TARGETS = {"diff": "weight", "diff_b": "bias", "diff_m": "modulation"}
FLAT_PREFIXES = ("lora_unet_", "lora_transformer_")  # of kohya's names, whose layers have no dots
WRAPPERS = ("generator_lora", "state_dict")
FILES_OF_A_FOLDER = ("adapter_model.safetensors", "adapter_model.bin", "pytorch_lora_weights.safetensors")


@dataclass(frozen=True)
class LoraUpdate:
    """Updates of a network's tensors.

    Attributes:
        tensors: Pairs by name, `<layer>.lora_A.weight` and `<layer>.lora_B.weight`.
        scales: Scale of each layer's pair.
        differences: Whole differences, by the name of the tensor that they are added to.
    """

    tensors: Mapping[str, Tensor]
    scales: Mapping[str, float]
    differences: Mapping[str, Tensor] = field(default_factory=dict)

    def merge(self, name: str, weight: Tensor) -> Tensor:
        """Return the updated weight in float32, or the weight itself where it has no update."""
        layer = name.removesuffix(".weight")
        down, up = (self.tensors.get(f"{layer}.lora_{side}.weight") for side in "AB")
        if down is not None and up is not None:
            weight = weight.float() + self.scales[layer] * (up.float() @ down.float())
        difference = self.differences.get(name)
        return weight if difference is None else weight.float() + difference.float()

    def describe(self) -> str:
        """Return for example "300 layers of rank 32, scale 1"."""
        ranks = {tensor.shape[0] for name, tensor in self.tensors.items() if name.endswith("lora_A.weight")}
        parts = [f"{len(self.scales)} layers of rank {_range(ranks)}, scale {_range(self.scales.values())}"]
        parts += [f"{len(self.differences)} whole differences"] if self.differences else []
        return " and ".join(parts)


def read_update(
    entries: Mapping[str, object], wrapper: str, alpha: float, model_shapes: Shapes, path: Path
) -> LoraUpdate:
    """Return a released update; WeightsError unless it fits every linear layer of every `DiTBlock`."""
    tensors = _official(unwrap(entries, (wrapper,), path), model_shapes)
    rank = next((value.shape[0] for name, value in tensors.items() if name.endswith("lora_A.weight")), 0)
    if rank == 0:
        raise _no_lora(path, tensors)
    expected = f"a LoRA of rank {rank} on every linear layer of every block"
    layers = [layer for layer in linear_layers(model_shapes) if layer.startswith("blocks.")]
    check_fit(shapes_of(tensors), pair_shapes(model_shapes, dict.fromkeys(layers, rank)), path, expected)
    _check_all(tensors, path)
    return LoraUpdate(tensors, dict.fromkeys(layers, alpha / rank))


def read_own_update(path: Path, model_shapes: Shapes) -> LoraUpdate:
    """Return the update in any LoRA's file, for all layers or some; WeightsError unless every name fits a layer.

    Alpha is the file's (a tensor for each layer), else the adapter config's, else the rank, so that the scale is 1.
    """
    tensors = _official(unwrap(read_entries(path), WRAPPERS, path), model_shapes)
    ranks = {
        name.removesuffix(".lora_A.weight"): tensor.shape[0]
        for name, tensor in tensors.items()
        if name.endswith(".lora_A.weight") and tensor.ndim == 2 and tensor.shape[0]
    }
    targets = {name: _target(name) for name in tensors if OTHER.fullmatch(name) and not name.endswith(".alpha")}
    if not ranks and not targets:
        raise _no_lora(path, tensors)
    known = {layer: rank for layer, rank in ranks.items() if f"{layer}.weight" in model_shapes}
    wanted = pair_shapes(
        model_shapes, {layer: rank for layer, rank in known.items() if _is_linear(model_shapes, layer)}
    )
    wanted |= {name: model_shapes[target] for name, target in targets.items() if target in model_shapes}
    alphas = {name: tensor for name, tensor in tensors.items() if name.removesuffix(".alpha") in known}
    check_fit(shapes_of(tensors), wanted | shapes_of(alphas), path, "this generator's layers")
    _check_all({name: tensor for name, tensor in tensors.items() if name not in alphas}, path)
    differences = {target: tensors[name] for name, target in targets.items()}
    pairs = {name: tensor for name, tensor in tensors.items() if PAIR.fullmatch(name)}
    return LoraUpdate(pairs, _scales(known, alphas, path), differences)


def find_own(lora: str | Path) -> Path:
    """Return the file of a LoRA, given by its path or by that of its folder; WeightsError where there is none."""
    path = Path(lora).expanduser()
    inside = next((path / name for name in FILES_OF_A_FOLDER if (path / name).is_file()), None)
    if inside is None and not path.is_file():
        raise WeightsError(f"No LoRA at {path}: expected a file, or a folder with {' or '.join(FILES_OF_A_FOLDER)}.")
    return inside or path


def linear_layers(model_shapes: Shapes) -> list[str]:
    """Return the names of all linear layers."""
    names = [name.removesuffix(".weight") for name in model_shapes if name.endswith(".weight")]
    return [name for name in names if _is_linear(model_shapes, name)]


def pair_shapes(model_shapes: Shapes, ranks: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of the pairs of linear layers, by the rank of each."""
    pairs: dict[str, tuple[int, ...]] = {}
    for layer, rank in ranks.items():
        outputs, inputs = model_shapes[f"{layer}.weight"]
        pairs |= {f"{layer}.lora_A.weight": (rank, inputs), f"{layer}.lora_B.weight": (outputs, rank)}
    return pairs


def _official(tensors: Mapping[str, Tensor], model_shapes: Shapes) -> dict[str, Tensor]:
    """Return the tensors of a LoRA under PEFT's kinds and the official names of layers."""
    flat = {layer.replace(".", "_"): layer for layer in linear_layers(model_shapes)}
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        match = PAIR.fullmatch(name) or OTHER.fullmatch(name)
        if match is None:
            renamed[without_traces(name)] = tensor
            continue
        layer = without_traces(match["layer"])
        for prefix in FLAT_PREFIXES:
            layer = flat.get(layer.removeprefix(prefix), layer)
        kinds = match.groupdict()
        end = f"{SIDES[kinds['side']]}.weight" if "side" in kinds else kinds["kind"]
        renamed[f"{official_module(layer)}.{end}"] = tensor
    return renamed


def _scales(ranks: Mapping[str, int], alphas: Mapping[str, Tensor], path: Path) -> dict[str, float]:
    """Return the scale of each layer's update."""
    config, scales = read_adapter_config(path), {}
    for layer, rank in ranks.items():
        alpha = alphas.get(f"{layer}.alpha")
        if alpha is not None:
            if alpha.numel() != 1 or not alpha.float().isfinite().all():
                raise WeightsError(f"{path}: expected '{layer}.alpha' to be one finite number.")
            scales[layer] = float(alpha) / rank
        else:
            scales[layer] = 1.0 if config is None else config.scale(layer, rank)
    return scales


def _target(name: str) -> str:
    """Return the tensor that a whole difference is added to."""
    layer, _, kind = name.rpartition(".")
    return f"{layer}.{TARGETS[kind]}"


def _is_linear(model_shapes: Shapes, layer: str) -> bool:
    return len(model_shapes.get(f"{layer}.weight", ())) == 2


def _check_all(tensors: Mapping[str, Tensor], path: Path) -> None:
    for name, tensor in tensors.items():
        check_precision(name, tensor, path)


def _no_lora(path: Path, tensors: Mapping[str, Tensor]) -> WeightsError:
    return WeightsError(f"{path}: not a LoRA: no name ends in 'lora_A.weight', one is {next(iter(tensors))!r}.")


def _range(values: Iterable[float]) -> str:
    """Return "32", or "16 to 32" where values differ."""
    found = sorted(set(values))
    return " to ".join(f"{value:g}" for value in dict.fromkeys((found[0], found[-1]))) if found else "0"
