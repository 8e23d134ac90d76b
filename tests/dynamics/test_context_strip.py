"""The strip of a block is its layout, with ids: what it saw, where each frame sat, and what a flush dropped."""

import random

import pytest

from infrope_env.config import Window
from infrope_env.dynamics.context_strip import ContextStrip
from infrope_env.dynamics.coordinates import lay_out
from infrope_env.dynamics.rollout import Rollout
from tests.dynamics.small_engine import CONTINUE, CUT, START, SWITCH, prompt, small_model


def strip(cached: tuple[int, ...], transition, window: Window, index: int) -> ContextStrip:
    layout = lay_out(cached, transition, window)
    visible = tuple(cached[slot] for slot in layout.slots)
    return ContextStrip.of(index, transition, cached, visible, layout, window)


def test_a_walk_a_flush_and_a_cut_by_hand() -> None:
    cached = (0, 8, 9, 10, 11, 12)
    walk, flush, cut = (strip(cached, transition, Window(), 4) for transition in (CONTINUE, SWITCH, CUT))
    assert (walk.visible, walk.context, walk.dropped) == ((0, 11, 12), (0, 1, 2), ())
    assert (walk.own, walk.block) == ((12, 13, 14), (3, 4, 5))
    assert (flush.visible, flush.dropped, flush.coordinates) == ((0, 12), (11,), (0, 1, 2, 3, 4))
    assert (cut.visible, cut.dropped, cut.block) == ((0, 12), (11,), (45, 46, 47))
    assert [each.sink for each in (walk, flush, cut)] == [1, 1, 1]
    first = strip((), START, Window(), 0)
    assert (first.frames, first.coordinates, first.dropped, first.sink) == ((0, 1, 2), (0, 1, 2), (), 0)


@pytest.mark.parametrize(
    "window",
    [
        Window(),
        Window.release(),
        Window.from_size(9),
        Window.from_size(12, sink=3, coordinates="onset"),
        Window(coordinates="absolute"),
        Window(on_switch="recache"),
        Window(on_switch="no_cache"),
    ],
    ids=lambda window: f"{window.size} {window.coordinates} {window.on_switch}",
)
def test_the_strip_of_every_block_equals_lay_out(window: Window) -> None:
    rng, rollout = random.Random(0), Rollout(small_model(), window)
    transitions = [START, *rng.choices((CONTINUE, SWITCH, CUT), (4, 1, 1), k=12)]
    text = 0
    for index, transition in enumerate(transitions):
        text += transition in (SWITCH, CUT)
        rollout.commit()
        cached = rollout.cache.frame_ids
        made = rollout.generate(prompt(text), transition)
        seen = ContextStrip.of(made.index, made.transition, made.cached, made.visible, made.layout, window)
        layout = lay_out(cached, transition, window)
        assert seen.visible == tuple(cached[slot] for slot in layout.slots)
        assert (seen.context, seen.block) == (layout.context, layout.block)
        assert seen.own == tuple(range(3 * index, 3 * index + 3))
        continued = lay_out(cached, CONTINUE, window).slots if cached else ()
        assert seen.dropped == tuple(cached[slot] for slot in continued if slot not in layout.slots)
        assert seen.frames == (*seen.visible, *seen.own) and len(seen.coordinates) == len(seen.frames)
