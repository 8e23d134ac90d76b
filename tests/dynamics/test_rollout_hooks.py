"""Experiments extend a rollout from outside: a longer rotary table, another layout rule, wrapped contexts."""

from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from infrope_env.config import Window
from infrope_env.control.actions import Transition
from infrope_env.dynamics.cache import LayerContext
from infrope_env.dynamics.coordinates import Layout, lay_out
from infrope_env.dynamics.rollout import Rollout
from infrope_env.dynamics.rope import RotaryTable, rotate
from tests.dynamics.small_engine import CONTINUE, CUT, SMALL_MODEL, START, SWITCH, play, prompt, small_model

STORY = [START, CONTINUE, SWITCH]


@pytest.fixture(scope="module")
def model():
    return small_model()


def test_a_longer_table_carries_absolute_coordinates_past_1024(model):
    window, embedding = Window.from_size(6, sink=0, coordinates="absolute"), prompt(0)
    early, late = Rollout(model, window), Rollout(model, window, rotary_length=2048)
    play(early, [START, CONTINUE])
    state, distance = early.save(), 1020
    later_ids = {frame + distance: slot for frame, slot in state.slot_of.items()}
    late.restore(replace(state, slot_of=later_ids, next_frame=state.next_frame + distance))
    near, far = early.advance(embedding, CONTINUE), late.advance(embedding, CONTINUE)
    assert (near.layout.block, far.layout.block) == ((6, 7, 8), (1026, 1027, 1028))
    assert torch.allclose(near.latents, far.latents, atol=1e-3)  # only differences of coordinates matter


def test_a_layout_rule_that_shifts_coordinates_reaches_the_keys(model):
    gathered = []

    def shifted(frame_ids: tuple[int, ...], transition: Transition, window: Window) -> Layout:
        layout = lay_out(frame_ids, transition, window)
        return Layout(layout.slots, tuple(c + 7 for c in layout.context), tuple(c + 7 for c in layout.block))

    def record(_, visible: tuple[int, ...], contexts: list[LayerContext]) -> list[LayerContext]:
        unrotated = [rollout.cache.keys[:, :, :, rollout.cache.slot_of[frame]].clone() for frame in visible]
        gathered.append((unrotated, contexts[0].keys.clone()))
        return contexts

    rollout = Rollout(model, layout_rule=shifted, context_hook=record)
    latents = play(rollout, STORY)
    assert rollout.advance(prompt(1), CONTINUE).layout == Layout((0, 3, 4), (7, 8, 9), (10, 11, 12))
    table = RotaryTable(SMALL_MODEL.head_dim, SMALL_MODEL.rows, SMALL_MODEL.cols)
    frames, keys = gathered[-1]
    for frame, coordinate, rotated in zip(frames, (7, 8, 9), keys.split(SMALL_MODEL.tokens_per_frame, 2), strict=False):
        assert torch.equal(rotated, rotate(frame[0], table.at((coordinate,))))
    assert torch.allclose(latents, play(Rollout(model), STORY), atol=1e-3)  # only differences matter


@dataclass
class CountingContext:
    """A context that counts its calls and passes them on."""

    inner: LayerContext
    calls: int = 0

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        self.calls += 1
        return self.inner.attend(query, key, value)

    def write_kv(self, key: Tensor, value: Tensor) -> None:
        self.calls += 1
        self.inner.write_kv(key, value)


def test_a_context_hook_sees_every_block_and_wrapping_contexts_changes_no_byte(model):
    calls, wrapped = [], []

    def wrap(layout: Layout, visible: tuple[int, ...], contexts: list[LayerContext]) -> list[CountingContext]:
        calls.append((layout, visible))
        wrapped.extend(map(CountingContext, contexts))
        return wrapped[-len(contexts) :]

    rollout, plain = Rollout(model, context_hook=wrap), Rollout(model)
    rollout.prefill(torch.ones(1, 3, 16, 4, 6), prompt(0))
    plain.prefill(torch.ones(1, 3, 16, 4, 6), prompt(0))
    hooked = [rollout.advance(prompt(0), transition) for transition in (CONTINUE, SWITCH, CUT)]
    unhooked = [plain.advance(prompt(0), transition) for transition in (CONTINUE, SWITCH, CUT)]
    assert [layout for layout, _ in calls[1:]] == [block.layout for block in hooked]
    assert [visible for _, visible in calls] == [(), (0, 1, 2), (0, 5), (0, 8)]
    assert [context.calls for context in wrapped] == [1] * 2 + [5] * 6  # four denoising passes and the commit pass
    for ours, theirs in zip(hooked, unhooked, strict=True):
        assert torch.equal(ours.latents, theirs.latents)
    assert torch.equal(rollout.cache.keys, plain.cache.keys)


def test_under_recache_a_switch_is_laid_out_twice_and_the_added_passes_have_no_hook(model):
    laid_out: list[Transition] = []
    hooked: list[Layout] = []

    def rule(frame_ids: tuple[int, ...], transition: Transition, window: Window) -> Layout:
        laid_out.append(transition)
        return lay_out(frame_ids, transition, window)

    def hook(layout: Layout, _: tuple[int, ...], contexts: list[LayerContext]) -> list[LayerContext]:
        hooked.append(layout)
        return contexts

    rollout = Rollout(model, Window(on_switch="recache"), layout_rule=rule, context_hook=hook)
    blocks = [rollout.advance(prompt(int(t is not START)), t) for t in (START, SWITCH, CONTINUE, SWITCH)]
    assert laid_out == [START, SWITCH, SWITCH, CONTINUE, SWITCH, SWITCH]
    assert hooked == [block.layout for block in blocks]
