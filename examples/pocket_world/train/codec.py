"""Solve for the pocket world's video codec on rendered clips: principal components and the best linear way back.

python -m examples.pocket_world.train.codec --folder runs/codec        (three minutes)
python -m examples.pocket_world.train.codec --folder runs/codec_new --encoder runs/codec    (its encoder, kept)

Tried before, and dropped: a narrow TAEHV beside the linear decoder restored 2.4 dB more of 24 channels in 45 minutes,
and nothing of 96 in 15 minutes, at twice the decoder's time; more channels and a look around cost nothing to train. A
decoder solved for on 400 blocks that a generator had made (`polish.py`, commit 5903390) was worse for true latents by
4 dB and no better for made ones: where the generator has lost its place, there is nothing right to learn.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import tyro
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from examples.pocket_world.evaluate.measures import psnr
from examples.pocket_world.train.run import start_processes
from examples.pocket_world.world.play import FIRST_LATENT_PADDING, play_clip
from infrope_env.pixels.patch_codec import PatchCodecConfig, PatchDecoder, PatchEncoder

POCKET_CODEC = PatchCodecConfig(latent_channels=144, side=8)
FILE = "codec.safetensors"


@dataclass(frozen=True)
class Options:
    """Settings of the run.

    Attributes:
        clips: rendered for it.
        encoder: run folder whose encoder to keep, and with it every latent and generator made with it; only the way
            back is solved for, which is what helps when the world's looks change a little.
        noise: deviation of the mistakes that the faintest channel will have; see `PatchDecoder.fit`. At 0.1 clean clips
            come out about 1 dB better, and what a generator is wrong about sparkles.
    """

    folder: Path = Path("runs/codec")
    clips: int = 64
    encoder: Path | None = None
    noise: float = 0.5
    seed: int = 0


class Codec(nn.Module):
    """Encoder and decoder."""

    def __init__(self, config: PatchCodecConfig = POCKET_CODEC) -> None:
        super().__init__()
        self.encoder, self.decoder = PatchEncoder(config), PatchDecoder(config)


def main(options: Options) -> None:
    """Render, solve, write."""
    start_processes()
    clips = render_clips(options)
    codec = Codec()
    if options.encoder is None:
        codec.encoder.fit(torch.cat([some_patches(codec.encoder, as_video(clip)) for clip in clips]))
    else:
        codec.encoder = load_codec(options.encoder).encoder
    print("encoder ready, solving for the way back", flush=True)
    codec.decoder.fit(codec.encoder, map(as_video, clips), options.noise)
    options.folder.mkdir(parents=True, exist_ok=True)
    save_file(codec.state_dict(), options.folder / FILE)
    print(f"wrote {options.folder / FILE}: {likeness(codec, options):.1f} dB on clips it has not seen")


@torch.inference_mode()
def likeness(codec: Codec, options: Options, clips: int = 8) -> float:
    """Mean PSNR of clips of another seed after encoding and decoding, in dB."""
    values = []
    for clip in render_clips(replace(options, clips=clips, seed=options.seed + 999)):
        frames, _ = codec.decoder.decode(codec.encoder.encode_whole(as_video(clip)), None)
        values.append(psnr(frames[0].numpy(), clip[FIRST_LATENT_PADDING:].numpy()))
    return float(np.mean(values))


def load_codec(folder: Path) -> Codec:
    """The codec of a run."""
    codec = Codec()
    codec.load_state_dict(load_file(folder / FILE))
    return codec.eval().requires_grad_(False)


def as_video(clip: Tensor) -> Tensor:
    """A clip, t H W 3 in uint8, to 1 t 3 H W in [0, 1]."""
    return clip.permute(0, 3, 1, 2)[None].float() / 255


def render_clips(options: Options) -> list[Tensor]:
    """Clips of random play, each t H W 3 in uint8."""
    clips = []
    for index in range(options.clips):
        clips.append(torch.from_numpy(play_clip(np.random.default_rng([options.seed, index])).frames))
        if index % 16 == 15:
            print(f"rendered {index + 1} of {options.clips} clips", flush=True)
    return clips


def some_patches(encoder: PatchEncoder, video: Tensor, every: int = 2) -> Tensor:
    """Patches of a video, (n pixels)."""
    return encoder.patches(video).movedim(2, -1).flatten(0, -2)[::every]


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
