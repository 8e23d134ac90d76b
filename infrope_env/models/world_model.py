"""The loaded weights: text encoder, generator and decoder, with their default window and sampler."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from infrope_env.config import ModelConfig, Sampler, Window
from infrope_env.dynamics.transformer import CausalWanTransformer
from infrope_env.pixels.codec import Decoder, Encoder
from infrope_env.text.encoder import TextEncoder
from infrope_env.text.prompt_cache import PromptCache


@dataclass(frozen=True)
class WorldModel:
    """A loaded model, shared by every environment of the process that uses the same weights and options.

    Attributes:
        window: The model's default window.
        sampler: The model's default denoising steps.
        frame_size: Height and width of a pixel frame.
        sha256: Digest of every file, by its name.
        device: Where the transformer computes.
        dtype: Precision of transformer and decoder.
        encoder: Encodes a picture that a rollout starts from; None where the model has no encoder.
        encoder_hint: Remedy for a missing encoder, for messages.
        prompt_folder: Folder of embeddings kept between processes; None keeps none.
        packages: Packages whose versions the pixels depend on, besides those of every model.
        precision: Kind of number in which the transformer multiplies, "float", "int8" or "fp8".
        compiled: The transformer and decoder are this model's own and `compile_model` compiles them.
    """

    name: str
    transformer: CausalWanTransformer
    text_encoder: TextEncoder
    decoder: Decoder
    window: Window
    sampler: Sampler
    frame_size: tuple[int, int]
    sha256: dict[str, str]
    device: torch.device
    dtype: torch.dtype
    encoder: Encoder | None = None
    encoder_hint: str = ""
    prompt_folder: Path | None = None
    packages: tuple[str, ...] = ()
    precision: str = "float"
    compiled: bool = False

    @property
    def config(self) -> ModelConfig:
        """Sizes of the transformer."""
        return self.transformer.config

    def make_prompt_cache(self) -> PromptCache:
        """Return an empty cache of prompt embeddings, which are pinned in host memory if the model is on a GPU."""
        return PromptCache(self.text_encoder, self.prompt_folder, pin=self.device.type == "cuda")
