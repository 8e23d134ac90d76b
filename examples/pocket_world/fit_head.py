"""Solve for the generator's output layer by least squares, everything before it as it is: what training leaves noisy.

Gradient steps keep shaking the output layer, and it shows as specks of colour. What it should be, given what the layers
before it hand over, is a linear problem with one answer.

python -m examples.pocket_world.fit_head --run runs/student    (writes the averaged weights of the run anew)
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from einops import rearrange
from torch import Tensor, nn

from examples.pocket_world.encode import Clips, load_clips
from examples.pocket_world.generator import POCKET_MODEL, ErrorWeights, PocketGenerator
from examples.pocket_world.train_codec import load_codec
from examples.pocket_world.train_teacher import Forcing
from examples.pocket_world.training import place, start_processes


@dataclass(frozen=True)
class Options:
    """Settings.

    Attributes:
        run: run folder of a teacher or a student.
        batches: of two clips each, that the layer is solved for on.
        hold: how strongly the layer is held to what it was, as a share of the mean energy of its input.
        device: where to compute; None takes the GPU where there is one.
    """

    run: Path = Path("runs/student")
    clips: Path = Path("runs/clips")
    codec: Path = Path("runs/codec")
    batches: int = 60
    hold: float = 1e-3
    seed: int = 7
    device: str | None = None


class Normal:
    """The normal equations of a linear layer with bias, summed up batch by batch."""

    def __init__(self, layer: nn.Linear) -> None:
        self.layer = layer
        size = layer.in_features + 1
        self.inputs = torch.zeros(size, size, dtype=torch.float64)
        self.products = torch.zeros(size, layer.out_features, dtype=torch.float64)

    def add(self, inputs: Tensor, targets: Tensor, weight: Tensor) -> None:
        """Rows of inputs n in and targets n out, each with its weight n."""
        rows = torch.cat((inputs, torch.ones_like(inputs[:, :1])), 1)
        weighted = rows * weight[:, None]
        self.inputs += (weighted.T @ rows).double().cpu()
        self.products += (weighted.T @ targets).double().cpu()

    def solve(self, hold: float) -> None:
        """Give the layer its best weights, held a little to those it has."""
        before = torch.cat((self.layer.weight.T, self.layer.bias[None])).double().cpu()
        pull = hold * self.inputs.diagonal().mean()
        left = self.inputs + pull * torch.eye(len(self.inputs), dtype=torch.float64)
        solution = torch.linalg.solve(left, self.products + pull * before).float()
        self.layer.weight.copy_(solution[:-1].T)
        self.layer.bias.copy_(solution[-1])


@torch.no_grad()
def main(options: Options) -> None:
    """Solve, and say what it changed on other batches."""
    start_processes()
    device = place(options.device)
    path = options.run / "checkpoint.pt"
    checkpoint = torch.load(path, weights_only=True, map_location="cpu")
    model = PocketGenerator().to(device)
    model.load_state_dict(checkpoint["average"])
    clips = load_clips(options.clips)
    forcing = Forcing.on(device, ErrorWeights.of(load_codec(options.codec).encoder.variances, device))
    before = mean_error(model, clips, forcing, options.seed)
    normal = Normal(model.transformer.head.head)
    for batch in range(options.batches):
        add_batch(normal, model, clips, forcing, np.random.default_rng([options.seed, batch]))
    normal.solve(options.hold)
    print(f"error {before:.4f} -> {mean_error(model, clips, forcing, options.seed):.4f}")
    checkpoint["average"] = model.cpu().state_dict()
    partial = path.with_suffix(".partial")
    torch.save(checkpoint, partial)
    os.replace(partial, path)


def add_batch(normal: Normal, model: PocketGenerator, clips: Clips, forcing: Forcing, rng: np.random.Generator) -> None:
    """What the layer is given for noisy blocks, and the clean patches that it should make of it."""
    seen: list[Tensor] = []
    hook = normal.layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    batch = forcing.prepare(clips, rng, count=2)
    forcing.estimates(model, batch, at_steps=1.0)
    hook.remove()
    noisy = seen[0][len(batch.clean) :]  # (2 N) n dim
    p = POCKET_MODEL.patch
    patches = rearrange(batch.clean, "b f c (r p) (k q) -> b (f r k) (p q c)", p=p, q=p).repeat(2, 1, 1)
    weight = batch.importance.repeat(2)[:, None].expand(-1, noisy.shape[1])
    normal.add(noisy.flatten(0, 1).float(), patches.flatten(0, 1), weight.flatten())


def mean_error(model: PocketGenerator, clips: Clips, forcing: Forcing, seed: int) -> float:
    """Of ten batches."""
    losses = [
        sum(forcing.losses(model, clips, np.random.default_rng([seed, 10**6 + n]), 2, 1.0).values()) for n in range(10)
    ]
    return float(torch.stack([torch.as_tensor(loss) for loss in losses]).mean()) / 2


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
