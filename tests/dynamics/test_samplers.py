"""The samplers of released generators, against loops that are written out for each of them.

The network is a formula, so that only noise levels, draws and their order are compared.
"""

import pytest
import torch
from torch import Tensor

from infrope_env.config import Sampler, Window
from infrope_env.dynamics.noise import seeded_noise
from infrope_env.dynamics.rollout import Rollout
from tests.dynamics.small_engine import CONTINUE, SMALL_MODEL, START, prompt, small_model

TIMESTEPS_4 = (1000.0, 937.5, 833.3333, 625.0)


def velocity(noisy: Tensor, timestep: float) -> Tensor:
    """A network of one line that depends on latents and timestep."""
    return 0.3 * noisy + 0.4 * torch.sin(noisy) + timestep / 1000


@pytest.fixture
def formula(monkeypatch: pytest.MonkeyPatch):
    """A transformer whose forward pass is `velocity` and whose commit pass writes nothing."""
    model = small_model()
    monkeypatch.setattr(model, "modulate", lambda timestep: timestep.item())
    monkeypatch.setattr(model, "forward", lambda noisy, timestep, text, contexts: velocity(noisy, timestep))
    monkeypatch.setattr(model, "update_cache", lambda *_: None)
    return model


def reference_block(block: int, timesteps: tuple[float, ...], shift: float) -> Tensor:
    """Denoise a block as the projects' code does: every sigma is the nearest of a table of 1000 without timestep 0."""
    shares = [(1000 - index) / 1000 for index in range(1000)]
    table = [shift * share / (1 + (shift - 1) * share) for share in shares]

    def sigma(timestep: float) -> float:
        return min(table, key=lambda entry: abs(1000 * entry - timestep))

    shape = (len(timesteps), 1, 3, SMALL_MODEL.latent_channels, *SMALL_MODEL.latent_size)
    noise = seeded_noise(7, block, shape).double()
    noisy = noise[0]
    for index, timestep in enumerate(timesteps):
        clean = noisy - sigma(timestep) * velocity(noisy, timestep)
        if index + 1 < len(timesteps):
            share = sigma(timesteps[index + 1])
            noisy = (1 - share) * clean + share * noise[index + 1]
    return clean


@pytest.mark.parametrize(
    ("sampler", "first", "later"),
    [
        (Sampler(), TIMESTEPS_4, TIMESTEPS_4),
        (Sampler((1000,), first_steps=(1000, 750, 500, 250)), TIMESTEPS_4, (1000.0,)),  # Causal-Forcing++
        (Sampler((1000, 500), first_steps=(1000, 750, 500, 250)), TIMESTEPS_4, (1000.0, 833.3333)),
        (Sampler((1000, 750, 500, 250, 0)), (*TIMESTEPS_4, 0.0), (*TIMESTEPS_4, 0.0)),  # Krea, five steps
        (Sampler((1000, 666, 333, 0)), (1000.0, 908.8428, 713.9797, 0.0), (1000.0, 908.8428, 713.9797, 0.0)),
        (Sampler((1000, 757, 522), 8.0, warped=False), (1000.0, 757.0, 522.0), (1000.0, 757.0, 522.0)),  # CausVid
        (Sampler((1000, 757, 522), 1.0), (1000.0, 757.0, 522.0), (1000.0, 757.0, 522.0)),
    ],
    ids=["self-forcing", "one-step", "two-step", "krea-5", "krea-4", "causvid", "shift-1"],
)
def test_blocks_agree_with_the_loop_of_the_sampler_s_authors(formula, sampler, first, later):
    rollout = Rollout(formula, Window(), sampler)
    rollout.reset(seed=7)
    text = prompt(0)
    for block, (transition, timesteps) in enumerate([(START, first), (CONTINUE, later), (CONTINUE, later)]):
        expected = reference_block(block, timesteps, sampler.shift)
        made = rollout.advance(text, transition).latents
        assert torch.allclose(made, expected.float(), rtol=0, atol=2e-5), block


def test_a_trailing_zero_changes_the_block_only_a_little(formula):
    made = []
    for steps in ((1000, 750, 500, 250), (1000, 750, 500, 250, 0)):
        rollout = Rollout(formula, Window(), Sampler(steps))
        made.append(rollout.advance(prompt(0), START).latents)
    shift = (made[0] - made[1]).abs().max()
    assert 0 < shift < 0.1  # its noise share is 0.005


def test_the_first_block_after_a_reset_has_its_own_steps_again():
    rollout = Rollout(small_model(), Window(), Sampler((1000,), first_steps=(1000, 500)))
    calls: list[int] = []
    rollout.noise = lambda seed, block, shape: calls.append(shape[0]) or seeded_noise(seed, block, shape)
    text = prompt(0)
    for _ in range(2):
        rollout.reset(seed=1)
        rollout.advance(text, START)
        rollout.advance(text, CONTINUE)
    assert calls == [2, 1, 2, 1]


def test_a_prefilled_picture_is_not_the_first_block_that_is_generated():
    rollout = Rollout(small_model(), Window(), Sampler((1000,), first_steps=(1000, 500)))
    calls: list[int] = []
    rollout.noise = lambda seed, block, shape: calls.append(shape[0]) or seeded_noise(seed, block, shape)
    rollout.prefill(torch.zeros(1, 3, SMALL_MODEL.latent_channels, *SMALL_MODEL.latent_size), prompt(0))
    prefilled = rollout.save()
    first = rollout.advance(prompt(0), CONTINUE).latents
    rollout.advance(prompt(0), CONTINUE)
    rollout.restore(prefilled)
    assert rollout.advance(prompt(0), CONTINUE).latents.equal(first)
    assert calls == [2, 1, 2]
