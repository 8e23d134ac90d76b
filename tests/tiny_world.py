"""A world folder small enough for tests that run in milliseconds: real code, random weights."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from infrope_env.config import ModelConfig, Sampler
from infrope_env.control.actions import ActionSet
from infrope_env.dynamics.transformer import CausalWanTransformer
from infrope_env.models.world_folder import save_world
from infrope_env.pixels.taehv import TAEHV, TAEHVConfig
from infrope_env.text.encoder import PocketTextConfig, PocketTextEncoder

TINY_MODEL = ModelConfig(
    dim=48, ffn_dim=96, num_heads=4, num_layers=2, latent_size=(4, 6), freq_dim=32, text_dim=16, text_len=24
)
TINY_TEXT = PocketTextConfig(dim=16, num_layers=1, num_heads=2, text_len=24, text_dim=16)
TINY_DECODER = TAEHVConfig(encoder_width=4, decoder_widths=(16, 8, 8, 8), space_upscale=(True, False, False), patch=4)


def tiny_world(
    folder: Path,
    seed: int = 0,
    latent_size: tuple[int, int] = (4, 6),
    num_layers: int = TINY_MODEL.num_layers,
    sampler: Sampler | None = None,
    words: Sequence[str] = (),
) -> Path:
    """Write a world folder: eight pixels per latent pixel, two layers, words of the pocket action set and `words`."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        transformer = CausalWanTransformer(replace(TINY_MODEL, latent_size=latent_size, num_layers=num_layers))
        text_encoder = PocketTextEncoder.from_words([*pocket_words(), *words], TINY_TEXT)
        decoder = TAEHV(TINY_DECODER)
        _amplify(text_encoder, transformer, decoder)
    fields = {"name": f"tiny-{seed}"} | ({} if sampler is None else {"sampler": sampler})
    return save_world(folder, transformer, text_encoder, decoder, fields)


def pocket_words() -> list[str]:
    """Return every prompt of the bundled action set."""
    actions = ActionSet.load("pocket")
    return [
        actions.prompt_for(subject, scene, motion)
        for subject in actions.subjects
        for scene in actions.scenes
        for motion in actions.motions
    ]


def _amplify(text_encoder: PocketTextEncoder, transformer: CausalWanTransformer, decoder: TAEHV) -> None:
    """Scale random weights so that prompts change pixels, and pixels are not all grey."""
    with torch.no_grad():
        text_encoder.embedding.weight.normal_(std=1.0)
        for block in transformer.blocks:
            block.cross_attn.v.weight.mul_(8)  # type: ignore[union-attr, operator]
            block.cross_attn.o.weight.mul_(8)  # type: ignore[union-attr, operator]
        last = decoder.decoder[-1]
        last.weight.mul_(64)  # type: ignore[union-attr, operator]
        last.bias.fill_(0.5)  # type: ignore[union-attr, operator]
