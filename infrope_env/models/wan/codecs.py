"""Wan's decoder by name or file, and the encoder for pictures.

    taew2_1  `taew2_1.pth` or `.safetensors` of madebyollin/taehv: 11 million parameters, fast
    wan_vae  the `vae` folder of Wan-AI/Wan2.1-T2V-1.3B-Diffusers, or the original `Wan2.1_VAE.pth`: 127 million, exact

Both take the generator's latents as they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from infrope_env.config import ModelConfig
from infrope_env.dynamics.transformer import CausalWanTransformer
from infrope_env.errors import WeightsError
from infrope_env.models.wan.locate import WanFiles
from infrope_env.models.wan.memory import fits, memory_in_play
from infrope_env.models.wan.offload import OffloadedDecoder, OffloadedEncoder, OffloadedGenerator
from infrope_env.models.wan.parts import TAEHV_FILES, TAEHV_NAME, VAE, VAE_FILES, WAN_VAE
from infrope_env.pixels.codec import Decoder, Encoder
from infrope_env.pixels.taehv import TAEHV
from infrope_env.pixels.wan_vae import WanVAE, lay_out_for_gpu
from infrope_env.tensor_files import fill, read_tensors

if TYPE_CHECKING:
    from diffusers import AutoencoderKLWan

FILES = {TAEHV_NAME: TAEHV_FILES, WAN_VAE: VAE_FILES}  # released files of a decoder

STAGES = [(i, divmod(i, 4)) for i in range(15)]  # a stage of the decoder has three blocks and the upsampling
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
    *(
        (rf"\.upsamples\.{i}\.", f".up_blocks.{s}.{f'resnets.{j}' if j < 3 else 'upsamplers.0'}.")
        for i, (s, j) in STAGES
    ),
    (r"\.residual\.0\.", ".norm1."),
    (r"\.residual\.2\.", ".conv1."),
    (r"\.residual\.3\.", ".norm2."),
    (r"\.residual\.6\.", ".conv2."),
    (r"\.shortcut\.", ".conv_shortcut."),
)
"""Names in the original Wan2.1_VAE.pth to names in diffusers; every matching pattern is replaced, in this order."""


def choose_decoder(files: WanFiles, name: str | None) -> Path:
    """Return the file of the decoder; WeightsError with the command that downloads it where there is none.

    Args:
        files: Paths of all parts.
        name: "taew2_1", "wan_vae", the path of a file that has one of their names, or None: taew2_1 where it is, else
            the full VAE.
    """
    here = {TAEHV_NAME: files.taehv, WAN_VAE: files.vae}
    name = name or next((name for name, path in here.items() if path), TAEHV_NAME)
    if name not in here:
        path, known = Path(name).expanduser(), {Path(file).name for names in FILES.values() for file in names}
        if path.is_file() and path.name in known:
            return path
        named = " or ".join(sorted(known))
        raise WeightsError(f"No decoder {name!r}: expected {' or '.join(FILES)}, or the path of a file named {named}.")
    if found := here[name]:
        return found
    other = next((f", or pass decoder={known!r}" for known, path in here.items() if path), "")
    part = TAEHV_NAME if name == TAEHV_NAME else VAE.name
    raise WeightsError(
        f"No decoder {name} in {files.places}: expected {' or '.join(FILES[name])}. "
        f"Run 'infrope weights {part} --download'{other}."
    )


@dataclass(frozen=True)
class LazyEncoder:
    """The full VAE as an encoder that is loaded for each picture and takes no memory in between."""

    file: Path
    device: torch.device
    dtype: torch.dtype

    def encode(self, frames: Tensor) -> Tensor:
        """Load the full VAE and encode frames, see `Encoder.encode`."""
        return self.load().encode(frames)

    def load(self) -> WanVAE:
        """Return the full VAE."""
        encoder = load_decoder(self.file, self.device, self.dtype)
        assert isinstance(encoder, WanVAE)
        return encoder


def load_codecs(
    file: Path,
    vae: Path | None,
    device: torch.device,
    dtype: torch.dtype,
    generator: CausalWanTransformer | None = None,
) -> tuple[Decoder, Encoder | None]:
    """Load the decoder, and prepare an encoder if the full VAE is here.

    Args:
        file: File of the decoder.
        vae: File of the full VAE; None where there is none.
        device: Device of play.
        dtype: Precision of the generator; that of the codecs follows from it, see `codec_dtype`.
        generator: The generator on the device, if it takes turns there with the codecs.
    """
    dtype = codec_dtype(device, dtype)
    codec = load_decoder(file, device, dtype)
    lazy = None if vae is None else LazyEncoder(vae, device, dtype)
    if generator is None:
        return codec, codec if isinstance(codec, WanVAE) else lazy
    offloaded = OffloadedGenerator(generator, device)
    decoder = OffloadedDecoder(codec, offloaded, keep_state=has_room_for_state(codec, device, generator.config))
    if isinstance(codec, WanVAE):
        return decoder, decoder
    return decoder, None if lazy is None else OffloadedEncoder(lazy.load, offloaded)


def codec_dtype(device: torch.device, dtype: torch.dtype) -> torch.dtype:
    """Return the precision of decoder and encoder beside a generator: float16 on a GPU in place of bfloat16.

    bfloat16 has too few digits for 256 levels and bands smooth gradients. Both decoders run in float16 in the demo
    of Self-Forcing, so their range suffices for it. On a CPU float16 is slow, and the generator's precision stays.
    """
    return torch.float16 if device.type == "cuda" and dtype is torch.bfloat16 else dtype


def has_room_for_state(codec: TAEHV | WanVAE, device: torch.device, config: ModelConfig) -> bool:
    """Return whether the decoder state can stay on a GPU whose networks take turns; false on a CPU."""
    if device.type != "cuda":
        return False
    name = WAN_VAE if isinstance(codec, WanVAE) else TAEHV_NAME
    needed = memory_in_play(name, offload=True, keep_state=True, config=config)
    return fits(needed, torch.cuda.get_device_properties(device).total_memory)


def load_decoder(file: Path, device: torch.device, dtype: torch.dtype) -> TAEHV | WanVAE:
    """Load a codec of Wan 2.1's latents from a file named as in `FILES`; WeightsError where it does not fit."""
    # copies: a file that is replaced later changes nothing
    tensors = {name: tensor.to(device, dtype, copy=True) for name, tensor in read_tensors(file).items()}
    if file.name in TAEHV_FILES:
        codec = fill(TAEHV, tensors, file, "TAEHV")
        codec.encoder = nn.Sequential()  # never used, so it takes no memory
        return codec.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    tensors = {rename(name): tensor for name, tensor in tensors.items()}
    network = fill(lambda: _wan_network(file, tensors), tensors, file, "AutoencoderKLWan")
    return WanVAE(lay_out_for_gpu(network) if device.type == "cuda" else network)


def rename(name: str) -> str:
    """Return a tensor's name in diffusers; a name of diffusers stays as it is."""
    for pattern, replacement in RENAMES:
        name = re.sub(pattern, replacement, name)
    return name


def _wan_network(file: Path, tensors: Mapping[str, Tensor]) -> AutoencoderKLWan:
    """Return the network of config.json in diffusers' layout, else Wan 2.1's at the width of the tensors.

    The config.json beside the original Wan2.1_VAE.pth is the generator's.
    """
    try:
        from diffusers import AutoencoderKLWan
    except ImportError as error:
        raise WeightsError("The Wan VAE needs diffusers: pip install 'infrope-env[wan]', or use taew2_1.") from error
    config, width = file.parent / "config.json", tensors.get("encoder.conv_in.weight")
    if config.is_file() and file.name == Path(VAE_FILES[0]).name:
        network = AutoencoderKLWan.from_config(json.loads(config.read_text()))
    else:
        network = AutoencoderKLWan() if width is None else AutoencoderKLWan(base_dim=len(width))
    if network.config.is_residual or network.config.patch_size:
        raise WeightsError(f"{config}: this is Wan 2.2's VAE; the generator works on Wan 2.1's latents.")
    return network
