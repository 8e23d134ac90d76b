"""Noise drawn ahead of its block."""

from itertools import pairwise

import pytest
import torch

from infrope_env.config import Sampler
from infrope_env.dynamics.noise import AntiphaseNoise, BlockNoise, seeded_noise
from infrope_env.dynamics.rollout import Rollout
from tests.dynamics.small_engine import CONTINUE, START, SWITCH, play, prompt, small_model

SHAPE = (4, 1, 3, 16, 4, 6)


class CountingSource:
    """Seeded noise that keeps the block indices it was asked for."""

    def __init__(self) -> None:
        self.blocks: list[int] = []

    def __call__(self, seed: int, block: int, shape: tuple[int, ...]) -> torch.Tensor:
        self.blocks.append(block)
        return seeded_noise(seed, block, shape)


@pytest.fixture(scope="module")
def model():
    return small_model()


def test_noise_drawn_ahead_is_taken_once_and_equals_noise_drawn_late():
    source, noise = CountingSource(), BlockNoise(torch.device("cpu"), torch.float32)
    noise.draw(source, 1, 2, SHAPE)
    taken = noise.take(source, 1, 2, SHAPE)
    assert source.blocks == [2] and torch.equal(taken, seeded_noise(1, 2, SHAPE))
    assert torch.equal(noise.take(source, 1, 2, SHAPE), taken) and source.blocks == [2, 2]


@pytest.mark.parametrize("other", [(2, 2, SHAPE), (1, 3, SHAPE), (1, 2, (2, *SHAPE[1:]))])
def test_noise_drawn_ahead_for_another_block_is_not_taken(other):
    noise = BlockNoise(torch.device("cpu"), torch.float32)
    noise.draw(seeded_noise, 1, 2, SHAPE)
    assert torch.equal(noise.take(seeded_noise, *other), seeded_noise(*other))


def test_a_rollout_that_draws_ahead_makes_the_same_blocks_and_draws_each_noise_once(model):
    source = CountingSource()
    late, ahead = Rollout(model), Rollout(model, noise=source)
    made = []
    for transition in (START, CONTINUE, SWITCH):
        made.append(ahead.advance(prompt(int(transition is SWITCH)), transition).latents)
        ahead.draw_ahead()
    assert source.blocks == [0, 1, 2, 3]
    assert torch.equal(torch.cat(made, dim=1), play(late, [START, CONTINUE, SWITCH]))


def test_a_restored_rollout_does_not_take_the_noise_of_the_one_it_replaced(model):
    rollout, expected = Rollout(model), Rollout(model)
    play(rollout, [START])
    state = rollout.save()
    play(rollout, [CONTINUE])
    rollout.draw_ahead()
    rollout.restore(state)
    assert torch.equal(play(rollout, [CONTINUE]), play(expected, [START, CONTINUE])[:, 3:])


@pytest.mark.parametrize("correlation", [0.1, 0.4, 0.5])
def test_antiphase_noise_is_normal_and_turns_from_block_to_block(correlation):
    source, shape = AntiphaseNoise(correlation), (1, 3, 16, 60, 104)
    blocks = [source(5, block, shape).flatten() for block in range(4)]
    for noise in blocks:
        assert noise.mean().abs() < 0.01 and abs(noise.std() - 1) < 0.01
    assert torch.equal(blocks[0], seeded_noise(5, 0, shape).flatten())
    for earlier, later in pairwise(blocks[1:]):
        assert float((earlier * later).mean()) == pytest.approx(-correlation, abs=0.01)
    assert float((blocks[1] * blocks[3]).mean()) == pytest.approx(0, abs=0.01)
    assert torch.equal(source(5, 2, shape).flatten(), blocks[2])


def test_a_samplers_antiphase_reaches_the_rollout(model):
    plain, turned = (Rollout(model, sampler=Sampler(antiphase=antiphase)) for antiphase in (0, 0.4))
    first, second = play(plain, [START, CONTINUE]), play(turned, [START, CONTINUE])
    assert torch.equal(first[:, :3], second[:, :3]) and not torch.equal(first[:, 3:], second[:, 3:])
    assert turned.noise == AntiphaseNoise(0.4) and plain.noise is seeded_noise
    assert str(Sampler()) == "Sampler(steps=(1000, 750, 500, 250), shift=5.0)"  # recordings compare it
    with pytest.raises(ValueError, match=r"expected antiphase to be a number from 0 to 0.5, got 0.6"):
        Sampler(antiphase=0.6)
