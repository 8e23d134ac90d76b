"""Noise levels: literal timesteps, and mixing with its inverse."""

import pytest
import torch

from infrope_env.config import Sampler
from infrope_env.dynamics.schedule import Schedule, add_noise, shift_timesteps, velocity_to_clean


@pytest.mark.parametrize(
    ("steps", "shift", "timesteps"),
    [
        ((1000, 750, 500, 250), 5.0, (1000.0, 937.5, 833.3333129882812, 625.0)),
        ((1000, 800, 600, 400, 200), 5.0, (1000.0, 952.38104248, 882.35290527, 769.23077393, 555.5556030273438)),
        ((1000, 750, 500, 250), 8.0, (1000.0, 960.0, 888.888916015625, 727.2727661132812)),
        ((1000, 500), 1.0, (1000.0, 500.0)),
    ],
)
def test_steps_are_bent_towards_high_noise(steps, shift, timesteps):
    schedule = Schedule.of(Sampler(steps, shift))
    assert schedule.timesteps == pytest.approx(timesteps, rel=1e-7)
    assert schedule.sigmas == pytest.approx([t / 1000 for t in timesteps], rel=1e-6)


def test_a_trailing_zero_is_looked_up_at_the_last_entry_of_the_table():
    schedule = Schedule.of(Sampler((1000, 0), 5.0))
    assert schedule.timesteps == (1000.0, 0.0)
    assert schedule.sigmas[-1] == pytest.approx(0.004980080295354128, rel=1e-7)


def test_literal_timesteps_take_the_nearest_noise_share():
    schedule = Schedule.of(Sampler((1000, 757, 522, 0), 8.0, warped=False))
    assert schedule.timesteps == (1000.0, 757.0, 522.0, 0.0)
    assert schedule.sigmas == pytest.approx((1.0, 0.7567568, 0.5217391, 0.0079444), rel=1e-5)


def test_the_first_block_has_the_schedule_of_its_own_steps():
    sampler = Sampler((1000,), first_steps=(1000, 500))
    assert Schedule.of(sampler).timesteps == (1000.0,)
    assert Schedule.of(sampler, first_block=True) == Schedule.of(Sampler((1000, 500)))
    assert Schedule.of(Sampler(), first_block=True) == Schedule.of(Sampler())


def test_a_shift_keeps_the_ends_and_the_order():
    bent = shift_timesteps(torch.linspace(0, 1, 11), 5)
    assert (bent[0].item(), bent[-1].item()) == (0.0, 1000.0)
    assert (bent.diff() > 0).all()


def test_level_one_is_all_noise_and_level_zero_is_all_clean():
    clean, noise = torch.randn(2, 3, 4).unbind()
    assert torch.equal(add_noise(clean, noise, 1.0), noise)
    assert torch.equal(add_noise(clean, noise, 0.0), clean)


@pytest.mark.parametrize("sigma", [1.0, 0.9375, 0.625, 0.1])
def test_the_true_velocity_gives_the_clean_latent(sigma):
    clean, noise = torch.randn(2, 3, 4).unbind()
    assert torch.allclose(velocity_to_clean(add_noise(clean, noise, sigma), noise - clean, sigma), clean, atol=1e-6)


def test_results_have_the_dtype_of_the_networks_output():
    x = torch.randn(4).bfloat16()
    assert add_noise(x, x, 0.5).dtype == velocity_to_clean(x, x, 0.5).dtype == torch.bfloat16
