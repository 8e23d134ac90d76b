"""Options for loading a model: the keyword arguments of an environment that concern its weights, as plain text."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from infrope_env.config import Sampler
from infrope_env.machine import processor_vendor

DEVICES = "'cpu', 'cuda' or 'cuda:1'"
PRECISIONS = ("float", "int8", "fp8")
"""Kinds of number in which the generator multiplies: those of its dtype, 8-bit integers, or 8-bit floats."""
FP8_CAPABILITY = (8, 9)
"""First compute capability of a GPU that multiplies 8-bit floats: Ada."""
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadOptions:
    """Choices at loading time; None leaves a choice to the model and the machine.

    Attributes:
        decoder: Name or file of the decoder. Wan has "taew2_1" (fast) and "wan_vae" (exact).
        device: "cpu", "cuda" or "cuda:1"; by default the GPU where there is one.
        dtype: Precision of the generator, "float32", "bfloat16" or "float16"; by default what is fast on the device.
            Wan's decoders follow it, but on a GPU compute in float16 in place of bfloat16.
        text_device: Where Wan's text encoder runs: "auto", "cpu", "cuda", or "refuse".
        text_dtype: Precision of the weights of Wan's text encoder: "bfloat16", "int8" or "float32".
        offload: Keep idle weights of Wan's generator and decoder in host memory.
        compile: Load a network of its own that `compile_model` compiles, where there is a compiler.
        lora: File or folder of a LoRA that is merged into Wan's generator.
        sampler: Denoising steps, or fields of `Sampler` to change, as in `Sampler.parse`.
        steps: Number of denoising steps, as in `Sampler.with_count`.
        precision: "float", the default: the generator multiplies in its dtype; "int8": in 8-bit integers, on a CPU; or
            "fp8": in 8-bit floats, on a GPU that has them.
    """

    decoder: str | None = None
    device: str | None = None
    dtype: str | None = None
    text_device: str | None = None
    text_dtype: str | None = None
    offload: bool = False
    compile: bool = False
    lora: str | None = None
    sampler: Mapping[str, object] | Sequence[int] | str | None = None
    steps: int | None = None
    precision: str | None = None

    def precision_on(self, device: torch.device, dtype: torch.dtype) -> str:
        """Return the precision of the generator's products, one of `PRECISIONS`; ValueError where it is impossible."""
        if self.precision not in (None, *PRECISIONS):
            raise ValueError(f"expected precision to be {' or '.join(PRECISIONS)}, got {self.precision!r}")
        if self.precision == "fp8" and not multiplies_fp8(device):
            about = torch.cuda.get_device_name(device) if device.type == "cuda" else f"device {device.type!r}"
            raise ValueError(
                f"precision='fp8' needs a GPU with 8-bit floats (compute capability 8.9 or higher), which {about} is "
                "not. Leave precision out."
            )
        if self.precision == "fp8" and dtype is not torch.bfloat16:
            raise ValueError("precision='fp8' is for a generator in bfloat16. Leave dtype out.")
        if self.precision == "int8" and (device.type, dtype) != ("cpu", torch.float32):
            raise ValueError("precision='int8' is for a CPU in float32. Pass device='cpu' and dtype='float32' too.")
        return self.precision or "float"

    def sampler_over(self, default: Sampler) -> Sampler:
        """Return the sampler that `sampler` and `steps` ask for, else the default; ValueError for impossible ones."""
        sampler = Sampler.parse(self.sampler, default=default)
        return sampler if self.steps is None else sampler.with_count(self.steps)

    def device_and_dtype(self) -> tuple[torch.device, torch.dtype]:
        """Return where and in which precision to compute; ValueError where this machine or torch has no such thing."""
        try:
            default = "cuda" if torch.cuda.is_available() else "cpu"
            device = torch.device(default if self.device is None else self.device)
        except RuntimeError as error:
            raise ValueError(f"expected device to be {DEVICES}, got {self.device!r}") from error
        if device.type == "mps":
            raise ValueError(f"The denoising steps need float64, which {self.device!r} lacks. Pass device='cpu'.")
        if device.type not in ("cpu", "cuda"):
            raise ValueError(f"expected device to be {DEVICES}, got {self.device!r}")
        if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
            raise ValueError(f"There is no device {self.device!r} here. Pass device='cpu'.")
        if self.dtype is not None and self.dtype not in DTYPES:
            raise ValueError(f"expected dtype to be one of {', '.join(DTYPES)}, got {self.dtype!r}")
        own = torch.float32 if self.precision == "int8" else fast_dtype(device)
        dtype = own if self.dtype is None else DTYPES[self.dtype]
        if device.type == "cuda" and not has_fast_bfloat16(device):
            _say_float16(device, dtype)
        return device, dtype


DEFAULTS = LoadOptions()


def fast_dtype(device: torch.device) -> torch.dtype:
    """Return a dtype in which a device computes fast: emulated bfloat16 is four times slower than float32.

    That is bfloat16 on GPUs and processors that have it and gain by it, float16 on older GPUs, float32 on other
    processors. The generator's sums, normalisations, rotations and noise levels are float32 or wider whichever it is.
    """
    if device.type == "cuda":
        return torch.bfloat16 if has_fast_bfloat16(device) else torch.float16
    return torch.bfloat16 if multiplies_bfloat16() else torch.float32


def multiplies_bfloat16() -> bool:
    """Return whether this processor multiplies matrices faster in bfloat16 than in float32.

    Tiles (AMX) do. Of the processors whose vector instructions alone have bfloat16 (avx512_bf16), AMD's do; Intel's
    issue them at half the rate of float32, and a block of the bundled world takes 1.4 times as long.
    """
    tiles, vectors = (
        getattr(torch.cpu, name, bool)() for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    )
    return bool(tiles or (vectors and processor_vendor() != "GenuineIntel"))


def has_fast_bfloat16(device: torch.device) -> bool:
    """Return whether a GPU computes in bfloat16 itself, as NVIDIA's do since Ampere."""
    with torch.cuda.device(device):
        return torch.cuda.is_bf16_supported(including_emulation=False)


def multiplies_fp8(device: torch.device) -> bool:
    """Return whether a device multiplies 8-bit floats itself."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= FP8_CAPABILITY


def _say_float16(device: torch.device, dtype: torch.dtype) -> None:
    """Log the precision that is taken on a GPU without bfloat16."""
    name = torch.cuda.get_device_name(device)
    if dtype is torch.bfloat16:
        logger.warning("%s emulates bfloat16, which is slow. Pass dtype='float16'.", name)
    elif dtype is torch.float16:
        logger.info("%s has no bfloat16 of its own: computing in float16.", name)
