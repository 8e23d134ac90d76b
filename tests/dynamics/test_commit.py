"""A block's latents before its commit pass, and everything that may happen between the two."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from infrope_env.config import Window
from infrope_env.dynamics import rollout as rollout_module
from infrope_env.dynamics.rollout import Rollout
from infrope_env.dynamics.transformer import CausalWanTransformer
from tests.dynamics.small_engine import CONTINUE, CUT, START, SWITCH, play, prompt, small_model
from tests.interrupts import count_lines

STORY = [START, CONTINUE, SWITCH, CONTINUE]
WINDOWS = [Window(), Window(on_switch="recache"), Window.from_size(12, sink=3)]
ENGINE = Path(rollout_module.__file__).parent


@pytest.fixture(scope="module")
def model() -> CausalWanTransformer:
    return small_model()


def uncommitted(model: CausalWanTransformer, window: Window | None = None) -> Rollout:
    """Return a rollout whose newest block has no keys and values in the cache yet."""
    rollout = Rollout(model, window)
    play(rollout, STORY[:-1])
    rollout.generate(prompt(1), CONTINUE)
    return rollout


def committed(model: CausalWanTransformer, window: Window | None = None) -> Rollout:
    rollout = uncommitted(model, window)
    rollout.commit()
    return rollout


def future(rollout: Rollout) -> Tensor:
    return play(rollout, [SWITCH, CUT], first_prompt=2)


def count_calls(monkeypatch: pytest.MonkeyPatch, model: CausalWanTransformer, name: str) -> list[str]:
    calls, method = [], getattr(model, name)
    monkeypatch.setattr(model, name, lambda *arguments: (calls.append(name), method(*arguments))[1])
    return calls


def test_the_latents_are_there_before_the_commit_pass_and_the_next_block_runs_it(model, monkeypatch):
    passes = count_calls(monkeypatch, model, "update_cache")
    rollout = Rollout(model)
    assert rollout.generate(prompt(0), START).index == 0
    assert not passes and rollout.cache.frame_ids == () and rollout.next_block == 1
    rollout.generate(prompt(0), CONTINUE)
    assert len(passes) == 1 and rollout.cache.frame_ids == (0, 1, 2) and rollout.next_block == 2


@pytest.mark.parametrize("window", WINDOWS)
def test_when_the_commit_pass_runs_changes_no_block(model, window):
    at_once, late = Rollout(model, window), Rollout(model, window)
    expected = play(at_once, STORY)
    late.advance = late.generate
    assert torch.equal(play(late, STORY), expected)
    assert torch.equal(future(late), future(at_once))


def test_a_second_commit_does_nothing(model, monkeypatch):
    rollout = committed(model)
    passes = count_calls(monkeypatch, model, "update_cache")
    rollout.commit()
    assert not passes


@pytest.mark.parametrize("window", WINDOWS)
def test_a_state_saved_before_the_commit_pass_is_the_one_saved_after_it(model, window):
    early, late = uncommitted(model, window).save(), committed(model, window).save()
    assert (early.slot_of, early.next_frame, early.next_block) == (late.slot_of, late.next_frame, late.next_block)
    slots = list(early.slot_of.values())
    assert torch.equal(early.keys[:, :, :, slots], late.keys[:, :, :, slots])
    rollout = Rollout(model, window)
    rollout.restore(early)
    assert torch.equal(future(rollout), future(committed(model, window)))


REPLACED: dict[str, Callable[[Rollout], None]] = {
    "reset": lambda rollout: rollout.reset(seed=5),
    "restore": lambda rollout: rollout.restore(committed(rollout.model).save()),
}


@pytest.mark.parametrize("replace", REPLACED.values(), ids=REPLACED)
def test_a_reset_or_a_restore_drops_the_commit_pass_that_was_due(model, monkeypatch, replace):
    rollout, fresh = uncommitted(model), Rollout(model)
    replace(fresh)
    passes = count_calls(monkeypatch, model, "update_cache")
    replace(rollout)
    passes.clear()
    rollout.commit()
    assert not passes
    assert torch.equal(future(rollout), future(fresh))


def test_prefilled_frames_follow_the_block_whose_commit_pass_was_due(model):
    late, at_once = uncommitted(model), committed(model)
    given = torch.randn(1, 3, 16, 4, 6, generator=torch.Generator().manual_seed(1))
    for rollout in (late, at_once):
        rollout.prefill(given, prompt(1))
    assert late.cache.frame_ids == at_once.cache.frame_ids
    assert torch.equal(future(late), future(at_once))


@pytest.mark.parametrize("window", WINDOWS)
def test_a_commit_that_is_interrupted_anywhere_can_be_repeated(model, window):
    expected = future(committed(model, window))
    rollout = uncommitted(model, window)
    with count_lines(ENGINE) as ran:
        rollout.commit()
    for point in {*range(1, ran[0], ran[0] // 5), *range(ran[0] - 12, ran[0] + 1)}:
        rollout = uncommitted(model, window)
        with pytest.raises(KeyboardInterrupt), count_lines(ENGINE, point):
            rollout.commit()
        assert torch.equal(future(rollout), expected), point


def test_a_block_after_an_interrupted_commit_pass_is_made_when_asked_for_again(model, monkeypatch):
    rollout, expected = uncommitted(model), future(committed(model))
    with monkeypatch.context() as patch:
        patch.setattr(model, "update_cache", lambda *_: (_ for _ in ()).throw(MemoryError))
        with pytest.raises(MemoryError):
            rollout.generate(prompt(3), SWITCH)
    assert torch.equal(future(rollout), expected)
