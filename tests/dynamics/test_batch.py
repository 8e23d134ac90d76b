"""Rollouts made together: every row is the same as alone, whatever the others do."""

import random

import pytest
import torch

from infrope_env.config import Sampler, Window
from infrope_env.dynamics.batch import RolloutBatch
from infrope_env.dynamics.rollout import Rollout
from tests.dynamics.small_engine import CONTINUE, CUT, START, SWITCH, prompt, small_model

WINDOWS = [
    Window(),
    Window.from_size(12, sink=3),
    Window(block=1),
    Window(coordinates="onset"),
    Window(coordinates="absolute"),
    Window(on_switch="recache"),
]
ROWS = 4


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def exact():
    """A model in float64: what rounding does to a batch is far below what a mistake does."""
    return small_model(torch.float64)


def make_batch(model, window=None, sampler=None, rows=ROWS) -> RolloutBatch:
    """Return a batch whose rows have the seeds 0, 1, ..."""
    rollouts = [Rollout(model, window, sampler) for _ in range(rows)]
    for seed, rollout in enumerate(rollouts):
        rollout.reset(seed)
    return RolloutBatch(rollouts)


def random_play(seed: int, steps: int) -> list[dict[int, tuple[int, object]]]:
    """Return the steps of a batch: prompt and transition by row; some rows start over, some wait."""
    chance, started, steps_of_play = random.Random(seed), set[int](), []
    for _ in range(steps):
        step = {}
        for row in range(ROWS):
            if chance.random() < 0.15:
                continue
            starts = row not in started or chance.random() < 0.1
            transition = START if starts else chance.choice([CONTINUE, CONTINUE, SWITCH, CUT])
            started.add(row)
            step[row] = chance.randrange(5), transition
        steps_of_play.append(step)
    return steps_of_play


@pytest.mark.parametrize("window", WINDOWS, ids=repr)
def test_every_row_is_the_rollout_that_it_is_alone(exact, window):
    batch, alone = make_batch(exact, window), [Rollout(exact, window) for _ in range(ROWS)]
    lengths = set()
    for count, step in enumerate(random_play(1, 12)):
        for row, (_, transition) in step.items():
            if transition is START:
                for rollout in (batch.rollouts[row], alone[row]):
                    rollout.reset(seed=100 * row + count)
        blocks = batch.generate({row: (prompt(text), how) for row, (text, how) in step.items()})
        lengths.add(len({len(block.layout.slots) for block in blocks.values()}))
        assert blocks.keys() == step.keys()
        for row, (text, transition) in step.items():
            block = alone[row].generate(prompt(text), transition)
            assert (block.index, block.transition) == (blocks[row].index, transition)
            assert block.layout == blocks[row].layout
            assert torch.allclose(block.latents, blocks[row].latents, rtol=0, atol=1e-10)
    assert max(lengths) > 1  # rows of different context lengths were made together


def test_rows_at_equal_layouts_have_the_bytes_of_a_rollout_alone(model):
    batch, alone = make_batch(model), [Rollout(model) for _ in range(ROWS)]
    for seed, rollout in enumerate(alone):
        rollout.reset(seed)
    for transition in (START, CONTINUE, SWITCH, CUT, CONTINUE):
        blocks = batch.generate({row: (prompt(row), transition) for row in range(ROWS)})
        for row, rollout in enumerate(alone):
            assert torch.equal(blocks[row].latents, rollout.generate(prompt(row), transition).latents)


def test_attention_runs_once_per_number_of_visible_frames(model, monkeypatch):
    batch = make_batch(model)
    batch.generate({row: (prompt(0), START) for row in range(ROWS)})
    batch.generate({row: (prompt(0), CONTINUE) for row in range(ROWS)})
    sizes = list[int]()
    attend = torch.nn.functional.scaled_dot_product_attention

    def counted(query, *others, **options):
        sizes.append(len(query))
        return attend(query, *others, **options)

    batch.commit()
    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", counted)
    batch.generate({0: (prompt(0), SWITCH), 1: (prompt(0), CONTINUE), 2: (prompt(0), SWITCH), 3: (prompt(0), CUT)})
    one_layer = [3, 1, 4]  # two switches and the cut see two frames, the other row three; then all see the text
    assert sizes == one_layer * (2 * 4)


def test_rows_with_first_steps_of_their_own_are_denoised_apart(exact):
    sampler = Sampler(steps=(1000, 500), first_steps=(1000, 750, 500, 250))
    batch = make_batch(exact, sampler=sampler, rows=2)
    batch.generate({0: (prompt(0), START)})
    blocks = batch.generate({0: (prompt(0), CONTINUE), 1: (prompt(1), START)})
    alone = [Rollout(exact, sampler=sampler) for _ in range(2)]
    alone[1].reset(seed=1)
    alone[0].generate(prompt(0), START)
    expected = [alone[0].generate(prompt(0), CONTINUE), alone[1].generate(prompt(1), START)]
    for row in range(2):
        assert torch.allclose(blocks[row].latents, expected[row].latents, rtol=0, atol=1e-10)


def test_a_row_is_saved_restored_prefilled_and_committed_by_itself(exact):
    batch, alone = make_batch(exact), make_batch(exact)
    steps = [{row: (prompt(row), START) for row in range(ROWS)}, {row: (prompt(row), SWITCH) for row in range(ROWS)}]
    for step in steps:
        before = batch.generate(step), alone.generate(step)
    state = batch.rollouts[1].save()  # commits this row only
    batch.rollouts[2].commit()
    for made in (batch, alone):
        made.rollouts[3].reset(seed=9)
        made.rollouts[3].prefill(before[0][0].latents, prompt(9))
    steps = [{row: (prompt(7), CUT) for row in range(ROWS)}, {row: (prompt(7), CONTINUE) for row in range(ROWS)}]
    for step in steps:
        one, other = batch.generate(step), alone.generate(step)
        assert all(torch.allclose(one[row].latents, other[row].latents, rtol=0, atol=1e-10) for row in range(ROWS))
    batch.rollouts[1].restore(state)
    for step in steps:
        again = batch.generate({1: step[1]})
    assert torch.allclose(again[1].latents, one[1].latents, rtol=0, atol=1e-10)


def test_a_row_that_cannot_be_made_stops_all_before_any_is_made(model):
    batch, other = make_batch(model), make_batch(model)
    step = {row: (prompt(0), START) for row in range(ROWS)}
    batch.generate(step), other.generate(step)
    wrong = {row: (prompt(0) if row != 2 else prompt(0)[:, :-1], CONTINUE) for row in range(ROWS)}
    with pytest.raises(ValueError, match="expected embedding of shape"):
        batch.generate(wrong)
    assert [rollout.next_block for rollout in batch.rollouts] == [1] * ROWS
    step = {row: (prompt(0), CONTINUE) for row in range(ROWS)}
    blocks, expected = batch.generate(step), other.generate(step)
    assert all(torch.equal(blocks[row].latents, expected[row].latents) for row in range(ROWS))


def test_rollouts_of_several_models_or_windows_are_refused(model):
    for other in (
        Rollout(small_model()),
        Rollout(model, Window.from_size(12)),
        Rollout(model, sampler=Sampler((1000,))),
    ):
        with pytest.raises(ValueError, match="expected rollouts of one model, window and sampler"):
            RolloutBatch([Rollout(model), other])
