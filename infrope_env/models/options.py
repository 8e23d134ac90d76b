"""How a model is loaded, as plain text: the keyword arguments of an environment that concern its weights."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LoadOptions:
    """Choices at loading time; None leaves a choice to the model and the machine.

    Attributes:
        decoder: Name or file of the decoder. Wan has "taew2_1" (fast) and "wan_vae" (exact).
        device: "cpu", "cuda" or "cuda:1"; by default the GPU where there is one.
        dtype: "float32", "bfloat16" or "float16"; by default what is fast on the device.
        text_device: Where Wan's text encoder runs: "auto", "cpu", "cuda", or "refuse".
        text_dtype: Precision of Wan's text encoder: "bfloat16", "int8" or "float32".
        offload: Keep generator and decoder of Wan in host memory and move each to the GPU for its work.
        compile: Compile the transformer and the fast decoder.
    """

    decoder: str | None = None
    device: str | None = None
    dtype: str | None = None
    text_device: str | None = None
    text_dtype: str | None = None
    offload: bool = False
    compile: bool = False
