"""A network may predict clean latents in place of the velocity, and have a learned vector per patch position."""

from dataclasses import replace

import pytest
import torch

from infrope_env.config import ModelConfig, Window
from infrope_env.control.actions import Transition
from infrope_env.dynamics.rollout import Rollout
from infrope_env.dynamics.schedule import add_noise, clean_estimate
from infrope_env.dynamics.transformer import CausalWanTransformer

SMALL = ModelConfig(
    dim=24, ffn_dim=48, num_heads=2, num_layers=2, latent_size=(4, 6), latent_channels=4, freq_dim=16, text_dim=8
)


def network(config: ModelConfig) -> CausalWanTransformer:
    torch.manual_seed(0)
    return CausalWanTransformer(config).eval()


def first_block(model: CausalWanTransformer) -> torch.Tensor:
    rollout = Rollout(model, Window())
    rollout.reset(seed=3)
    return rollout.advance(torch.zeros(1, model.config.text_len, model.config.text_dim), Transition.START).latents


def test_both_predictions_give_the_same_clean_estimate() -> None:
    clean, noise = torch.randn(2, 1, 3, 4, 4, 6)
    noisy = add_noise(clean, noise, 0.8)
    assert torch.allclose(clean_estimate("velocity", noise - clean, noisy, 0.8), clean, atol=1e-6)
    assert torch.equal(clean_estimate("clean", clean, noisy, 0.8), clean)


def test_a_rollout_interprets_the_output_by_its_models_prediction() -> None:
    velocity, clean = network(SMALL), network(replace(SMALL, prediction="clean"))
    with torch.no_grad():
        for model in (velocity, clean):
            model.head.head.weight.zero_()
            model.head.head.bias.fill_(0.25)
    assert torch.equal(first_block(clean), torch.full((1, 3, 4, 4, 6), 0.25))
    assert first_block(velocity).std() > 0.1


def test_a_learned_grid_distinguishes_equal_patches_and_is_the_same_in_every_frame() -> None:
    latents = torch.ones(1, 3, 4, 4, 6)
    plain, placed = (network(replace(SMALL, learned_grid=grid)).patchify(latents) for grid in (False, True))
    assert torch.allclose(plain, plain[:, :1].expand_as(plain))
    frames = placed.unflatten(1, (3, -1))
    assert torch.equal(frames[:, 0], frames[:, 2])
    assert (frames[0, 0, 0] - frames[0, 0, 1]).abs().max() > 1e-3


def test_only_a_network_with_a_learned_grid_has_its_parameter() -> None:
    names = {grid: set(network(replace(SMALL, learned_grid=grid)).state_dict()) for grid in (False, True)}
    assert names[True] - names[False] == {"grid"}


def test_an_unknown_prediction_is_refused() -> None:
    with pytest.raises(ValueError, match="velocity, clean, got 'noise'"):
        replace(SMALL, prediction="noise")  # type: ignore[arg-type]


def test_patches_need_not_be_square() -> None:
    """With patches of two latent rows and one column, scrolling by a column moves whole patches."""
    config = replace(SMALL, patch=(2, 1))
    model = CausalWanTransformer(config)
    latents = torch.randn(1, 3, config.latent_channels, *config.latent_size)
    moved = torch.roll(latents, 1, dims=-1)
    shape = (1, 3, config.rows, config.cols, config.dim)
    tokens, after = (model.patchify(one).view(shape) for one in (latents, moved))
    assert torch.allclose(torch.roll(tokens, 1, dims=3), after, atol=1e-6)
    values = torch.randn(1, 3 * config.tokens_per_frame, config.patch_values)
    assert model.unpatchify(values).shape == latents.shape
    assert model.head.head.out_features == config.patch_values
