"""The scale of a LoRA: from PEFT's adapter_config.json beside it, or from diffusers' notes in its header."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeGuard

from safetensors import SafetensorError, safe_open

from infrope_env.errors import WeightsError
from infrope_env.models.wan.official_names import official_module
from infrope_env.regular_file import MEGABYTE, read_regular

CONFIG = "adapter_config.json"
HEADER_ENTRY = "lora_adapter_metadata"  # in the header of a .safetensors file that diffusers wrote


@dataclass(frozen=True)
class AdapterConfig:
    """Alpha and rank that an adapter was trained with.

    Attributes:
        source: Where they stand, for errors.
        rank: Rank of layers that `ranks` does not name.
        alpha: Alpha of layers that `alphas` does not name.
        ranks: Rank by the end of a layer's name.
        alphas: Alpha by the end of a layer's name.
        by_root: Whether the scale is alpha / sqrt(rank) (rsLoRA) and not alpha / rank.
    """

    source: Path
    rank: int
    alpha: float
    ranks: Mapping[str, float] = field(default_factory=dict)
    alphas: Mapping[str, float] = field(default_factory=dict)
    by_root: bool = False

    def scale(self, layer: str, rank: int) -> float:
        """Return the scale of a layer's update; WeightsError if the file has another rank there."""
        expected = _of_layer(self.ranks, layer, self.rank)
        if expected != rank:
            raise WeightsError(f"{self.source}: says rank {expected:g} for {layer!r}, the LoRA beside it has {rank}.")
        return _of_layer(self.alphas, layer, self.alpha) / (math.sqrt(rank) if self.by_root else rank)


def read_adapter_config(path: Path) -> AdapterConfig | None:
    """Return the config of a LoRA's file, None where nothing states one; WeightsError if it cannot be right."""
    beside = path.with_name(CONFIG)
    if beside.is_file():
        try:
            return _parse(json.loads(read_regular(beside, MEGABYTE)), beside)
        except (OSError, ValueError, RecursionError) as error:
            raise WeightsError(f"{beside}: {error}.") from error
    entry = _header(path).get(HEADER_ENTRY)
    if entry is None:
        return None
    try:
        notes = json.loads(entry)
        plain = {key.removeprefix("transformer."): value for key, value in notes.items()}
        return _parse(plain, path) if "r" in plain else None
    except (ValueError, AttributeError, RecursionError) as error:
        raise WeightsError(f"{path}: its {HEADER_ENTRY} cannot be read: {error}.") from error


def _parse(entries: object, source: Path) -> AdapterConfig:
    """Check PEFT's entries; ValueError for one that cannot be right."""
    if not isinstance(entries, Mapping):
        raise ValueError(f"expected an object, got {type(entries).__name__}")
    rank, alpha = entries.get("r"), entries.get("lora_alpha")
    if not isinstance(rank, int) or isinstance(rank, bool) or rank < 1:
        raise ValueError(f"expected r to be a whole number of at least 1, got {rank!r}")
    if not _is_number(alpha):
        raise ValueError(f"expected lora_alpha to be a number, got {alpha!r}")
    ranks, alphas = (_pattern(entries, name) for name in ("rank_pattern", "alpha_pattern"))
    return AdapterConfig(source, rank, float(alpha), ranks, alphas, bool(entries.get("use_rslora")))


def _pattern(entries: Mapping[str, object], name: str) -> dict[str, float]:
    """Return numbers by layer; ValueError for anything else."""
    values = entries.get(name) or {}
    if not isinstance(values, Mapping) or not all(map(_is_number, values.values())):
        raise ValueError(f"expected {name} to be an object of numbers, got {values!r}")
    return dict(values)


def _of_layer(values: Mapping[str, float], layer: str, default: float) -> float:
    """Return the value whose key ends a layer's name, else the default."""
    ends = {official_module(name): value for name, value in values.items()} | dict(values)
    return next((value for end, value in ends.items() if f".{layer}".endswith(f".{end}")), default)


def _header(path: Path) -> Mapping[str, str]:
    """Return the notes in the header of a .safetensors file, empty for another file."""
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError):
        return {}


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
