"""Joins the parts of Wan into a model: prompts first, then generator and decoder, once per process.

The text encoder is released before the generator is loaded, so memory never holds both.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import torch

from infrope_env.errors import WeightsError
from infrope_env.models.compile import can_compile
from infrope_env.models.fp8 import round_to_fp8
from infrope_env.models.options import DEFAULTS, LoadOptions
from infrope_env.models.resolve import GeneratorSource
from infrope_env.models.wan.codecs import choose_decoder, load_codecs
from infrope_env.models.wan.digests import digest_of
from infrope_env.models.wan.generator import read_generator
from infrope_env.models.wan.locate import WanFiles
from infrope_env.models.wan.parts import VAE
from infrope_env.models.wan.prompts import WanTextEncoder, encode_ahead, find_text_encoder
from infrope_env.models.wan.settings import PIXELS_PER_LATENT
from infrope_env.models.world_model import WorldModel
from infrope_env.text.prompt_files import default_folder
from infrope_env.text.umt5_files import UMT5Files

Stamps = tuple[tuple[str, Path, int, int], ...]
"""Name in a recording, path, size and time of every file: a file that is replaced is loaded again."""


def load_wan(found: GeneratorSource, options: LoadOptions = DEFAULTS, prompts: Iterable[str] = ()) -> WorldModel:
    """Load Wan, once per process for the same files and options; arguments and errors as in `load_model`."""
    device, dtype = options.device_and_dtype()
    precision = options.precision_on(device, dtype)
    if precision == "int8":
        raise WeightsError(f"precision={precision!r} is for world folders. Leave it out for Wan.")
    files = WanFiles.find(found, options.lora)
    decoder = choose_decoder(files, options.decoder)
    encoder = find_text_encoder(files.text, files.places, options.text_device, options.text_dtype)
    encode_ahead(encoder, prompts)
    compiled = options.compile and can_compile(device)
    stamps = _stamp(files, decoder)
    return _load(files, stamps, encoder, decoder, device, dtype, precision, options.offload, compiled)


def _stamp(files: WanFiles, decoder: Path) -> Stamps:
    """Stamp every file that the pixels depend on, under names such as "generator/ema_model.pt"."""
    text = None if files.text is None else UMT5Files.find(files.text)
    groups: dict[str, Iterable[Path | None]] = {
        "generator": files.generator.released,
        "lora": (files.generator.own_lora,),
        "decoder": (decoder,),
        "vae": (files.vae,),
        "text_encoder": () if text is None else (*text.weights, text.tokenizer),
        "settings": (files.settings_file,),
    }
    paths = [(f"{part}/{path.name}", path) for part, group in groups.items() for path in group if path is not None]
    return tuple((name, path, path.stat().st_size, path.stat().st_mtime_ns) for name, path in paths)


@lru_cache(maxsize=2)
def _load(
    files: WanFiles,
    stamps: Stamps,
    text_encoder: WanTextEncoder,
    decoder_file: Path,
    device: torch.device,
    dtype: torch.dtype,
    precision: str,
    offload: bool,
    compiled: bool,
) -> WorldModel:
    settings = files.settings
    generator = read_generator(files.generator, device, dtype, settings.latent_size)
    if precision == "fp8":
        round_to_fp8(generator.transformer)
    decoder, encoder = load_codecs(decoder_file, files.vae, device, dtype, generator.transformer if offload else None)
    height, width = (PIXELS_PER_LATENT * side for side in settings.latent_size)
    return WorldModel(
        name=files.name,
        transformer=generator.transformer,
        text_encoder=text_encoder,
        decoder=decoder,
        window=settings.window or generator.window,
        sampler=settings.sampler or generator.sampler,
        frame_size=(height, width),
        sha256={name: digest_of(path) for name, path, *_ in stamps} | {"text_encoder": text_encoder.fingerprint},
        device=device,
        dtype=dtype,
        encoder=encoder,
        encoder_hint=f"Run 'infrope weights {VAE.name} --download'.",
        prompt_folder=default_folder(),
        packages=("transformers", "diffusers"),
        precision=precision,
        compiled=compiled,
    )
