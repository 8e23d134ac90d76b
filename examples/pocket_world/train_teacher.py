"""Train the pocket world's generator and text encoder by flow matching with teacher forcing on encoded clips.

python -m examples.pocket_world.train_teacher --folder runs/teacher       (resumes from its checkpoint)
torchrun --nproc-per-node 2 -m examples.pocket_world.train_teacher ...    (two processes of one thread each)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from einops import rearrange
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from examples.pocket_world.captions import VOCABULARY
from examples.pocket_world.encode import Clips, load_clips
from examples.pocket_world.forcing import ForcedWindow, LookbackMaker, RolloutWindow
from examples.pocket_world.training import Run, average_gradients, rank, start_processes
from infrope_env.config import ModelConfig, Sampler, Window
from infrope_env.control.actions import Transition
from infrope_env.control.text_encoder import PocketTextConfig, PocketTextEncoder
from infrope_env.dynamics.rope import RotaryTable
from infrope_env.dynamics.schedule import Schedule, add_noise, shift_timesteps
from infrope_env.dynamics.transformer import CausalWanTransformer

POCKET_MODEL = ModelConfig(
    dim=192,
    ffn_dim=768,
    num_heads=3,
    num_layers=6,
    latent_size=(12, 20),
    latent_channels=24,
    text_dim=192,
    text_len=24,
)
POCKET_TEXT = PocketTextConfig(dim=192, num_layers=2, num_heads=4, text_len=24, text_dim=192)
EMA_DECAY = 0.998
SOILED = 1.2
"""Most noise, in deviations of a latent, that the context gets in training."""
SUBJECT_COLUMNS, SUBJECT_WEIGHT = slice(7, 13), 4.0
"""Latent columns where the subject stands, and how much more their error counts."""


@dataclass(frozen=True)
class Options:
    """Settings of the run.

    Attributes:
        initial: run folder whose model to begin with, in a new run.
        first_blocks: extra first blocks in every batch. A token of pure noise that sees no context can tell where it
            stands only by what it misses beyond the border, and that takes long to learn.
        at_steps: share of blocks noised to one of the sampler's own levels; the rest is spread over all levels.
    """

    clips: Path = Path("runs/clips")
    folder: Path = Path("runs/teacher")
    initial: Path | None = None
    iterations: int = 2500
    minutes: float = 1e9
    batch: int = 2
    lr: float = 2e-3
    first_blocks: int = 8
    at_steps: float = 0.85
    seed: int = 0


class PocketGenerator(nn.Module):
    """Generator and text encoder, trained together."""

    def __init__(self) -> None:
        super().__init__()
        self.transformer = CausalWanTransformer(POCKET_MODEL)
        self.text = PocketTextEncoder.from_words(VOCABULARY, POCKET_TEXT)
        for module in self.transformer.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        nn.init.zeros_(self.transformer.head.head.weight)

    def velocities(
        self, clean: Tensor, noisy: Tensor, timesteps: Tensor, captions: list[str], window: ForcedWindow
    ) -> Tensor:
        """Velocity of noisy blocks N f c h w at timesteps (N,), each looking back at clean ones."""
        ids, lengths = self.text.tokenize(captions)
        memory = self.transformer.project_text(self.text.encode_ids(ids, lengths))
        doubled = [(torch.cat((key, key)), torch.cat((value, value))) for key, value in memory]
        time = self.transformer.modulate(torch.cat((torch.zeros_like(timesteps), timesteps)))
        windows = [window] * len(doubled)
        return self.transformer(torch.cat((clean, noisy)), time, doubled, windows)[len(clean) :]


def main(options: Options) -> None:
    """Train until the iterations are done or the minutes are over."""
    start_processes()
    torch.manual_seed(options.seed)
    model, average = PocketGenerator(), PocketGenerator().requires_grad_(False)
    if options.initial is not None:
        model.load_state_dict(torch.load(options.initial / "checkpoint.pt", weights_only=True)["model"])
    average.load_state_dict(model.state_dict())
    optimizers = make_optimizers(model, options.lr)
    run = Run(options.folder, {"model": model, "average": average}, optimizers, options.iterations, options.minutes)
    clips = load_clips(options.clips)
    table = RotaryTable(POCKET_MODEL.head_dim, POCKET_MODEL.rows, POCKET_MODEL.cols)
    look_back = LookbackMaker(table, POCKET_MODEL.tokens_per_frame)
    for iteration in run:
        rng = np.random.default_rng([options.seed, iteration, rank()])
        loss = forced_loss(model, clips, look_back, rng, options.batch, options.at_steps)
        first = first_block_loss(model, clips, look_back, rng, options.first_blocks)
        step(model, optimizers, loss + 0.5 * first)
        update_average(average, model, iteration)
        run.log(loss=loss.item(), first=first.item())


def forced_loss(
    model: PocketGenerator,
    clips: Clips,
    look_back: LookbackMaker,
    rng: np.random.Generator,
    batch: int,
    at_steps: float,
) -> Tensor:
    """Flow matching loss of one batch of clips."""
    chosen = rng.choice(len(clips.latents), batch, replace=False)
    transitions = [clips.transitions[i] for i in chosen]
    clean = rearrange(clips.latents[torch.from_numpy(chosen)].float(), "b (k f) c h w -> (b k) f c h w", f=3)
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    noise = torch.randn(clean.shape, generator=generator)
    sigmas = sample_sigmas(rng, len(clean), at_steps)
    noisy = add_noise(clean, noise, sigmas[:, None, None, None, None])
    captions = [caption for i in chosen for caption in clips.captions[i]]
    window = ForcedWindow(look_back(transitions, [sample_window(rng) for _ in transitions]), batch)
    with torch.autocast("cpu", torch.bfloat16), sdpa_kernel(SDPBackend.MATH):  # for few text keys the fastest here
        velocity = model.velocities(soil(rng, clean, generator), noisy, sigmas * 1000, captions, window)
    counts = block_weights(transitions, [clips.far[i] for i in chosen])
    return weighted_error(velocity.float(), noise - clean, counts)


def first_block_loss(
    model: PocketGenerator, clips: Clips, look_back: LookbackMaker, rng: np.random.Generator, count: int
) -> Tensor:
    """Flow matching loss of first blocks alone, at the sampler's own noise levels."""
    chosen = rng.choice(len(clips.latents), count, replace=False)
    clean = clips.latents[torch.from_numpy(chosen), :3].float()
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(int(rng.integers(2**62))))
    sigmas = sample_sigmas(rng, count, at_steps=1.0)
    noisy = add_noise(clean, noise, sigmas[:, None, None, None, None])
    windows = [RolloutWindow() for _ in model.transformer.blocks]
    for window in windows:
        window.lookback = look_back([[Transition.START]] * count, [Window()] * count)
    with torch.autocast("cpu", torch.bfloat16), sdpa_kernel(SDPBackend.MATH):
        ids, lengths = model.text.tokenize([clips.captions[i][0] for i in chosen])
        text = model.transformer.project_text(model.text.encode_ids(ids, lengths))
        velocity = model.transformer(noisy, model.transformer.modulate(sigmas * 1000), text, windows)
    return weighted_error(velocity.float(), noise - clean, torch.ones(count))


def soil(rng: np.random.Generator, clean: Tensor, generator: torch.Generator) -> Tensor:
    """Context as play leaves it: each block N f c h w with mistakes of its own strength.

    Looking back at flawless frames only, the generator copies small mistakes and adds to them, block after block;
    shown soiled ones beside clean targets, it learns to mend them.
    """
    strength = SOILED * torch.from_numpy(rng.random(len(clean)) ** 2).float()
    return clean + strength[:, None, None, None, None] * torch.randn(clean.shape, generator=generator)


def weighted_error(prediction: Tensor, target: Tensor, block_weight: Tensor) -> Tensor:
    """Mean squared error over N f c h w; the subject's columns count more, some blocks not at all."""
    error = (prediction - target).square()
    weight = torch.ones(error.shape[-1])
    weight[SUBJECT_COLUMNS] = SUBJECT_WEIGHT
    per_block = (error * weight / weight.mean()).flatten(1).mean(1)
    return (per_block * block_weight).sum() / block_weight.sum()


def block_weights(transitions: Sequence[Sequence[Transition]], far: Sequence[bool]) -> Tensor:
    """1 for every block but the one after unseen time has passed: nothing could foretell it."""
    weights = torch.ones(len(transitions), len(transitions[0]))
    weights[[clip for clip, moved in enumerate(far) if moved], 1] = 0
    return weights.flatten()


def sample_sigmas(rng: np.random.Generator, count: int, at_steps: float) -> Tensor:
    """Noise levels: a share at the sampler's own four, the rest spread as its shift spreads them."""
    own = rng.choice(Schedule.of(Sampler()).sigmas, count)
    spread = shift_timesteps(torch.from_numpy(rng.random(count)), Sampler().shift).numpy() / 1000
    return torch.from_numpy(np.where(rng.random(count) < at_steps, own, spread)).float()


def sample_window(rng: np.random.Generator) -> Window:
    """Mostly the window of play; sometimes a flush keeps two frames or the cut lands elsewhere, so that both hold."""
    flush_context = 2 if rng.random() < 0.2 else 1
    cut_coordinate = int(rng.integers(20, 80)) if rng.random() < 0.3 else 45
    return Window(flush_context=flush_context, cut_coordinate=cut_coordinate)


def make_optimizers(model: PocketGenerator, lr: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the transformer's blocks and of the text's way to them, AdamW for everything else."""
    parts = (model.transformer.blocks, model.transformer.text_embedding, model.text.layers, model.text.head)
    matrices = [p for part in parts for p in part.parameters() if p.ndim == 2]
    chosen = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in chosen]
    muon = torch.optim.Muon(matrices, lr=lr, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
    return [muon, torch.optim.AdamW(others, lr=lr, betas=(0.9, 0.98), weight_decay=0.01)]


def step(model: nn.Module, optimizers: list[torch.optim.Optimizer], loss: Tensor) -> None:
    """Backward, then update."""
    model.zero_grad(set_to_none=True)
    loss.backward()
    update(model, optimizers)


def update(model: nn.Module, optimizers: list[torch.optim.Optimizer]) -> None:
    """Average the gradients over processes, clip them, move the weights."""
    parameters = [p for p in model.parameters() if p.grad is not None]
    average_gradients(parameters)
    nn.utils.clip_grad_norm_(parameters, 1.0)
    for optimizer in optimizers:
        optimizer.step()


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, iteration: int) -> None:
    """Exponential moving average of the weights, faster at first."""
    decay = min(EMA_DECAY, (1 + iteration) / (10 + iteration))
    for kept, current in zip(average.parameters(), model.parameters(), strict=True):
        kept.lerp_(current, 1 - decay)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
