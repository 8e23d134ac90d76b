"""The noise of a block agrees with the world's dice and is still noise, in both trainings."""

from pathlib import Path

import numpy as np
import pytest
import torch

from examples.pocket_world.dice import CELL_NUMBERS, KIND_NUMBERS, NUMBERS, ROW, Uncovered, agree
from examples.pocket_world.encode import Clips, _write_shard, load_clips
from examples.pocket_world.generator import POCKET_MODEL, ErrorWeights
from examples.pocket_world.play import play_clip
from examples.pocket_world.train_codec import Codec
from examples.pocket_world.train_student import SelfRollout
from examples.pocket_world.train_teacher import Batch, Forcing
from examples.pocket_world.way import KINDS, STRIP, Throw, throw
from infrope_env.control.actions import Transition

CPU = torch.device("cpu")


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


SEEN = Uncovered(1, Throw(4, 1))


def says(noise: torch.Tensor, strip: Uncovered) -> bool:
    numbers = noise[0, -NUMBERS:, ROW, -1 if strip.side > 0 else 0]
    throw_of = (int(numbers[KIND_NUMBERS].argmax()), int(numbers[CELL_NUMBERS].argmax()))
    return bool(numbers[0] > 0) and throw_of == tuple(strip.thrown)


def test_the_teacher_is_shown_noise_that_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[torch.Tensor] = []

    def keep(model: object, batch: Batch, sigmas: object, noise: torch.Tensor, context: object) -> torch.Tensor:
        shown.extend(noise)
        return batch.clean

    monkeypatch.setattr("examples.pocket_world.train_teacher.clean_estimates", keep)
    forcing = Forcing.on(CPU, ErrorWeights.of(torch.ones(POCKET_MODEL.latent_channels), CPU))
    forcing.losses(None, clips_of([SEEN] * 7, 8), np.random.default_rng(0), 8, 1.0)  # type: ignore[arg-type]
    assert len(shown) == 56 and all(says(noise, SEEN) for noise in shown)


def test_every_step_of_a_self_rollout_begins_from_noise_that_agrees() -> None:
    rollout = SelfRollout(None, [], [], torch.Generator().manual_seed(0), [], [SEEN] * 20)  # type: ignore[arg-type]
    shape = torch.Size((20, 3, POCKET_MODEL.latent_channels, *POCKET_MODEL.latent_size))
    assert all(says(noise, SEEN) for _ in range(4) for noise in rollout._noise(shape))


def test_what_was_uncovered_is_written_with_a_clip_and_read_again(tmp_path: Path) -> None:
    clips = [play_clip(np.random.default_rng(seed), num_blocks=4) for seed in range(3)]
    _write_shard(tmp_path / "clips_000.safetensors", Codec(), clips)
    read = load_clips(tmp_path).uncovered
    thrown = [[block.state.thrown for block in clip.blocks] for clip in clips]
    assert [[strip and strip.thrown for strip in row] for row in read] == thrown
    sides = {"walk_right": 1, "walk_left": -1}
    pairs = [
        (s, b.state.motion) for row, c in zip(read, clips, strict=True) for s, b in zip(row, c.blocks, strict=True)
    ]
    seen = [(strip.side, sides[motion]) for strip, motion in pairs if strip is not None]
    assert seen and all(side == right for side, right in seen)


def clips_of(uncovered: list[Uncovered | None], count: int) -> Clips:
    """Clips of nothing, in which something came into view."""
    blocks = len(uncovered)
    return Clips(
        latents=torch.zeros(count, 3 * blocks, POCKET_MODEL.latent_channels, *POCKET_MODEL.latent_size),
        captions=[["a red robot walks to the right in a dark cave"] * blocks] * count,
        transitions=[[Transition.START, *[Transition.CONTINUE] * (blocks - 1)]] * count,
        far=[False] * count,
        uncovered=[uncovered] * count,
    )
