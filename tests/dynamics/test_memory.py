"""Memory policies against the slow reference, over random stories; states, rows and interrupted commits."""

import random

import pytest
import torch

from infrope_env.config import Window
from infrope_env.control.actions import Transition
from infrope_env.dynamics.cache import KeyValueCache
from infrope_env.dynamics.rollout import Rollout
from infrope_env.dynamics.rope import jittered_bases
from tests.dynamics.reference_memory import STORY_STEPS, SlowRollout
from tests.dynamics.small_engine import CONTINUE, CUT, START, SWITCH, prompt, small_model
from tests.dynamics.test_batch import ROWS, make_batch, random_play

WINDOWS = [
    Window(),
    Window.from_size(9),
    Window.from_size(9, memory="deep_sink"),
    Window.from_size(12, memory="deep_sink", forget="cut"),
    Window.from_size(7, memory="deep_sink", forget="flush"),
    Window.from_size(6, memory="rolling_sink"),
    Window.from_size(9, memory="rolling_sink"),
    Window.from_size(9, memory="rolling_sink", forget="cut"),
    Window.from_size(12, memory="rolling_sink", forget="flush"),
    Window(sink=2, context=5, memory="rolling_sink"),
    Window.from_size(6, memory="ema"),
    Window.from_size(12, sink=3, memory="ema"),
    Window.from_size(9, memory="ema", forget="cut"),
    Window.from_size(9, memory="ema", forget="flush"),
    Window.from_size(9, sink=3, memory="ema_sink"),
    Window.from_size(6, memory="ema_sink"),
    Window.from_size(9, memory="jitter"),
]
MEMORIES = [window for window in WINDOWS if window.memory != "sink"]


@pytest.fixture(scope="module")
def exact():
    return small_model(torch.float64)


def random_story(seed: int, length: int) -> list[Transition]:
    chance = random.Random(seed)
    return [START, *(chance.choice(STORY_STEPS) for _ in range(length - 1))]


def play_on(rollout: Rollout, story: list[Transition]) -> list[torch.Tensor]:
    return [rollout.advance(prompt(index % 3), transition).latents for index, transition in enumerate(story)]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("window", WINDOWS, ids=repr)
def test_a_rollout_is_that_of_the_reference(exact, window, seed):
    rollout, reference = Rollout(exact, window), SlowRollout(exact, window)
    for index, transition in enumerate(random_story(seed, 11)):
        expected = reference.denoise(prompt(index % 3), transition)
        latents = rollout.advance(prompt(index % 3), transition).latents
        assert torch.allclose(latents, expected, rtol=0, atol=2e-5), f"block {index}, {transition}"
        reference.commit(latents)


@pytest.mark.parametrize("window", MEMORIES, ids=repr)
def test_a_saved_state_goes_on_as_the_rollout_did(window):
    model = small_model()
    rollout, other = Rollout(model, window), Rollout(model, window)
    play_on(rollout, random_story(3, 8))
    play_on(other, random_story(4, 5))
    state, rest = rollout.save(), [CONTINUE, CUT, CONTINUE, SWITCH, CONTINUE]
    first = play_on(rollout, rest)
    for again in (rollout, other):
        again.restore(state)
        assert all(torch.equal(*pair) for pair in zip(play_on(again, rest), first, strict=True))


@pytest.mark.parametrize("window", [window for window in MEMORIES if window.size == 9], ids=repr)
def test_every_row_of_a_batch_is_the_rollout_that_it_is_alone(exact, window):
    batch, alone = make_batch(exact, window), [Rollout(exact, window) for _ in range(ROWS)]
    for count, step in enumerate(random_play(2, 12)):
        for row, (_, transition) in step.items():
            if transition is START:
                for rollout in (batch.rollouts[row], alone[row]):
                    rollout.reset(seed=100 * row + count)
        blocks = batch.generate({row: (prompt(text), how) for row, (text, how) in step.items()})
        for row, (text, transition) in step.items():
            block = alone[row].generate(prompt(text), transition)
            assert block.layout == blocks[row].layout
            assert torch.allclose(block.latents, blocks[row].latents, rtol=0, atol=1e-10)


@pytest.mark.parametrize("window", [window for window in MEMORIES if "ema" in window.memory], ids=repr)
def test_an_interrupted_fold_is_done_once_or_not_at_all(window, monkeypatch):
    model, story = small_model(), [START, CONTINUE, CONTINUE, CONTINUE]
    repeated, dropped, undisturbed = (Rollout(model, window) for _ in range(3))
    for rollout in (repeated, dropped, undisturbed):
        play_on(rollout, story)
    write = KeyValueCache._write_averages

    def write_and_stop(*arguments):
        write(*arguments)
        raise KeyboardInterrupt

    repeated.generate(prompt(0), CONTINUE)
    with monkeypatch.context() as patch:
        patch.setattr(KeyValueCache, "_write_averages", write_and_stop)
        with pytest.raises(KeyboardInterrupt):
            repeated.commit()
        with pytest.raises(KeyboardInterrupt):
            dropped.advance(prompt(2), SWITCH)
    repeated.commit()
    dropped.advance(prompt(0), CONTINUE)
    undisturbed.advance(prompt(0), CONTINUE)
    rest = [play_on(rollout, [CONTINUE, CUT, CONTINUE]) for rollout in (repeated, dropped, undisturbed)]
    for blocks in zip(*rest, strict=True):
        assert torch.equal(blocks[0], blocks[2]) and torch.equal(blocks[1], blocks[2])


def test_averages_are_finer_than_the_cache():
    window = Window.from_size(9, sink=3, memory="ema_sink")
    rollout = Rollout(small_model(torch.bfloat16), window)
    play_on(rollout, [START, CONTINUE])
    first = rollout.cache.keys[:, :, :, rollout.cache.slot_of[0]].clone()
    play_on(rollout, [CONTINUE] * 3)
    average, rounded = rollout.cache.averages[0][0], rollout.cache.keys[:, :, :, rollout.cache.slot_of[0]]
    assert average.dtype == torch.float32 and torch.equal(average.to(torch.bfloat16), rounded)
    assert (first == rounded).float().mean() > 0.5  # steps that bfloat16 alone would lose
    assert (first == average).float().mean() < 0.05


def test_heads_at_one_place_turn_at_their_own_speeds():
    table = Rollout(small_model(), Window(memory="jitter")).rotary_table
    near, far = table.at((0,)), table.at((7,))
    assert near.cos.shape == (4, 6, 6) and torch.equal(near.cos[0], near.cos[3])
    assert not torch.equal(far.cos[0], far.cos[3])
    assert jittered_bases(3) == pytest.approx((2000, 10000, 18000)) and jittered_bases(1) == (10000.0,)
