"""Train the convolutional decoder: generated latents to the frames that the world renders.

    python -m examples.pocket_world.train.decoder --rollouts runs/rollouts --folder runs/decoder    (resumes)

Encoded frames, clean and with noise, are mixed in, so that it stays a decoder of the encoder's latents too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from examples.pocket_world.evaluate.measures import fine_chroma
from examples.pocket_world.train.codec import as_video, load_encoder
from examples.pocket_world.train.generator import load_average, update, update_average
from examples.pocket_world.train.rollouts import RecordedBlock, RecordedRollouts
from examples.pocket_world.train.run import Muon, Run, autocast, rank, start_processes, training_device
from examples.pocket_world.world.play import FIRST_LATENT_PADDING
from infrope_env.models.options import LoadOptions
from infrope_env.models.world_folder import CARD, load_world
from infrope_env.output import run_program
from infrope_env.pixels.conv_decoder import ConvDecoder, ConvDecoderConfig
from infrope_env.pixels.patch_codec import PatchEncoder, channel_noise_scale

GENERATED_SHARE, NOISY_SHARE = 0.6, 0.2
"""Shares of blocks whose latents were generated, and encoded with noise; the others are encoded without noise."""
MOST_NOISE = 0.8
"""Largest standard deviation of the noise of the faintest channel."""
SUBJECT_ROWS, SUBJECT_COLUMNS, SUBJECT_WEIGHT = slice(30, 96), slice(52, 108), 2.0
"""Pixels around the subject, and their loss weight."""
SQUARED_WEIGHT, GRADIENT_WEIGHT, CHROMA_WEIGHT = 10.0, 0.5, 0.5
"""Loss weights of the squared error, of the error in differences of neighbours, and of that in fine chroma."""


@dataclass(frozen=True)
class Options:
    """Settings of the decoder's training.

    Attributes:
        rollouts: Folder of the recorded rollouts.
        codec: Run folder or world folder that holds the encoder.
        folder: Folder of the run.
        initial: World folder, or run folder of a decoder, whose (averaged) weights initialise this one.
        iterations: Length of the run.
        minutes: Time limit of this process; the next one resumes the run.
        batch: Blocks per iteration and process.
        lr: Peak learning rate.
        seed: Seed of blocks and noise.
        device: Device to train on; None means the GPU if there is one.
    """

    rollouts: Path = Path("runs/rollouts")
    codec: Path = Path("runs/codec")
    folder: Path = Path("runs/decoder")
    initial: Path | None = None
    iterations: int = 12_000
    minutes: float = 1e9
    batch: int = 4
    lr: float = 2e-3
    seed: int = 1
    device: str | None = None


@dataclass(frozen=True)
class Batch:
    """Blocks to decode.

    Attributes:
        latents: Latents, b f c h w.
        previous: The latent frame before each of them, b f c h w.
        video: Frames that they should give, b t H W 3 in [0, 1].
        weights: 1 for frames that count and 0 for the copies before a first block, b t 1 1 1.
    """

    latents: Tensor
    previous: Tensor
    video: Tensor
    weights: Tensor


def main(options: Options) -> None:
    """Train until the iterations or the minutes are over."""
    start_processes()
    torch.manual_seed(options.seed)
    device = training_device(options.device)
    encoder = load_encoder(options.codec)
    model, average = (make_decoder(encoder, options.initial).to(device) for _ in range(2))
    optimizers = make_optimizers(model, options.lr)
    run = Run(options.folder, {"model": model, "average": average}, optimizers, options.iterations, options.minutes)
    recorded = RecordedRollouts(options.rollouts)
    for iteration in run:
        rng = np.random.default_rng([options.seed, iteration, rank()])
        batch = draw_batch(recorded, encoder, rng, options.batch, device)
        model.zero_grad(set_to_none=True)
        with autocast(device):
            video = model(batch.latents, batch.previous)
        losses = decoder_losses(video, batch)
        sum(losses.values(), torch.zeros((), device=device)).backward()
        update(model, optimizers)
        update_average(average, model, iteration)
        run.log({name: loss.item() for name, loss in losses.items()}, every=50)


def make_decoder(encoder: PatchEncoder, initial: Path | None = None) -> ConvDecoder:
    """Make a decoder that inverts an encoder, or one with the weights of a world folder or a run."""
    config = ConvDecoderConfig(encoder.config.latent_channels, encoder.config.side)
    decoder = ConvDecoder(config)
    decoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if initial is None:
        decoder.invert(encoder)
    elif (initial / CARD).exists():
        initialised = load_world(initial, LoadOptions(device="cpu", dtype="float32")).decoder
        assert isinstance(initialised, ConvDecoder)
        decoder.load_state_dict(initialised.state_dict())
    else:
        decoder.load_state_dict(load_average(initial))
    return decoder


def make_optimizers(model: ConvDecoder, lr: float) -> list[torch.optim.Optimizer]:
    """Make Muon for the kernels of the network, AdamW for its linear part and all other parameters."""
    kernels = [p for name, p in model.named_parameters() if p.ndim == 4 and name not in ("pixels.weight", "place")]
    chosen = {id(p) for p in kernels}
    others = [p for p in model.parameters() if id(p) not in chosen]
    return [Muon(kernels, lr, weight_decay=0.01), torch.optim.AdamW(others, lr=lr, betas=(0.9, 0.98), weight_decay=0.0)]


def draw_batch(
    recorded: RecordedRollouts, encoder: PatchEncoder, rng: np.random.Generator, count: int, device: torch.device
) -> Batch:
    """Draw blocks, and replace the generated latents of some by encoded frames."""
    blocks = [recorded.sample(rng) for _ in range(count)]
    latents, previous = zip(*(_draw_latents(block, encoder, rng) for block in blocks), strict=True)
    here, before = torch.stack(latents), torch.stack(previous)
    weights = torch.ones(count, blocks[0].frames.shape[0], 1, 1, 1)
    for row, block in enumerate(blocks):
        weights[row, : FIRST_LATENT_PADDING * (block.frames_before is None)] = 0
    video = torch.stack([block.frames for block in blocks]).float() / 255
    tensors = here, torch.cat((before[:, None], here[:, :-1]), 1), video, weights
    return Batch(*(tensor.to(device) for tensor in tensors))


@torch.no_grad()
def _draw_latents(block: RecordedBlock, encoder: PatchEncoder, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return latents, f c h w, and the latent frame before them, c h w."""
    draw = rng.random()
    if draw < GENERATED_SHARE:
        return block.latents, block.previous
    frames = block.frames if block.frames_before is None else torch.cat((block.frames_before, block.frames))
    latents = encoder.encode_whole(as_video(frames))[0]
    if draw < GENERATED_SHARE + NOISY_SHARE:
        noise = torch.from_numpy(rng.standard_normal(latents.shape, np.float32))
        latents = (
            latents + float(rng.uniform(0, MOST_NOISE)) * channel_noise_scale(encoder.variances)[:, None, None] * noise
        )
    return (latents, block.previous) if block.frames_before is None else (latents[1:], latents[0])


def decoder_losses(video: Tensor, batch: Batch) -> dict[str, Tensor]:
    """Return the parts of the loss, weighted: absolute and squared error, sharp edges, and fine chroma.

    Args:
        video: Decoded video, b t H W 3.
        batch: What it should be.
    """
    pixels = video.new_ones(video.shape[2:4])
    pixels[SUBJECT_ROWS, SUBJECT_COLUMNS] = SUBJECT_WEIGHT
    pixels = (pixels / pixels.mean())[..., None]
    error = (video - batch.video) * batch.weights
    edges = error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean()
    return {
        "absolute": ((error.square() + 1e-6).sqrt() * pixels).mean(),
        "squared": SQUARED_WEIGHT * (error.square() * pixels).mean(),
        "edges": GRADIENT_WEIGHT * edges,
        "chroma": CHROMA_WEIGHT * fine_chroma(error.flatten(0, 1)).mean(),
    }


def load_decoder(folder: Path, encoder: PatchEncoder) -> ConvDecoder:
    """Return the decoder of a run, with its averaged weights."""
    return make_decoder(encoder, folder).eval().requires_grad_(False)


if __name__ == "__main__":
    main(run_program(Options, description=__doc__))
