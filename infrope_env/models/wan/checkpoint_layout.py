"""From the entries of a checkpoint file to tensors under the network's own names, and the config that they imply.

Training leaves traces in names: a wrapper class adds `model.`; sharding, checkpointing and compiling add infixes at any
depth. `INFIXES` and `PREFIXES` list what is removed, official_names.py has other projects' names; nothing else is
changed and nothing is guessed. Files of relatives that cannot play are refused with what they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from infrope_env.config import WAN_1_3B, ModelConfig
from infrope_env.errors import WeightsError
from infrope_env.models.wan.official_names import official_name
from infrope_env.tensor_files import SHOWN, Shapes, only_tensors

USUAL_WRAPPERS = ("generator_ema", "generator", "model", "state_dict")
"""Keys that may hold the generator in a file that no row describes."""

INFIXES = ("_fsdp_wrapped_module.", "_checkpoint_wrapped_module.", "_orig_mod.")  # removed wherever they stand
PREFIXES = ("module.", "generator.", "model.", "diffusion_model.", "transformer.", "base_model.model.")
"""Then removed in this order, each at most once. `model.diffusion_model.` is Comfy's, `transformer.` diffusers'."""

HEAD_DIM = 128  # of every Wan 2.1 generator; no shape implies it
LATENT_CHANNELS = WAN_1_3B.latent_channels  # of Wan 2.1's VAE and of taew2_1

RELATIVES = {
    36: "an image-to-video generator, which also reads a mask and a picture; only text-to-video generators play here",
    48: "a generator of Wan 2.2's 5B kind, as LongLive 2, with 48 latent channels; the decoders here have Wan 2.1's "
    f"{LATENT_CHANNELS}",
}
"""Generators with other input channels, by their number."""


def plain_state_dict(entries: Mapping[str, object], wrappers: tuple[str, ...], path: Path) -> dict[str, Tensor]:
    """Unwrap floating-point tensors and rename them as in the network; WeightsError where two names become one."""
    plain: dict[str, Tensor] = {}
    for name, value in unwrap(entries, wrappers, path).items():
        short = plain_name(name)
        if short in plain:
            raise WeightsError(
                f"{path}: two tensors are called {short!r} once prefixes are removed, one of them {name!r}."
            )
        check_precision(short, value, path)
        plain[short] = value
    return plain


def check_precision(name: str, tensor: Tensor, path: Path) -> None:
    """Raise WeightsError unless a tensor is floating point of at least two bytes: one-byte floats need scales."""
    if not tensor.is_floating_point() or tensor.element_size() < 2:
        kind = str(tensor.dtype).removeprefix("torch.")
        raise WeightsError(
            f"{path}: {name!r} is {kind}, expected floating point of two or four bytes. Quantized files are not read: "
            "get the file in bfloat16, float16 or float32."
        )


def plain_name(name: str) -> str:
    """Return the official name: `model._fsdp_wrapped_module.blocks.0.ffn.0.bias` becomes `blocks.0.ffn.0.bias`."""
    return official_name(without_traces(name))


def without_traces(name: str) -> str:
    """Remove traces of training and packing from a name."""
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

    _refuse_relatives(shapes, path)
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


def _refuse_relatives(shapes: Shapes, path: Path) -> None:
    """Raise WeightsError for a generator of Wan's family that cannot play here, and name it."""
    patch = next(
        (shapes[name] for name in ("patch_embedding.weight", "net.patch_embedding.weight") if name in shapes), ()
    )
    if len(patch) == 2:
        raise WeightsError(
            f"{path}: a generator in rCM's layout, with a linear patch embedding: expected the official layout, whose "
            "patch embedding has 5 axes."
        )
    if len(patch) == 5 and patch[1] != LATENT_CHANNELS:
        kind = RELATIVES.get(patch[1], f"a generator with {patch[1]} input channels")
        raise WeightsError(f"{path}: {kind}. Expected {LATENT_CHANNELS} input channels.")
    for part, kind in (("vace_blocks.", "a VACE generator"), ("img_emb.", "an image-to-video generator")):
        if any(name.startswith(part) for name in shapes):
            raise WeightsError(f"{path}: {kind}, with {part!r} modules: only text-to-video generators play here.")
