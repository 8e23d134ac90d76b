"""The pocket world's generator with its text encoder: their sizes, first weights and optimizers. Knows no clips."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from examples.pocket_world.train.run import Muon, average_gradients
from examples.pocket_world.world.captions import VOCABULARY
from infrope_env.config import ModelConfig
from infrope_env.dynamics.transformer import CausalWanTransformer, TextKV
from infrope_env.text.encoder import PocketTextConfig, PocketTextEncoder

POCKET_MODEL = ModelConfig(
    dim=384,
    ffn_dim=1024,
    num_heads=6,
    num_layers=6,
    latent_size=(12, 20),
    latent_channels=144,
    text_dim=192,
    text_len=24,
    prediction="clean",
    learned_grid=True,
)
POCKET_TEXT = PocketTextConfig(dim=192, num_layers=2, num_heads=4, text_len=24, text_dim=192)
EMA_DECAY = 0.99
SUBJECT_COLUMNS, SUBJECT_WEIGHT = slice(7, 13), 0.75
"""Latent columns where the subject stands, and how much their error counts: poses are soon known by heart."""
GROUND_ROWS, GROUND_WEIGHT = slice(10, 12), 4.0
"""Latent rows of the ground, whose colour tells the place, and how much more their error counts: it is faint."""
MOVING_WEIGHT, MOVING = 3.0, 0.2
"""How much more the error counts where something moves, and what change from frame to frame counts half as much."""


def model_of(width: int) -> ModelConfig:
    """The pocket model with so many channels and, in proportion, heads and hidden units: a narrower one learns faster.

    Raises:
        ValueError: where that is no whole number of heads.
    """
    heads, rest = divmod(width, POCKET_MODEL.head_dim)
    if heads < 1 or rest:
        raise ValueError(f"expected a width that is a multiple of {POCKET_MODEL.head_dim}, got {width}")
    hidden = POCKET_MODEL.ffn_dim * width // POCKET_MODEL.dim
    return replace(POCKET_MODEL, dim=width, ffn_dim=hidden, num_heads=heads)


class PocketGenerator(nn.Module):
    """Generator and text encoder, trained together; `width` is the generator's, see `model_of`."""

    def __init__(self, width: int = POCKET_MODEL.dim) -> None:
        super().__init__()
        self.transformer = CausalWanTransformer(model_of(width))
        self.text = PocketTextEncoder.from_words(VOCABULARY, POCKET_TEXT)
        for module in self.transformer.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        nn.init.zeros_(self.transformer.head.head.weight)

    @classmethod
    def of(cls, weights: dict[str, Tensor]) -> PocketGenerator:
        """As wide as these weights, with them."""
        model = cls(weights["transformer.head.modulation"].shape[-1])
        model.load_state_dict(weights)
        return model

    def read(self, captions: list[str]) -> TextKV:
        """Cross-attention keys and values of captions; equal ones are encoded once."""
        texts = list(dict.fromkeys(captions))
        ids, lengths = self.text.tokenize(texts)
        memory = self.transformer.project_text(self.text.encode_ids(ids, lengths))
        rows = torch.tensor([texts.index(caption) for caption in captions], device=ids.device)
        return [(key[rows], value[rows]) for key, value in memory]


@dataclass(frozen=True)
class ErrorWeights:
    """How much every latent channel and place of the picture counts in a loss.

    A channel counts as the square root of its variance in the picture: by the variance itself the faint channels,
    which hold what is sharp, would not be learnt; as equals, they would outvote what everyone sees first.
    """

    channels: Tensor
    places: Tensor

    @classmethod
    def of(cls, variances: Tensor, device: torch.device) -> ErrorWeights:
        """Channels, and places h w, normalised to 1 on average."""
        channels = variances.sqrt()
        places = torch.ones(POCKET_MODEL.latent_size)
        places[:, SUBJECT_COLUMNS] = SUBJECT_WEIGHT
        places[GROUND_ROWS] *= GROUND_WEIGHT
        return cls((channels / channels.mean()).to(device), (places / places.mean()).to(device))

    def error(self, prediction: Tensor, target: Tensor, block_weight: Tensor) -> Tensor:
        """Mean squared error over N f c h w; some blocks count less, or not at all."""
        error = (prediction.float() - target).square() * self.places * self.channels[:, None, None]
        error = error * (1 + MOVING_WEIGHT * self.moving(target))
        return (error.flatten(1).mean(1) * block_weight).sum() / block_weight.sum().clamp(min=1)

    def moving(self, target: Tensor) -> Tensor:
        """How much of N f c h w moves, N f 1 h w from 0 to 1: what stays is soon known by heart."""
        change = (target.diff(dim=1).square() * self.channels[:, None, None]).mean(2, keepdim=True)
        change = torch.cat((change[:, :1], change), 1)
        return change / (change + MOVING)


def make_optimizers(model: PocketGenerator, lr: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the transformer's blocks and of the text's way to them, AdamW for everything else."""
    parts = (model.transformer.blocks, model.transformer.text_embedding, model.text.layers, model.text.head)
    matrices = [p for part in parts for p in part.parameters() if p.ndim == 2]
    chosen = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in chosen]
    muon = Muon(matrices, lr, weight_decay=0.01)
    return [muon, torch.optim.AdamW(others, lr=lr, betas=(0.9, 0.98), weight_decay=0.01)]


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


def load_average(folder: Path) -> dict[str, Tensor]:
    """The averaged weights of a run."""
    return torch.load(folder / "checkpoint.pt", weights_only=True, map_location="cpu")["average"]
