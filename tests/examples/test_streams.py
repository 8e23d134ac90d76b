"""Self-rollout in training equals play, and its targets follow the rendered world."""

from __future__ import annotations

from itertools import islice, pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from examples.pocket_world.train.codec import Codec
from examples.pocket_world.train.encode import WALK_WEIGHT
from examples.pocket_world.train.generator import POCKET_MODEL, LossWeights, PocketGenerator
from examples.pocket_world.train.streams import LAST_STEP, SCHEDULE, SelfRollout, targets
from examples.pocket_world.train.student import StudentRollout
from examples.pocket_world.train.teacher import TeacherForcing
from examples.pocket_world.train.teacher_forcing import AttentionPlanner
from examples.pocket_world.world.play import CUT_CHANCE, SWITCH_CHANCE, is_held_out, play_endlessly
from examples.pocket_world.world.state import advance
from infrope_env.config import Window
from infrope_env.control.actions import Transition
from infrope_env.dynamics.rollout import Rollout
from infrope_env.dynamics.schedule import add_noise

START, CONTINUE, SWITCH, CUT = Transition
TRANSITIONS = [START, CONTINUE, CONTINUE, CONTINUE, SWITCH, CONTINUE, CUT, CONTINUE, CONTINUE, SWITCH]
CAPTION = "an orange fox walks to the right in a snowy field"
SHAPE = torch.Size((1, 3, POCKET_MODEL.latent_channels, *POCKET_MODEL.latent_size))


def a_generator() -> PocketGenerator:
    torch.manual_seed(0)
    model = PocketGenerator().eval().requires_grad_(False)
    torch.nn.init.normal_(model.transformer.head.head.weight, std=0.02)
    return model


class RecordedNoise:
    """The noise of a self-rollout, kept in the order in which it was drawn."""

    def __init__(self, rollout: SelfRollout) -> None:
        self.drawn: list[Tensor] = []
        self._draw, rollout._noise = rollout._noise, self  # type: ignore[method-assign, assignment]

    def __call__(self, shape: torch.Size) -> Tensor:
        self.drawn.append(self._draw(shape))
        return self.drawn[-1]


@torch.no_grad()
def test_a_self_rollout_block_equals_the_block_of_play() -> None:
    model = a_generator()
    training = SelfRollout(model, AttentionPlanner.of_pocket(), torch.Generator().manual_seed(3))
    noise, play = RecordedNoise(training), Rollout(model.transformer)
    embedding = model.text([CAPTION])
    for transition in TRANSITIONS:
        noise.drawn.clear()
        training.lay_out_next(CAPTION, transition, Window())
        block = training.make_block(LAST_STEP, SHAPE)
        prepared = play.prepare(embedding, transition, play._buffers)
        noisy = noise.drawn[0]
        for step, timestep in enumerate(SCHEDULE.timesteps):
            time = model.transformer.modulate(torch.tensor([timestep]))
            clean = model.transformer(noisy, time, prepared.text, prepared.contexts)
            if step < LAST_STEP:
                noisy = add_noise(clean, noise.drawn[step + 1], SCHEDULE.sigmas[step + 1])
        assert torch.allclose(block, clean, atol=1e-4), transition
        play.finish(prepared, clean)
        play.commit()
        training.commit(block)


def test_only_the_last_step_has_a_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    model = a_generator().requires_grad_(True)
    rollout = SelfRollout(model, AttentionPlanner.of_pocket(), torch.Generator().manual_seed(3))
    estimate, with_gradient = rollout._estimate, list[bool]()

    def watched(noisy: Tensor, step: int) -> Tensor:
        with_gradient.append(torch.is_grad_enabled())
        return estimate(noisy, step)

    monkeypatch.setattr(rollout, "_estimate", watched)
    rollout.lay_out_next(CAPTION, START, Window())
    rollout.commit(rollout.make_block(1, SHAPE))
    rollout.lay_out_next(CAPTION, CONTINUE, Window())
    block = rollout.make_block(2, SHAPE)
    assert block.requires_grad and with_gradient == [False, True, False, False, True]
    assert not any(part.requires_grad for layer in rollout.contexts for part in sum(layer._past, ()))


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_the_student_commits_the_generated_or_the_rendered_block_and_its_gradient_is_scaled(probability: float) -> None:
    torch.manual_seed(0)
    encoder, gradients = Codec().encoder, list[Tensor]()
    forcing = TeacherForcing.on(
        torch.device("cpu"), LossWeights.of(torch.rand(POCKET_MODEL.latent_channels), torch.device("cpu"))
    )
    for scale in (0.5, 1.0):
        model = a_generator().requires_grad_(True)
        rollout, committed = StudentRollout(model, forcing, encoder, [7]), list[Tensor]()
        rollout._rollout.commit = committed.append  # type: ignore[method-assign]
        assert rollout.backward_block(scale, probability) > 0
        rendered = next(targets(encoder, _after_a_seed([7]))).latents
        assert torch.equal(committed[0], rendered) == bool(probability) and not committed[0].requires_grad
        gradients.append(model.transformer.head.head.weight.grad)
    assert torch.allclose(2 * gradients[0], gradients[1], atol=1e-7)


def _after_a_seed(seed: list[int]) -> np.random.Generator:
    """Return a rollout's random generator after it has drawn the seed of its noise."""
    rng = np.random.default_rng(seed)
    rng.integers(2**62)
    return rng


def test_targets_follow_the_rendered_world_and_rollouts_begin_anew() -> None:
    torch.manual_seed(0)
    encoder = Codec().encoder
    played = list(islice(targets(encoder, np.random.default_rng(5)), 90))
    starts = [index for index, target in enumerate(played) if target.block.transition is START]
    assert starts[0] == 0 and 1 < len(starts) < 20
    for before, after in pairwise(played):
        state, last, transition = after.block.state, before.block.state, after.block.transition
        if transition is not START:
            scene = state.scene if transition is CUT else None
            assert state == advance(last, state.motion, scene)
            assert (after.block.caption == before.block.caption) or transition is not CONTINUE
    for target in played:
        assert target.latents.shape == SHAPE
        assert target.weight == (WALK_WEIGHT if "walk" in target.block.state.motion else 1)


def test_endless_play_never_shows_a_held_out_combination() -> None:
    for seed in range(6):
        states = [block.state for block, _ in islice(play_endlessly(np.random.default_rng(seed)), 40)]
        assert not any(map(is_held_out, states))


@pytest.mark.parametrize("change_rate", [0.05, 1.0])
def test_the_change_rate_scales_the_chance_of_a_switch_or_cut(change_rate: float) -> None:
    count, expected = 120, change_rate * (CUT_CHANCE + SWITCH_CHANCE)
    blocks = islice(play_endlessly(np.random.default_rng(1), change_rate), count)
    share = sum(block.transition in (SWITCH, CUT) for block, _ in blocks) / count
    assert abs(share - expected) < 3 * (expected * (1 - expected) / count) ** 0.5
