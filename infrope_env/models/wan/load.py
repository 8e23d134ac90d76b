"""Joins the parts of Wan into a model: prompts first, then generator and decoder, once per process.

The text encoder is released before the generator is loaded, so memory holds the larger of the two and not both.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import torch

from infrope_env.models.options import DEFAULTS, LoadOptions
from infrope_env.models.resolve import GeneratorSource
from infrope_env.models.wan.codecs import choose_decoder, load_codecs, offload_codecs
from infrope_env.models.wan.digests import digest_of
from infrope_env.models.wan.generator import read_generator
from infrope_env.models.wan.locate import WanFiles
from infrope_env.models.wan.parts import VAE
from infrope_env.models.wan.prompts import WanTextEncoder, encode_ahead, find_text_encoder
from infrope_env.models.wan.settings import PIXELS_PER_LATENT
from infrope_env.models.world_model import WorldModel
from infrope_env.text.prompt_files import default_folder
from infrope_env.text.umt5_files import UMT5Files

Stamps = tuple[tuple[str, int, int], ...]
"""Path, size and time of every file: a file that is replaced is loaded again."""


def load_wan(found: GeneratorSource, options: LoadOptions = DEFAULTS, prompts: Iterable[str] = ()) -> WorldModel:
    """Load Wan, once per process for the same files and options.

    Args:
        found: The generator, and the folder that other parts may lie in.
        options: Choices at loading time.
        prompts: Texts to encode before the generator is loaded.

    Raises:
        WeightsError: A part is missing, damaged or does not fit; the message names it and has the remedy.
        ValueError: There is no such device or dtype.
    """
    device, dtype = options.device_and_dtype()
    files = WanFiles.find(found)
    codec, codec_file = choose_decoder(files, options.decoder)
    encoder = find_text_encoder(files, options.text_device, options.text_dtype)
    encode_ahead(encoder, prompts)
    stats = [(str(path), path.stat()) for path in files_by_part(files, codec_file).values()]
    stamps = tuple((path, stat.st_size, stat.st_mtime_ns) for path, stat in stats)
    return _load(files, stamps, encoder, codec, codec_file, device, dtype, options.offload, options.compile)


def files_by_part(files: WanFiles, decoder: Path | None) -> dict[str, Path]:
    """Return every file that the pixels depend on, by part and name: {"generator/ema_model.pt": ...}."""
    text = None if files.text is None else UMT5Files.find(files.text)
    groups: dict[str, Iterable[Path | None]] = {
        "generator": files.generator.paths,
        "decoder": (decoder,),
        "vae": (files.vae,),
        "text_encoder": () if text is None else (*text.weights, text.tokenizer),
        "settings": (files.settings_file,),
    }
    return {f"{part}/{path.name}": path for part, paths in groups.items() for path in paths if path is not None}


@lru_cache(maxsize=2)
def _load(
    files: WanFiles,
    stamps: Stamps,
    text_encoder: WanTextEncoder,
    codec: str,
    codec_file: Path,
    device: torch.device,
    dtype: torch.dtype,
    offload: bool,
    compiled: bool,
) -> WorldModel:
    settings = files.settings
    generator = read_generator(files.generator, device, dtype, settings.latent_size)
    decoder, encoder = load_codecs(files, codec, codec_file, device, dtype)
    if offload:
        decoder, encoder = offload_codecs(decoder, encoder, generator.transformer, device)
    height, width = (PIXELS_PER_LATENT * side for side in settings.latent_size)
    sha256 = {name: digest_of(path) for name, path in files_by_part(files, codec_file).items()}
    return WorldModel(
        name=files.name,
        transformer=generator.transformer,
        text_encoder=text_encoder,
        decoder=decoder,
        window=settings.window or generator.window,
        sampler=settings.sampler or generator.sampler,
        frame_size=(height, width),
        sha256=sha256 | {"text_encoder": text_encoder.fingerprint},
        device=device,
        dtype=dtype,
        encoder=encoder,
        encoder_hint=f"Run 'infrope weights {VAE.name} --download'.",
        prompt_folder=default_folder(),
        packages=("transformers", "diffusers"),
        compiled=compiled,
    )
