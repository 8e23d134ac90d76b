"""Fit the pocket world's video codec to rendered clips: principal components, and a linear decoder by least squares.

    python -m examples.pocket_world.train.codec --folder runs/codec        (three minutes)
    python -m examples.pocket_world.train.codec --folder runs/codec_new --encoder runs/codec    (keeps that encoder)

Two alternatives were measured and dropped. A narrow TAEHV trained as a residual of the linear decoder gained 2.4 dB at
24 latent channels in 45 minutes and nothing at 96 channels in 15 minutes, and it doubled decoding time; more channels
and a wider neighbourhood need no training. A decoder fitted to 400 generated blocks (`polish.py`, commit 5903390) lost
4 dB on encoded clips and gained nothing on generated latents: where their content is wrong, no decoder can restore it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from examples.pocket_world.evaluate.measures import psnr
from examples.pocket_world.train.run import start_processes
from examples.pocket_world.world.play import FIRST_LATENT_PADDING, play_clip
from infrope_env.atomic_file import write_atomically
from infrope_env.models.options import LoadOptions
from infrope_env.models.world_folder import CARD, load_world
from infrope_env.output import run_program
from infrope_env.pixels.patch_codec import PatchCodecConfig, PatchDecoder, PatchEncoder

POCKET_CODEC = PatchCodecConfig(latent_channels=144, side=8)
CODEC_FILE = "codec.safetensors"


@dataclass(frozen=True)
class Options:
    """Settings of the codec.

    Attributes:
        folder: Folder that receives codec.safetensors.
        clips: Number of clips to render and fit.
        encoder: Run folder or world folder whose encoder is kept; only the decoder is fitted. Latents and generators
            made with that encoder stay valid, which is useful after a change of how the world looks.
        noise: Standard deviation of the latent noise assumed for the faintest channel, see `PatchDecoder.fit`. At 0.1
            clean clips gain about 1 dB, and generated frames show sparkle where the generator is wrong.
        arrangements: Whether the clips show arrangements of the world.
        seed: Seed of the clips.
    """

    folder: Path = Path("runs/codec")
    clips: int = 64
    encoder: Path | None = None
    noise: float = 0.5
    arrangements: bool = False
    seed: int = 0


class Codec(nn.Module):
    """Encoder and decoder of the pocket world."""

    def __init__(self, config: PatchCodecConfig = POCKET_CODEC) -> None:
        super().__init__()
        self.encoder, self.decoder = PatchEncoder(config), PatchDecoder(config)


def main(options: Options) -> None:
    """Render the clips, fit the codec, and write it."""
    start_processes()
    clips = render_clips(options)
    codec = Codec()
    if options.encoder is None:
        codec.encoder.fit(torch.cat([sample_patches(codec.encoder, as_video(clip)) for clip in clips]))
    else:
        codec.encoder = load_encoder(options.encoder)
    print("encoder ready, fitting the decoder", flush=True)
    codec.decoder.fit(codec.encoder, map(as_video, clips), options.noise)
    write_atomically(options.folder / CODEC_FILE, lambda path: save_file(codec.state_dict(), path))
    print(f"wrote {options.folder / CODEC_FILE}: {mean_psnr(codec, options):.1f} dB on clips of another seed")


@torch.inference_mode()
def mean_psnr(codec: Codec, options: Options, clips: int = 8) -> float:
    """Return the mean PSNR, in dB, of encoded and decoded clips whose seed the codec was not fitted to."""
    values = []
    for clip in render_clips(replace(options, clips=clips, seed=options.seed + 999)):
        frames, _ = codec.decoder.decode(codec.encoder.encode_whole(as_video(clip)), None)
        values.append(psnr(frames[0].numpy(), clip[FIRST_LATENT_PADDING:].numpy()))
    return float(np.mean(values))


def load_codec(folder: Path) -> Codec:
    """Load the codec of a run folder."""
    codec = Codec()
    codec.load_state_dict(load_file(folder / CODEC_FILE))
    return codec.eval().requires_grad_(False)


def load_encoder(folder: Path) -> PatchEncoder:
    """Load the encoder of a run folder or a world folder.

    Raises:
        ValueError: The world folder has no encoder of this kind.
    """
    if not (folder / CARD).exists():
        return load_codec(folder).encoder
    encoder = load_world(folder, LoadOptions(device="cpu", dtype="float32")).encoder
    if not isinstance(encoder, PatchEncoder):
        raise ValueError(f"{folder} has no encoder of patches")
    return encoder


def as_video(clip: Tensor) -> Tensor:
    """Convert a clip, t H W 3 uint8, to a video, 1 t 3 H W in [0, 1]."""
    return clip.permute(0, 3, 1, 2)[None].float() / 255


def render_clips(options: Options) -> list[Tensor]:
    """Render clips of random play, each t H W 3 uint8."""
    clips = []
    for index in range(options.clips):
        rng = np.random.default_rng([options.seed, index])
        clips.append(torch.from_numpy(play_clip(rng, arrangements=options.arrangements).frames))
        if index % 16 == 15:
            print(f"rendered {index + 1} of {options.clips} clips", flush=True)
    return clips


def sample_patches(encoder: PatchEncoder, video: Tensor, every: int = 2) -> Tensor:
    """Return one patch in `every` of a video, n patch_pixels."""
    return encoder.patches(video).movedim(2, -1).flatten(0, -2)[::every]


if __name__ == "__main__":
    main(run_program(Options, description=__doc__))
