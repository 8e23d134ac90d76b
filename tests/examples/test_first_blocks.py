"""First blocks in the loss: as in play, each by its own caption, with a gradient."""

from pathlib import Path

import numpy as np
import pytest
import torch

from examples.pocket_world.train.codec import Codec
from examples.pocket_world.train.first_blocks import FirstBlockLoss
from examples.pocket_world.train.generator import POCKET_MODEL, LossWeights, PocketGenerator, load_average
from examples.pocket_world.train.run import autocast
from examples.pocket_world.train.streams import SelfRollout
from examples.pocket_world.train.teacher_forcing import AttentionPlanner
from examples.pocket_world.world.play import is_held_out, play_start
from infrope_env.config import Window
from infrope_env.control.actions import Transition

CPU, POCKET = torch.device("cpu"), Path(__file__).parents[2] / "infrope_env/assets/pocket"
CAPTIONS = ["a red robot stands still in a snowy field", "a green frog jumps in a dark cave"]


@pytest.fixture(scope="module")
def first_block_loss() -> FirstBlockLoss:
    torch.manual_seed(0)
    weights = LossWeights.of(torch.rand(POCKET_MODEL.latent_channels), CPU)
    return FirstBlockLoss(AttentionPlanner.of_pocket(CPU), weights, Codec().encoder, arrangements=True)


@pytest.fixture
def model() -> PocketGenerator:
    return PocketGenerator.from_weights(load_average(POCKET, arrangements=True))


def test_an_estimate_is_that_of_the_first_block_of_a_rollout(
    first_block_loss: FirstBlockLoss, model: PocketGenerator
) -> None:
    rollout = SelfRollout(model, first_block_loss.planner, torch.Generator().manual_seed(3))
    noise = torch.randn(2, 3, POCKET_MODEL.latent_channels, *POCKET_MODEL.latent_size)
    estimates = first_block_loss.estimate(model, CAPTIONS, noise, torch.ones(2))
    exchanged = first_block_loss.estimate(model, CAPTIONS[::-1], noise, torch.ones(2))
    for caption, alone, estimate, other in zip(CAPTIONS, noise.split(1), estimates, exchanged, strict=True):
        with autocast(CPU):
            rollout.lay_out_next(caption, Transition.START, Window())
            expected = rollout._estimate(alone, step=0)[0]
        assert (estimate - expected).square().mean() < 1e-3 * (other - expected).square().mean()


def test_the_loss_is_seeded_and_training_on_it_makes_it_smaller(
    first_block_loss: FirstBlockLoss, model: PocketGenerator
) -> None:
    losses = [first_block_loss(model, np.random.default_rng(1), 3) for _ in range(2)]
    assert losses[0].item() == losses[1].item() > 0
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(5):
        optimizer.zero_grad()
        first_block_loss(model, np.random.default_rng(1), 3).backward()
        optimizer.step()
    assert first_block_loss(model, np.random.default_rng(1), 3).item() < 0.9 * losses[0].item()


def test_starts_name_arrangements_only_if_asked_and_none_is_held_out() -> None:
    rng = np.random.default_rng(0)
    blocks = [play_start(rng, arrangements=True)[0] for _ in range(60)]
    named = sum(bool(block.state.arrangement.words) for block in blocks)
    assert 40 < named < 60 and not any(is_held_out(block.state) for block in blocks)
    assert all(block.state.arrangement.words in block.caption for block in blocks)
    plain, frames = play_start(rng)
    assert plain.state.arrangement.words == "" and plain.transition is Transition.START and len(frames) == 12
