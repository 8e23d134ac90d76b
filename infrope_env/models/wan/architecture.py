"""The shapes a config expects, the config that shapes imply, and what does not fit. No tensor has values here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from infrope_env.config import WAN_1_3B, ModelConfig
from infrope_env.dynamics.transformer import CausalWanTransformer
from infrope_env.errors import WeightsError

Shapes = Mapping[str, tuple[int, ...]]
HEAD_DIM = 128  # of every Wan 2.1 generator; no shape tells it
SHOWN = 3


def blank_transformer(config: ModelConfig) -> CausalWanTransformer:
    """A network without values, which takes no memory; the caller's random numbers stay as they are."""
    with torch.device("meta"):
        return CausalWanTransformer(config)


def expected_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Every parameter's name and shape."""
    return shapes_of(blank_transformer(config).state_dict())


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Names and shapes, without the values."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def infer_config(shapes: Shapes, path: Path, latent_size: tuple[int, int] = WAN_1_3B.latent_size) -> ModelConfig:
    """The config that a file's shapes imply, with Wan's heads of 128 and 512 rows of text.

    Raises:
        WeightsError: a shape that tells is missing, or no config has such shapes.
    """
    patch = _telling(shapes, "patch_embedding.weight", 5, path)
    dim, channels, _, rows, cols = patch
    (ffn_dim, _) = _telling(shapes, "blocks.0.ffn.0.weight", 2, path)
    (_, freq_dim) = _telling(shapes, "time_embedding.0.weight", 2, path)
    (_, text_dim) = _telling(shapes, "text_embedding.0.weight", 2, path)
    if dim % HEAD_DIM:
        raise WeightsError(f"{path}: expected a width that is a multiple of {HEAD_DIM}, one head of Wan's, got {dim}.")
    try:
        return ModelConfig(
            dim, ffn_dim, dim // HEAD_DIM, _layers(shapes), latent_size, channels, (rows, cols), freq_dim, text_dim
        )
    except ValueError as error:
        raise WeightsError(f"{path}: not a causal Wan generator: {error}.") from error


def check_fit(shapes: Shapes, expected: Shapes, path: Path, what: str) -> None:
    """Raise WeightsError when names or shapes differ, with counts and a few of each.

    Args:
        shapes: of the file.
        expected: of what it is to be.
        path: of the file, for the message.
        what: it is to be, for the message.
    """
    wrong = (
        f"{n!r} is {shapes[n]}, expected {expected[n]}" for n in expected if shapes.get(n, expected[n]) != expected[n]
    )
    groups = {
        "missing": _some(repr(name) for name in expected if name not in shapes),
        "unexpected": _some(repr(name) for name in shapes if name not in expected),
        "of the wrong shape": _some(wrong),
    }
    told = [f"{count} {kind} ({names})" for kind, (count, names) in groups.items() if count]
    if told:
        raise WeightsError(f"{path}: does not fit {what}: of {len(expected)} tensors, {', '.join(told)}.")


def say_architecture(config: ModelConfig) -> str:
    """For example "a causal Wan DiT of 30 layers, width 1536"."""
    return f"a causal Wan DiT of {config.num_layers} layers, width {config.dim}"


def _telling(shapes: Shapes, name: str, axes: int, path: Path) -> tuple[int, ...]:
    if len(shapes.get(name, ())) != axes:
        held = ", ".join(list(shapes)[:SHOWN])
        raise WeightsError(
            f"{path}: not a causal Wan generator: expected a tensor {name!r} of {axes} axes, the file holds {held}, ..."
        )
    return shapes[name]


def _layers(shapes: Shapes) -> int:
    return len({name.split(".")[1] for name in shapes if name.startswith("blocks.")})


def _some(names: Iterable[str]) -> tuple[int, str]:
    """How many, and the first few."""
    found = list(names)
    return len(found), ", ".join(found[:SHOWN]) + (", ..." if len(found) > SHOWN else "")
