"""The pocket world's generator and text encoder: sizes, initialisation, loss weights and optimizers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from examples.pocket_world.train.run import Muon, average_gradients
from examples.pocket_world.world.captions import ARRANGEMENT_WORDS, VOCABULARY
from infrope_env.config import ModelConfig
from infrope_env.dynamics.transformer import CausalWanTransformer, TextKV
from infrope_env.models.options import LoadOptions
from infrope_env.models.world_folder import CARD, load_world
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
EMBEDDING = "embedding.weight"
"""Name of the text encoder's word embedding."""
EMA_DECAY = 0.99
SUBJECT_COLUMNS, SUBJECT_WEIGHT = slice(7, 13), 0.75
"""Latent columns of the subject, and their loss weight: few poses exist, and they are learnt early."""
GROUND_ROWS, GROUND_WEIGHT = slice(10, 12), 4.0
"""Latent rows of the ground, and their loss weight: its faint colour identifies the position along the walk."""
MOTION_WEIGHT, MOTION_THRESHOLD = 3.0, 0.2
"""Additional loss weight of moving latent pixels, and the squared change between latent frames that gets half of it."""


def generator_config(width: int) -> ModelConfig:
    """Return the pocket model's config at another width, with heads and hidden units in proportion.

    Raises:
        ValueError: The width is no multiple of the head width.
    """
    heads, rest = divmod(width, POCKET_MODEL.head_dim)
    if heads < 1 or rest:
        raise ValueError(f"expected a width that is a multiple of {POCKET_MODEL.head_dim}, got {width}")
    hidden = POCKET_MODEL.ffn_dim * width // POCKET_MODEL.dim
    return replace(POCKET_MODEL, dim=width, ffn_dim=hidden, num_heads=heads)


class PocketGenerator(nn.Module):
    """Generator and text encoder, trained together.

    Args:
        width: Width of the generator, see `generator_config`.
        arrangements: Whether the vocabulary has the words of arrangements.
    """

    def __init__(self, width: int = POCKET_MODEL.dim, arrangements: bool = False) -> None:
        super().__init__()
        self.transformer = CausalWanTransformer(generator_config(width))
        words = (*VOCABULARY, *ARRANGEMENT_WORDS) if arrangements else VOCABULARY
        self.text = PocketTextEncoder.from_words(words, POCKET_TEXT)
        for module in self.transformer.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        nn.init.zeros_(self.transformer.head.head.weight)

    @classmethod
    def from_weights(cls, weights: dict[str, Tensor]) -> PocketGenerator:
        """Make a generator with the width and the vocabulary of its weights, and load them."""
        width = weights["transformer.head.modulation"].shape[-1]
        model = cls(width)
        if len(weights[f"text.{EMBEDDING}"]) != model.text.tokenizer.get_vocab_size():
            model = cls(width, arrangements=True)
        model.load_state_dict(weights)
        return model

    def text_kv(self, captions: list[str]) -> TextKV:
        """Return the cross-attention keys and values of captions; equal captions are encoded once."""
        texts = list(dict.fromkeys(captions))
        ids, lengths = self.text.tokenize(texts)
        layers = self.transformer.project_text(self.text.encode_ids(ids, lengths))
        rows = torch.tensor([texts.index(caption) for caption in captions], device=ids.device)
        return [(key[rows], value[rows]) for key, value in layers]


@dataclass(frozen=True)
class LossWeights:
    """Loss weights of latent channels and latent pixels.

    A channel is weighted by the standard deviation of its contribution to the picture. Weighted by the variance, faint
    channels, which carry fine detail, are not learnt; weighted equally, they dominate the loss.

    Attributes:
        channels: Weight of every channel, c, mean 1.
        pixels: Weight of every latent pixel, h w, mean 1.
    """

    channels: Tensor
    pixels: Tensor

    @classmethod
    def of(cls, variances: Tensor, device: torch.device) -> LossWeights:
        """Derive the weights from the channels' variances in the picture, c."""
        channels = variances.sqrt()
        pixels = torch.ones(POCKET_MODEL.latent_size)
        pixels[:, SUBJECT_COLUMNS] = SUBJECT_WEIGHT
        pixels[GROUND_ROWS] *= GROUND_WEIGHT
        return cls((channels / channels.mean()).to(device), (pixels / pixels.mean()).to(device))

    def error(self, prediction: Tensor, target: Tensor, block_weights: Tensor) -> Tensor:
        """Return the weighted mean squared error.

        Args:
            prediction: Clean estimates, N f c h w.
            target: Clean latents, N f c h w.
            block_weights: Weight of every block, N; 0 leaves a block out.
        """
        error = (prediction.float() - target).square() * self.pixels * self.channels[:, None, None]
        error = error * (1 + MOTION_WEIGHT * self.motion(target))
        return (error.flatten(1).mean(1) * block_weights).sum() / block_weights.sum().clamp(min=1)

    def motion(self, target: Tensor) -> Tensor:
        """Return how much each latent pixel of N f c h w changes between latent frames, N f 1 h w in [0, 1]."""
        change = (target.diff(dim=1).square() * self.channels[:, None, None]).mean(2, keepdim=True)
        change = torch.cat((change[:, :1], change), 1)
        return change / (change + MOTION_THRESHOLD)


def make_optimizers(model: PocketGenerator, lr: float) -> list[torch.optim.Optimizer]:
    """Make Muon for the matrices of the transformer layers and the text encoder, AdamW for all other parameters."""
    parts = (model.transformer.blocks, model.transformer.text_embedding, model.text.layers, model.text.head)
    matrices = [p for part in parts for p in part.parameters() if p.ndim == 2]
    chosen = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in chosen]
    muon = Muon(matrices, lr, weight_decay=0.01)
    return [muon, torch.optim.AdamW(others, lr=lr, betas=(0.9, 0.98), weight_decay=0.01)]


def update(model: nn.Module, optimizers: list[torch.optim.Optimizer]) -> None:
    """Average the gradients over processes, clip their norm, and step the optimizers."""
    parameters = [p for p in model.parameters() if p.grad is not None]
    average_gradients(parameters)
    nn.utils.clip_grad_norm_(parameters, 1.0)
    for optimizer in optimizers:
        optimizer.step()


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, iteration: int) -> None:
    """Update the exponential moving average of the weights; its decay is smaller in early iterations."""
    decay = min(EMA_DECAY, (1 + iteration) / (10 + iteration))
    for averaged, current in zip(average.parameters(), model.parameters(), strict=True):
        averaged.lerp_(current, 1 - decay)


def load_average(folder: Path, arrangements: bool = False) -> dict[str, Tensor]:
    """Load the averaged weights of a run folder, or the weights of generator and text encoder of a world folder.

    `arrangements` adds the words of arrangements to the vocabulary of a world folder.
    """
    if (folder / CARD).exists():
        return world_weights(folder, arrangements)
    return torch.load(folder / "checkpoint.pt", weights_only=True, map_location="cpu")["average"]


def world_weights(folder: Path, arrangements: bool) -> dict[str, Tensor]:
    """Return the weights of a world folder's generator and text encoder, for the vocabulary of a `PocketGenerator`.

    Words that the world does not know have random rows in the word embedding.
    """
    world = load_world(folder, LoadOptions(device="cpu", dtype="float32"))
    encoder = world.text_encoder
    assert isinstance(encoder, PocketTextEncoder)
    model = PocketGenerator(world.transformer.config.dim, arrangements)
    rows, known = model.text.tokenizer.get_vocab(), encoder.tokenizer.get_vocab()
    weights = {f"transformer.{name}": weight.clone() for name, weight in world.transformer.state_dict().items()}
    weights |= {f"text.{name}": weight.clone() for name, weight in encoder.state_dict().items()}
    embedding = model.text.state_dict()[EMBEDDING].clone()
    for word, row in rows.items():
        if word in known:
            embedding[row] = weights[f"text.{EMBEDDING}"][known[word]]
    return weights | {f"text.{EMBEDDING}": embedding}
