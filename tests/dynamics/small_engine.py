"""An engine small enough that a block takes milliseconds, with prompts and a player for the tests."""

import torch
from torch import Tensor

from infrope_env.config import ModelConfig
from infrope_env.control.actions import Transition
from infrope_env.dynamics.rollout import Rollout
from infrope_env.dynamics.transformer import CausalWanTransformer

START, CONTINUE, SWITCH, CUT = Transition
SMALL_MODEL = ModelConfig(
    dim=48, ffn_dim=96, num_heads=4, num_layers=2, latent_size=(4, 6), freq_dim=32, text_dim=16, text_len=8
)


def small_model(dtype: torch.dtype = torch.float32, seed: int = 0) -> CausalWanTransformer:
    """Return a network with random weights, scaled so that text and attention change the output."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = CausalWanTransformer(SMALL_MODEL)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name.endswith(("v.weight", "o.weight", "q.weight", "k.weight")):
                    parameter.mul_(3)
    return model.to(dtype).eval().requires_grad_(False)


def prompt(seed: int, batch: int = 1) -> Tensor:
    """Return a random embedding, b text_len text_dim."""
    return torch.randn(batch, SMALL_MODEL.text_len, SMALL_MODEL.text_dim, generator=torch.Generator().manual_seed(seed))


def play(rollout: Rollout, transitions: list[Transition], first_prompt: int = 0) -> Tensor:
    """Advance by one block per transition, with another prompt at every SWITCH and CUT; return latents b f c h w."""
    blocks, index = [], first_prompt
    embedding = prompt(index)
    for transition in transitions:
        if transition in (SWITCH, CUT):
            index += 1
            embedding = prompt(index)
        blocks.append(rollout.advance(embedding, transition).latents)
    return torch.cat(blocks, dim=1)
