"""From the entries of a checkpoint file to tensors under the network's own names, and the config that they imply.

Training leaves traces in names: a wrapper class adds `model.`; sharding, checkpointing and compiling add infixes at any
depth. `INFIXES` and `PREFIXES` list what is removed; nothing else is changed and nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from infrope_env.config import WAN_1_3B, ModelConfig
from infrope_env.errors import WeightsError
from infrope_env.tensor_files import SHOWN, Shapes, only_tensors

USUAL_WRAPPERS = ("generator_ema", "generator", "model", "state_dict")
"""Keys that may hold the generator in a file that no row describes."""

INFIXES = ("_fsdp_wrapped_module.", "_checkpoint_wrapped_module.", "_orig_mod.")  # removed wherever they stand
PREFIXES = ("module.", "generator.", "model.", "base_model.model.")  # then removed in this order, each at most once

HEAD_DIM = 128  # of every Wan 2.1 generator; no shape implies it


def plain_state_dict(entries: Mapping[str, object], wrappers: tuple[str, ...], path: Path) -> dict[str, Tensor]:
    """Unwrap floating-point tensors and rename them as in the network; WeightsError where two names become one."""
    plain: dict[str, Tensor] = {}
    for name, value in unwrap(entries, wrappers, path).items():
        short = plain_name(name)
        if short in plain:
            raise WeightsError(
                f"{path}: two tensors are called {short!r} once prefixes are removed, one of them {name!r}."
            )
        if not value.is_floating_point():
            kind = str(value.dtype).removeprefix("torch.")
            raise WeightsError(f"{path}: {short!r} is {kind}, expected floating point. Quantized files are not read.")
        plain[short] = value
    return plain


def plain_name(name: str) -> str:
    """Remove traces of training: `model._fsdp_wrapped_module.blocks.0.ffn.0.bias` becomes `blocks.0.ffn.0.bias`."""
    for infix in INFIXES:
        name = name.replace(infix, "")
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def unwrap(entries: Mapping[str, object], wrappers: tuple[str, ...], path: Path) -> dict[str, Tensor]:
    """Return the tensors under the first wrapper that a file has, else the entries themselves; names unchanged."""
    for key in wrappers:
        table = entries.get(key)
        if isinstance(table, Mapping):
            return only_tensors(table, path, repr(key))
    return only_tensors(entries, path, hint=f" None of {', '.join(wrappers)} is in it." if wrappers else "")


def infer_config(shapes: Shapes, path: Path) -> ModelConfig:
    """Return the config that shapes imply, with Wan's latent size and 512 rows of text; WeightsError if none does."""

    def shape(name: str, axes: int) -> tuple[int, ...]:
        if len(shapes.get(name, ())) != axes:
            first = ", ".join(list(shapes)[:SHOWN])
            raise WeightsError(
                f"{path}: not a causal Wan generator: expected a tensor {name!r} of {axes} axes, the file holds "
                f"{first}, ..."
            )
        return shapes[name]

    dim, channels, _, rows, cols = shape("patch_embedding.weight", 5)
    ffn_dim, _ = shape("blocks.0.ffn.0.weight", 2)
    _, freq_dim = shape("time_embedding.0.weight", 2)
    _, text_dim = shape("text_embedding.0.weight", 2)
    if dim % HEAD_DIM:
        raise WeightsError(f"{path}: expected a width that is a multiple of {HEAD_DIM}, one head of Wan's, got {dim}.")
    layers = len({name.split(".")[1] for name in shapes if name.startswith("blocks.")})
    try:
        size = WAN_1_3B.latent_size
        return ModelConfig(dim, ffn_dim, dim // HEAD_DIM, layers, size, channels, (rows, cols), freq_dim, text_dim)
    except ValueError as error:
        raise WeightsError(f"{path}: not a causal Wan generator: {error}.") from error
