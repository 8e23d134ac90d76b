"""Train the pocket world's video codec: a narrow TAEHV, encoder and decoder together, on rendered clips.

python -m examples.pocket_world.train_codec --folder runs/codec       (resumes from runs/codec/checkpoint.pt)
torchrun --nproc-per-node 2 -m examples.pocket_world.train_codec ...  (two processes of one thread each)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import tyro
from torch import Tensor, nn

from examples.pocket_world.play import play_clip
from examples.pocket_world.training import Run, average_gradients, rank, start_processes
from infrope_env.pixels.taehv import TAEHV, TAEHVConfig

POCKET_CODEC = TAEHVConfig(
    latent_channels=16,
    encoder_width=64,
    decoder_widths=(128, 64, 64, 48),
    space_upscale=(True, False, False),
    patch=4,
)


@dataclass(frozen=True)
class Options:
    """Settings of the run.

    Attributes:
        noise: standard deviation of the noise added to latents, so that the decoder forgives small mistakes.
        freeze_encoder: train the decoder alone, on the latents that a finished encoder gives.
    """

    folder: Path = Path("runs/codec")
    iterations: int = 2000
    minutes: float = 1e9
    batch: int = 4
    lr: float = 1.5e-3
    noise: float = 0.1
    crop: int = 96
    freeze_encoder: bool = False
    seed: int = 0


class Codec(nn.Module):
    """The autoencoder with a normaliser between its halves that keeps every latent channel at mean 0, deviation 1."""

    def __init__(self, config: TAEHVConfig = POCKET_CODEC) -> None:
        super().__init__()
        self.network = TAEHV(config)
        nn.init.constant_(self.network.decoder[-1].bias, 0.5)  # type: ignore[arg-type]  # start from grey
        self.normalise = nn.BatchNorm2d(config.latent_channels, affine=False, momentum=0.01)

    def encode(self, frames: Tensor) -> Tensor:
        """Frames b t 3 H W in [0, 1] to normalised latents b f c h w."""
        latents, _ = self.network.encode(frames)
        return self.normalise(latents.float().flatten(0, 1)).unflatten(0, latents.shape[:2])


def main(options: Options) -> None:
    """Train until the iterations are done or the minutes are over."""
    start_processes()
    torch.manual_seed(options.seed)
    codec = Codec().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(codec.parameters(), lr=options.lr, betas=(0.9, 0.99), weight_decay=1e-4)
    run = Run(options.folder, {"codec": codec}, [optimizer], options.iterations, options.minutes)
    for iteration in run:
        rng = np.random.default_rng([options.seed, iteration, rank()])
        frames = sample_segments(rng, options.batch, options.crop)
        losses = train_step(codec, optimizer, frames, options)
        run.log(**losses)


def train_step(codec: Codec, optimizer: torch.optim.Optimizer, frames: Tensor, options: Options) -> dict[str, float]:
    """One step on frames b t 3 H W; returns the losses and the PSNR in dB."""
    codec.train(not options.freeze_encoder)
    with torch.autocast("cpu", torch.bfloat16):
        with torch.set_grad_enabled(not options.freeze_encoder):
            latents = codec.encode(frames)
        latents = latents + options.noise * torch.randn_like(latents)
        decoded, _ = codec.network.decode_unbounded(latents)
    target = frames[:, 3:]
    losses = reconstruction_losses(decoded.float(), target)
    optimizer.zero_grad(set_to_none=True)
    sum(losses.values(), torch.zeros(())).backward()
    parameters = [p for p in codec.parameters() if p.grad is not None]
    average_gradients(parameters)
    nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
    psnr = -10 * torch.log10(F.mse_loss(decoded.detach().float(), target))
    return {name: loss.item() for name, loss in losses.items()} | {"psnr": psnr.item()}


def reconstruction_losses(decoded: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Absolute and squared error, and the absolute error of the gradients in space and time (edges, motion)."""
    error = decoded - target
    across, down, onward = error.diff(dim=-1), error.diff(dim=-2), error.diff(dim=1)
    return {
        "l1": error.abs().mean(),
        "mse": 5 * error.square().mean(),
        "edges": 0.5 * (across.abs().mean() + down.abs().mean()),
        "motion": 0.25 * onward.abs().mean(),
    }


def sample_segments(rng: np.random.Generator, batch: int, crop: int) -> Tensor:
    """Short pieces of play, b t 3 H crop in [0, 1]; half of them begin at the start of a clip, half in the middle."""
    return torch.stack([_segment(rng, crop) for _ in range(batch)])


def _segment(rng: np.random.Generator, crop: int) -> Tensor:
    clip = play_clip(rng, num_blocks=3, far_chance=0.7).frames
    start = int(rng.choice([0, 12]))
    left = int(rng.integers(0, (clip.shape[2] - crop) // 8 + 1)) * 8
    pixels = clip[start : start + 24, :, left : left + crop]
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))).float() / 255


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
