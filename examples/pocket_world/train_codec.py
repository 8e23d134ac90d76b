"""Train the pocket world's video codec on rendered clips: a frozen linear encoder and a narrow TAEHV decoder.

The encoder is the principal components of patches of 4 frames x 8 x 8 pixels: it needs no training, so the generator
can be trained on its latents at once, and they are smooth, which suits a small generator. What is sharp in a picture
the decoder has to know: it is trained to restore it from the latents around and before. Only the decoder ships.

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
from einops import rearrange
from torch import Tensor, nn

from examples.pocket_world.play import play_clip
from examples.pocket_world.training import ConvolutionMuon, Run, average_gradients, rank, start_processes
from infrope_env.pixels.taehv import TAEHV, MemBlock, TAEHVConfig

POCKET_CODEC = TAEHVConfig(
    latent_channels=24,
    encoder_width=8,  # TAEHV's own encoder is not used here
    decoder_widths=(128, 64, 64, 48),
    space_upscale=(True, False, False),
    patch=4,
    linear_base=True,
)
FRAMES, SIDE = 4, 8
"""Pixel frames and pixels a side of the patch that becomes one latent pixel."""


@dataclass(frozen=True)
class Options:
    """Settings of the run.

    Attributes:
        noise: standard deviation of the noise added to latents, so that the decoder forgives small mistakes.
    """

    folder: Path = Path("runs/codec")
    iterations: int = 4000
    minutes: float = 1e9
    batch: int = 8
    lr: float = 1e-3
    noise: float = 0.1
    crop: int = 48
    seed: int = 0


class PatchEncoder(nn.Module):
    """Patches of pixels to their principal components, each at mean 0 and deviation 1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.components = nn.Conv2d(3 * FRAMES * SIDE**2, channels, 1).requires_grad_(False)

    def forward(self, frames: Tensor) -> Tensor:
        """Frames b t 3 H W in [0, 1] to latents b f c h w."""
        return self.components(patches(frames).flatten(0, 1)).unflatten(0, (len(frames), -1))

    def start_from(self, sample: Tensor) -> tuple[Tensor, Tensor]:
        """Take the principal components of patches (n pixels).

        Returns:
            weight (pixels channels) and bias (pixels) of the linear decoder that goes with them.
        """
        mean = sample.mean(0)
        values, vectors = torch.linalg.eigh(torch.cov(sample.T.double()))
        kept = slice(-self.components.out_channels, None)
        weight = (vectors[:, kept] / values[kept].sqrt()).T.float()
        self.components.weight.copy_(weight[:, :, None, None])
        self.components.bias.copy_(-weight @ mean)  # type: ignore[union-attr]
        return (vectors[:, kept] * values[kept].sqrt()).float(), mean


class Codec(nn.Module):
    """Encoder and decoder."""

    def __init__(self, config: TAEHVConfig = POCKET_CODEC) -> None:
        super().__init__()
        self.encode = PatchEncoder(config.latent_channels)
        self.network = TAEHV(config)
        self.network.encoder = nn.Identity()
        _initialise(self.network.decoder)

    @torch.no_grad()
    def start_from(self, sample: Tensor) -> None:
        """Begin as the best linear codec of patches (n pixels); the networks start from zero beside it."""
        weight, bias = self.encode.start_from(sample)
        self.network.base.weight.copy_(weight[:, :, None, None])
        self.network.base.bias.copy_(bias)  # type: ignore[union-attr]


def _initialise(decoder: nn.Sequential) -> None:
    """Keep the signal's size through two dozen layers (by default it shrinks a hundredfold); start from zero."""
    convolutions = [layer for layer in decoder.modules() if isinstance(layer, nn.Conv2d)]
    for layer in convolutions:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    for block in (layer for layer in decoder if isinstance(layer, MemBlock)):
        nn.init.zeros_(block.conv[-1].weight)  # type: ignore[arg-type]
    nn.init.zeros_(convolutions[-1].weight)


def patches(frames: Tensor) -> Tensor:
    """Frames b t 3 H W to one column of pixels a latent pixel: b f (t y x c) h w."""
    return rearrange(frames, "b (f t) c (h y) (w x) -> b f (t c y x) h w", t=FRAMES, y=SIDE, x=SIDE)


def main(options: Options) -> None:
    """Train until the iterations are done or the minutes are over."""
    start_processes()
    torch.manual_seed(options.seed)
    codec = Codec().to(memory_format=torch.channels_last)
    if not (options.folder / "checkpoint.pt").exists():
        codec.start_from(sample_patches(np.random.default_rng(options.seed)))
    optimizers = make_optimizers(codec, options)
    run = Run(options.folder, {"codec": codec}, optimizers, options.iterations, options.minutes)
    for iteration in run:
        rng = np.random.default_rng([options.seed, iteration, rank()])
        frames = sample_segments(rng, options.batch, options.crop)
        losses = train_step(codec, optimizers, frames, options)
        run.log(**losses)


def make_optimizers(codec: Codec, options: Options) -> list[torch.optim.Optimizer]:
    """Muon for the convolutions (Adam needs several times the steps), AdamW for the linear base and the biases."""
    matrices = [p for p in codec.network.decoder.parameters() if p.ndim == 4]
    others = [p for p in codec.network.decoder.parameters() if p.ndim != 4] + [*codec.network.base.parameters()]
    adam = torch.optim.AdamW(others, lr=options.lr / 4, betas=(0.9, 0.99), weight_decay=0.0)
    return [ConvolutionMuon(matrices, options.lr), adam]


def train_step(
    codec: Codec, optimizers: list[torch.optim.Optimizer], frames: Tensor, options: Options
) -> dict[str, float]:
    """One step on frames b t 3 H W; returns the losses and the PSNR in dB."""
    latents = codec.encode(frames)
    latents = latents + options.noise * torch.randn_like(latents)
    with torch.autocast("cpu", torch.bfloat16):
        decoded, _ = codec.network.decode_unbounded(latents)
    target = frames[:, 3:]
    losses = reconstruction_losses(decoded.float(), target)
    codec.zero_grad(set_to_none=True)
    sum(losses.values(), torch.zeros(())).backward()
    parameters = [p for p in codec.parameters() if p.grad is not None]
    average_gradients(parameters)
    nn.utils.clip_grad_norm_(parameters, 1.0)
    for optimizer in optimizers:
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
    """Short pieces of play, b t 3 H crop in [0, 1]; some begin at the start of a clip, most in the middle."""
    return torch.stack([_segment(rng, crop) for _ in range(batch)])


def sample_patches(rng: np.random.Generator, clips: int = 100) -> Tensor:
    """Patches of random play, n pixels."""
    frames = torch.stack([_segment(rng, 96) for _ in range(clips)])
    columns = patches(frames).movedim(2, -1).flatten(0, -2)  # b f p h w -> n p
    return columns[torch.from_numpy(rng.permutation(len(columns))[:60_000])]


def _segment(rng: np.random.Generator, crop: int) -> Tensor:
    clip = play_clip(rng, num_blocks=3, far_chance=0.7).frames
    start = FRAMES * int(rng.integers(0, 7))
    left = SIDE * int(rng.integers(0, (clip.shape[2] - crop) // SIDE + 1))
    pixels = clip[start : start + 3 * FRAMES, :, left : left + crop]
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))).float() / 255


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
