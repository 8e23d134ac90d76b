"""Codecs by name, from the files that their makers release.

    taew2_1  `taew2_1.pth` or `.safetensors` of madebyollin/taehv: 11 million parameters, fast
    wan_vae  the `vae` folder of Wan-AI/Wan2.1-T2V-1.3B-Diffusers, or the original `Wan2.1_VAE.pth`: 127 million, exact

Both take the generator's latents as they are. Knows file names, tensor names and shapes; computes nothing.
"""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from infrope_env.errors import WeightsError
from infrope_env.pixels.codec import Decoder, Encoder
from infrope_env.pixels.taehv import TAEHV, TAEHVEncoder
from infrope_env.pixels.wan_vae import WanVAE

if TYPE_CHECKING:
    from diffusers import AutoencoderKLWan

FILES = {
    "taew2_1": ("taew2_1.safetensors", "taew2_1.pth"),
    "wan_vae": (
        "diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
        "Wan2.1_VAE.safetensors",
        "Wan2.1_VAE.pth",
    ),
}
"""What a codec's file may be called in the folder that is given for it, by the codec's name."""

DIFFUSERS_FILE = "diffusion_pytorch_model.safetensors"

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
"""Names in the original Wan2.1_VAE.pth to names in diffusers; every pattern that fits is replaced, in this order."""

N = TypeVar("N", bound=nn.Module)


def load_decoder(name: str, path: Path | str, device: torch.device, dtype: torch.dtype) -> Decoder:
    """Load a decoder for Wan 2.1's latents.

    Args:
        name: "taew2_1" or "wan_vae"; the latter is its own encoder too.
        path: its file, or a folder that holds one of `FILES`.
        device: where it decodes.
        dtype: in which it decodes.

    Raises:
        WeightsError: no such name or file, or its tensors are not the codec's.
    """
    if name == "wan_vae":
        return _load_wan_vae(find_codec(name, path), device, dtype)
    codec = _load_taehv(find_codec(name, path))
    codec.encoder = nn.Sequential()  # not to sit in memory
    return codec.to(device, dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]


def load_encoder(name: str, path: Path | str, device: torch.device, dtype: torch.dtype) -> Encoder:
    """Load an encoder to Wan 2.1's latents; arguments and errors as in `load_decoder`."""
    if name == "wan_vae":
        return _load_wan_vae(find_codec(name, path), device, dtype)
    codec = _load_taehv(find_codec(name, path))
    codec.decoder = nn.Sequential()
    return TAEHVEncoder(codec.to(device, dtype))


def find_codec(name: str, path: Path | str) -> Path:
    """The file of a codec: `path` itself, or the one it is called in that folder; WeightsError when there is none."""
    if name not in FILES:
        raise WeightsError(f"No codec named {name!r}; there are {' and '.join(FILES)}.")
    place = Path(path).expanduser()
    for file in (place, *(place / file for file in FILES[name])):
        if file.is_file():
            return file
    raise WeightsError(
        f"{place}: expected a file or a folder with {' or '.join(FILES[name])}; download one for {name}."
    )


def _load_taehv(file: Path) -> TAEHV:
    return _fill(TAEHV, _read_tensors(file), file)


def _load_wan_vae(file: Path, device: torch.device, dtype: torch.dtype) -> WanVAE:
    tensors = {rename(name): tensor.to(device, dtype) for name, tensor in _read_tensors(file).items()}
    return WanVAE(_fill(lambda: _wan_network(file, tensors), tensors, file))


def rename(name: str) -> str:
    """A tensor's name in diffusers; one that is diffusers' own already stays as it is."""
    for pattern, replacement in RENAMES:
        name = re.sub(pattern, replacement, name)
    return name


def _stage(found: re.Match[str]) -> tuple[int, int]:
    """Which stage of the decoder a layer belongs to, and which of its four it is: three blocks and the upsampling."""
    return divmod(int(found[1]), 4)


def _wan_network(file: Path, tensors: Mapping[str, Tensor]) -> AutoencoderKLWan:
    """The network that config.json describes in diffusers' layout; in another, Wan 2.1's at the width of the tensors.

    Beside the original Wan2.1_VAE.pth lies a config.json too, of the generator.
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


def _fill(make: Callable[[], N], tensors: Mapping[str, Tensor], file: Path) -> N:
    """A network with these weights, for good: evaluation mode, no gradients."""
    with torch.device("meta"):
        network = make()
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    for name in sorted(expected.keys() ^ tensors.keys()):
        what = "is missing" if name in expected else "does not belong to it"
        raise WeightsError(f"{file}: not the weights of {type(network).__name__}: the tensor {name!r} {what}.")
    for name, shape in expected.items():
        if tuple(tensors[name].shape) != shape:
            got = tuple(tensors[name].shape)
            raise WeightsError(f"{file}: expected {name!r} to have shape {shape}, got {got}.")
    network.load_state_dict(tensors, assign=True)
    return network.eval().requires_grad_(False)


def _read_tensors(file: Path) -> dict[str, Tensor]:
    """A file of named tensors, .safetensors or torch's own; nothing in it is executed."""
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        tensors = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise WeightsError(f"{file}: cannot be read as named tensors, it may be truncated ({error}).") from error
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise WeightsError(f"{file}: expected named tensors, got {type(tensors).__name__} of something else.")
    return tensors
