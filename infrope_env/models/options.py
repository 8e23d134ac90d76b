"""Options for loading a model: the keyword arguments of an environment that concern its weights, as plain text."""

from __future__ import annotations

from dataclasses import dataclass

import torch

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class LoadOptions:
    """Choices at loading time; None leaves a choice to the model and the machine.

    Attributes:
        decoder: Name or file of the decoder. Wan has "taew2_1" (fast) and "wan_vae" (exact).
        device: "cpu", "cuda" or "cuda:1"; by default the GPU where there is one.
        dtype: "float32", "bfloat16" or "float16"; by default what is fast on the device.
        text_device: Where Wan's text encoder runs: "auto", "cpu", "cuda", or "refuse".
        text_dtype: Precision of the weights of Wan's text encoder: "bfloat16", "int8" or "float32".
        offload: Keep idle weights of Wan's generator and decoder in host memory.
        compile: Load a network of its own that `compile_model` compiles.
    """

    decoder: str | None = None
    device: str | None = None
    dtype: str | None = None
    text_device: str | None = None
    text_dtype: str | None = None
    offload: bool = False
    compile: bool = False

    def device_and_dtype(self) -> tuple[torch.device, torch.dtype]:
        """Return where and in which precision to compute; ValueError where this machine or torch has no such thing."""
        try:
            default = "cuda" if torch.cuda.is_available() else "cpu"
            device = torch.device(default if self.device is None else self.device)
        except RuntimeError as error:
            raise ValueError(f"expected device to be 'cpu', 'cuda' or 'cuda:1', got {self.device!r}") from error
        if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
            raise ValueError(f"There is no device {self.device!r} here. Pass device='cpu'.")
        if self.dtype is not None and self.dtype not in DTYPES:
            raise ValueError(f"expected dtype to be one of {', '.join(DTYPES)}, got {self.dtype!r}")
        return device, fast_dtype(device) if self.dtype is None else DTYPES[self.dtype]


DEFAULTS = LoadOptions()


def fast_dtype(device: torch.device) -> torch.dtype:
    """Return bfloat16 on GPUs and on processors that compute in it, else float32: emulation is four times slower."""
    if device.type != "cpu":
        return torch.bfloat16
    queries = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return torch.bfloat16 if any(query is not None and query() for query in queries) else torch.float32
