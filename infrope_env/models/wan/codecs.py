"""Wan's decoder by name, and the encoder for pictures, which is loaded when the first picture comes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from infrope_env.errors import WeightsError
from infrope_env.models.wan.codec_files import FILES, load_decoder, load_encoder
from infrope_env.models.wan.locate import WanFiles
from infrope_env.models.wan.offload import OffloadedDecoder
from infrope_env.models.wan.parts import TAEHV_NAME, VAE
from infrope_env.pixels.codec import Decoder, Encoder
from infrope_env.pixels.taehv import TAEHV
from infrope_env.pixels.wan_vae import WanVAE

WAN_VAE = "wan_vae"


def choose_decoder(files: WanFiles, wanted: str | None) -> tuple[str, Path]:
    """Name and file of the decoder.

    Args:
        files: where everything is.
        wanted: "taew2_1", "wan_vae", the path of a file that has one of their names, or None: taew2_1 where it is,
            else the full VAE.

    Raises:
        WeightsError: it is not here; the sentence says how to get it.
    """
    here = {TAEHV_NAME: files.taehv, WAN_VAE: files.vae}
    name = wanted or next((name for name, path in here.items() if path), TAEHV_NAME)
    if name not in here:
        return _by_path(Path(name).expanduser())
    path = here[name]
    if path is None:
        other = next((f", or pass decoder={known!r}" for known, found in here.items() if found), "")
        get = TAEHV_NAME if name == TAEHV_NAME else VAE.name
        raise WeightsError(
            f"No decoder {name} in {files.places}: expected {' or '.join(FILES[name][-2:])}. "
            f"Run 'infrope weights {get} --download'{other}."
        )
    return name, path


def join_codecs(
    files: WanFiles, name: str, path: Path, device: torch.device, dtype: torch.dtype
) -> tuple[Decoder, Encoder | None]:
    """The decoder, loaded, and an encoder where the full VAE is here: they are one network where both are the VAE."""
    decoder = load_decoder(name, path, device, dtype)
    if name == WAN_VAE:
        return decoder, decoder  # type: ignore[return-value]  # WanVAE is both
    if files.vae is None:
        return decoder, None
    vae = files.vae
    return decoder, LazyEncoder(lambda: load_encoder(WAN_VAE, vae, device, dtype))


def offload_codecs(
    decoder: Decoder, encoder: Encoder | None, generator: nn.Module, device: torch.device
) -> tuple[Decoder, Encoder | None]:
    """The same codecs, for whose work the generator leaves the device."""
    assert isinstance(decoder, TAEHV | WanVAE)
    network = decoder if isinstance(decoder, TAEHV) else decoder.network
    shared = OffloadedDecoder(decoder, network, generator, device)
    return shared, shared if encoder is decoder else encoder


class LazyEncoder:
    """An encoder that takes no memory until a picture comes, and none after it."""

    def __init__(self, load: Callable[[], Encoder]) -> None:
        """Take what loads it."""
        self._load = load

    def encode(self, frames: Tensor) -> Tensor:
        """See `Encoder.encode`."""
        return self._load().encode(frames)


def _by_path(path: Path) -> tuple[str, Path]:
    for name, files in FILES.items():
        if path.is_file() and path.name in {Path(file).name for file in files}:
            return name, path
    named = " or ".join(sorted({Path(file).name for files in FILES.values() for file in files}))
    raise WeightsError(f"No decoder {str(path)!r}: expected {' or '.join(FILES)}, or the path of a file named {named}.")
