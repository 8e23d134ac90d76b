"""The noise of a block agrees with the world's dice and is still noise; a widened generator computes the same."""

import numpy as np
import pytest
import torch

from examples.pocket_world.dice import CELL_NUMBERS, KIND_NUMBERS, NUMBERS, ROW, Uncovered, agree
from examples.pocket_world.way import KINDS, STRIP, Throw, throw


def test_noise_says_what_comes_into_view_on_its_side_only() -> None:
    noise = torch.randn(3, 3, 16, 12, 20, generator=torch.Generator().manual_seed(0))
    before = noise.clone()
    agree(noise, [Uncovered(1, Throw(3, 2)), None, Uncovered(-1, Throw(None, 0))])
    right, left = noise[0, 0, -NUMBERS:, ROW, -1], noise[2, 0, -NUMBERS:, ROW, 0]
    assert right[0] > 0 > left[0]
    assert right[KIND_NUMBERS].argmax() == 3 and right[CELL_NUMBERS].argmax() == 2
    changed = (noise != before).nonzero()
    assert {(int(b), int(w)) for b, _, _, _, w in changed} <= {(0, 19), (2, 0)}
    assert torch.equal(noise[1], before[1])


@pytest.mark.parametrize("number", [0, 2, 7])
def test_over_all_throws_the_numbers_stay_normal(number: int) -> None:
    rng, generator = np.random.default_rng(1), torch.Generator().manual_seed(1)
    noise = torch.randn(4000, 1, 9, 12, 1, generator=generator)
    agree(noise, [Uncovered(1, throw(rng)) for _ in range(len(noise))])
    drawn = noise[:, 0, number, ROW, 0].sort().values
    normal = torch.distributions.Normal(0.0, 1.0).cdf(drawn)
    assert (normal - torch.linspace(0, 1, len(drawn))).abs().max() < 0.03
    both = torch.corrcoef(noise[:, 0, :, ROW, 0].T)
    assert (both - torch.eye(9)).abs().max() < 0.06


def test_every_throw_comes() -> None:
    rng = np.random.default_rng(0)
    thrown = [throw(rng) for _ in range(600)]
    assert {t.kind for t in thrown} == {None, *range(KINDS)} and {t.cells for t in thrown} == {*range(STRIP // 8)}
