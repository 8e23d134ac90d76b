"""Wan's decoder by name or file, and the encoder for pictures.

    taew2_1  `taew2_1.pth` or `.safetensors` of madebyollin/taehv: 11 million parameters, fast
    wan_vae  the `vae` folder of Wan-AI/Wan2.1-T2V-1.3B-Diffusers, or the original `Wan2.1_VAE.pth`: 127 million, exact

Both take the generator's latents as they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from infrope_env.errors import WeightsError
from infrope_env.models.wan.locate import WanFiles
from infrope_env.models.wan.offload import OffloadedDecoder
from infrope_env.models.wan.parts import TAEHV_FILES, TAEHV_NAME, VAE, VAE_FILES, WAN_VAE, file_in
from infrope_env.pixels.codec import Decoder, Encoder
from infrope_env.pixels.taehv import TAEHV, TAEHVEncoder
from infrope_env.pixels.wan_vae import WanVAE
from infrope_env.tensor_files import fill, read_tensors

if TYPE_CHECKING:
    from diffusers import AutoencoderKLWan

DIFFUSERS_FILE = "diffusion_pytorch_model.safetensors"
FILES = {TAEHV_NAME: TAEHV_FILES, WAN_VAE: (DIFFUSERS_FILE, *VAE_FILES)}
"""File names of a codec in the folder that is given for it, by the codec's name."""

RENAMES = (
    (r"^conv1\.", "quant_conv."),
    (r"^conv2\.", "post_quant_conv."),
    (r"^(encoder|decoder)\.conv1\.", r"\1.conv_in."),
    (r"\.head\.0\.", ".norm_out."),
    (r"\.head\.2\.", ".conv_out."),
    (r"\.middle\.0\.", ".mid_block.resnets.0."),
    (r"\.middle\.1\.", ".mid_block.attentions.0."),
    (r"\.middle\.2\.", ".mid_block.resnets.1."),
    (r"\.downsamples\.", ".down_blocks."),
    (r"\.upsamples\.(\d+)\.(?=residual|shortcut)", lambda found: ".up_blocks.{}.resnets.{}.".format(*_stage(found))),
    (r"\.upsamples\.(\d+)\.", lambda found: ".up_blocks.{}.upsamplers.0.".format(*_stage(found))),
    (r"\.residual\.0\.", ".norm1."),
    (r"\.residual\.2\.", ".conv1."),
    (r"\.residual\.3\.", ".norm2."),
    (r"\.residual\.6\.", ".conv2."),
    (r"\.shortcut\.", ".conv_shortcut."),
)
"""Names in the original Wan2.1_VAE.pth to names in diffusers; every matching pattern is replaced, in this order."""


def choose_decoder(files: WanFiles, name: str | None) -> tuple[str, Path]:
    """Return name and file of the decoder.

    Args:
        files: Paths of all parts.
        name: "taew2_1", "wan_vae", the path of a file that has one of their names, or None: taew2_1 where it is, else
            the full VAE.

    Raises:
        WeightsError: The decoder is not here; the message has the command that downloads it.
    """
    here = {TAEHV_NAME: files.taehv, WAN_VAE: files.vae}
    name = name or next((name for name, path in here.items() if path), TAEHV_NAME)
    if name not in here:
        file = Path(name).expanduser()
        known = {Path(path).name: codec for codec in FILES for path in FILES[codec]}
        if file.is_file() and file.name in known:
            return known[file.name], file
        named = " or ".join(sorted(known))
        raise WeightsError(f"No decoder {name!r}: expected {' or '.join(FILES)}, or the path of a file named {named}.")
    path = here[name]
    if path is None:
        other = next((f", or pass decoder={known!r}" for known, found in here.items() if found), "")
        part = TAEHV_NAME if name == TAEHV_NAME else VAE.name
        raise WeightsError(
            f"No decoder {name} in {files.places}: expected {' or '.join(FILES[name][-2:])}. "
            f"Run 'infrope weights {part} --download'{other}."
        )
    return name, path


def load_codecs(
    files: WanFiles, name: str, path: Path, device: torch.device, dtype: torch.dtype
) -> tuple[Decoder, Encoder | None]:
    """Load the decoder, and prepare an encoder where the full VAE is here; the full VAE is both."""
    decoder = load_decoder(name, path, device, dtype)
    if name == WAN_VAE:
        return decoder, decoder  # type: ignore[return-value]  # WanVAE is both
    vae = files.vae
    if vae is None:
        return decoder, None
    return decoder, LazyEncoder(lambda: load_encoder(WAN_VAE, vae, device, dtype))


def offload_codecs(
    decoder: Decoder, encoder: Encoder | None, generator: nn.Module, device: torch.device
) -> tuple[Decoder, Encoder | None]:
    """Return the same codecs, swapping places with the generator while they compute."""
    assert isinstance(decoder, TAEHV | WanVAE)
    network = decoder if isinstance(decoder, TAEHV) else decoder.network
    offloaded = OffloadedDecoder(decoder, network, generator, device)
    return offloaded, offloaded if encoder is decoder else encoder


class LazyEncoder:
    """An encoder that is loaded for each picture and takes no memory in between."""

    def __init__(self, load: Callable[[], Encoder]) -> None:
        """Keep the function that loads it."""
        self._load = load

    def encode(self, frames: Tensor) -> Tensor:
        """Load the encoder and encode frames, see `Encoder.encode`."""
        return self._load().encode(frames)


def load_decoder(name: str, path: Path | str, device: torch.device, dtype: torch.dtype) -> Decoder:
    """Load a decoder of Wan 2.1's latents.

    Args:
        name: "taew2_1" or "wan_vae"; the latter is its own encoder too.
        path: Its file, or a folder that holds one of `FILES`.
        device: Where it decodes.
        dtype: Precision that it decodes in.

    Raises:
        WeightsError: There is no such name or file, or its tensors are not the codec's.
    """
    file = find_codec(name, path)
    if name == WAN_VAE:
        return _load_wan_vae(file, device, dtype)
    codec = fill(TAEHV, _copies(file, device, dtype), file, "TAEHV")
    codec.encoder = nn.Sequential()  # only one half takes memory
    return codec.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def load_encoder(name: str, path: Path | str, device: torch.device, dtype: torch.dtype) -> Encoder:
    """Load an encoder to Wan 2.1's latents; arguments and errors as in `load_decoder`."""
    file = find_codec(name, path)
    if name == WAN_VAE:
        return _load_wan_vae(file, device, dtype)
    codec = fill(TAEHV, _copies(file, device, dtype), file, "TAEHV")
    codec.decoder = nn.Sequential()
    return TAEHVEncoder(codec)


def find_codec(name: str, path: Path | str) -> Path:
    """Return the file of a codec: `path` itself, or one of `FILES` in that folder; WeightsError when there is none."""
    if name not in FILES:
        raise WeightsError(f"No codec named {name!r}; there are {' and '.join(FILES)}.")
    place = Path(path).expanduser()
    file = place if place.is_file() else file_in(place, FILES[name])
    if file is None:
        expected = " or ".join(FILES[name])
        raise WeightsError(f"{place}: expected a file or a folder with {expected}; download one for {name}.")
    return file


def rename(name: str) -> str:
    """Return a tensor's name in diffusers; a name of diffusers stays as it is."""
    for pattern, replacement in RENAMES:
        name = re.sub(pattern, replacement, name)
    return name


def _stage(found: re.Match[str]) -> tuple[int, int]:
    """Return a layer's stage of the decoder and its place in it: a stage has three blocks and the upsampling."""
    return divmod(int(found[1]), 4)


def _copies(file: Path, device: torch.device, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return the tensors of a file, copied: a file that is replaced later changes nothing."""
    return {name: tensor.to(device, dtype, copy=True) for name, tensor in read_tensors(file).items()}


def _load_wan_vae(file: Path, device: torch.device, dtype: torch.dtype) -> WanVAE:
    tensors = {rename(name): tensor for name, tensor in _copies(file, device, dtype).items()}
    return WanVAE(fill(lambda: _wan_network(file, tensors), tensors, file, "AutoencoderKLWan"))


def _wan_network(file: Path, tensors: Mapping[str, Tensor]) -> AutoencoderKLWan:
    """Return the network of config.json in diffusers' layout, else Wan 2.1's at the width of the tensors.

    The config.json beside the original Wan2.1_VAE.pth is the generator's.
    """
    try:
        from diffusers import AutoencoderKLWan
    except ImportError as error:
        raise WeightsError("The Wan VAE needs diffusers: pip install 'infrope-env[wan]', or use taew2_1.") from error
    config, width = file.parent / "config.json", tensors.get("encoder.conv_in.weight")
    if config.is_file() and file.name == DIFFUSERS_FILE:
        network = AutoencoderKLWan.from_config(json.loads(config.read_text()))
    else:
        network = AutoencoderKLWan() if width is None else AutoencoderKLWan(base_dim=len(width))
    if network.config.is_residual or network.config.patch_size:
        raise WeightsError(f"{config}: this is Wan 2.2's VAE; the generator works on Wan 2.1's latents.")
    return network
