"""Joins the parts of Wan into a world: prompts first, then generator and decoder, once per process.

The text encoder has done its work and is gone before the generator is loaded, so that memory holds the larger of the
two and not both.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import torch

from infrope_env.models.wan.codecs import choose_decoder, join_codecs, offload_codecs
from infrope_env.models.wan.digests import digest_of
from infrope_env.models.wan.generator import read_generator
from infrope_env.models.wan.locate import WanFiles
from infrope_env.models.wan.parts import VAE
from infrope_env.models.wan.prompts import WanTextEncoder, encode_ahead, find_text_encoder
from infrope_env.models.wan.settings import PIXELS_PER_LATENT
from infrope_env.models.world_folder import WorldModel, as_device, as_dtype, fast_dtype
from infrope_env.text.lazy import AUTO
from infrope_env.text.prompt_files import default_folder

Stamps = tuple[tuple[str, int, int], ...]
"""Path, size and time of every file: a file that is replaced is loaded again."""


def load_wan(
    weights: str | None = None,
    *,
    prompts: Iterable[str] = (),
    decoder: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
    text_device: str | None = None,
    text_dtype: str | None = None,
    offload: bool = False,
) -> WorldModel:
    """Load Wan, once per process for the same files and settings.

    Args:
        weights: as in `WanFiles.find`.
        prompts: to have ready before the generator is loaded.
        decoder: as in `choose_decoder`.
        device: "cpu", "cuda" or "cuda:1"; None takes the GPU where there is one.
        dtype: of generator and decoder: "float32", "bfloat16" or "float16"; None takes what is fast on the device.
        text_device: as in `find_text_encoder`.
        text_dtype: likewise.
        offload: generator and decoder take turns on the device.

    Raises:
        WeightsError: a part is missing, damaged or does not fit; the sentence says which and what to do.
        ValueError: there is no such device or dtype.
    """
    place = as_device(device)
    precision = as_dtype(dtype) or fast_dtype(place)
    files = WanFiles.find(weights)
    codec, codec_file = choose_decoder(files, decoder)
    encoder = find_text_encoder(files, text_device or AUTO, text_dtype or "bfloat16")
    encode_ahead(encoder, prompts)
    parts = files_by_part(files, codec_file)
    stamps = tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in parts.values())
    return _load(files, stamps, encoder, codec, codec_file, place, precision, offload)


def files_by_part(files: WanFiles, decoder: Path | None) -> dict[str, Path]:
    """Every file that the pixels depend on, by its part and name: {"generator/ema_model.pt": ...}."""
    groups: dict[str, Iterable[Path | None]] = {
        "generator": files.generator.files,
        "decoder": (decoder,),
        "vae": (files.vae,),
        "text_encoder": () if files.text is None else _text_files(files.text),
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
) -> WorldModel:
    settings = files.settings
    generator = read_generator(files.generator, files.row, device, dtype, settings.latent_size)
    decoder, encoder = join_codecs(files, codec, codec_file, device, dtype)
    if offload:
        decoder, encoder = offload_codecs(decoder, encoder, generator.transformer, device)
    height, width = (PIXELS_PER_LATENT * side for side in settings.latent_size)
    sha256 = {name: digest_of(path) for name, path in files_by_part(files, codec_file).items()}
    return WorldModel(
        name=files.name,
        transformer=generator.transformer,
        text_encoder=text_encoder,
        decoder=decoder,
        config=generator.config,
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
    )


def _text_files(folder: Path) -> tuple[Path, ...]:
    from infrope_env.text.umt5_files import UMT5Files

    found = UMT5Files.find(folder)
    return (*found.weights, found.tokenizer)
