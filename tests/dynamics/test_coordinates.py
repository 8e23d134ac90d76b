"""The paper's three ideas as integers: literal layouts, and invariants over long random rollouts."""

import random
import subprocess
import sys

import pytest

from infrope_env.config import COORDINATE_RULES, Window
from infrope_env.control.actions import Transition
from infrope_env.dynamics.coordinates import Layout, lay_out, onset_coordinates, recache_passes, visible_slots

START, CONTINUE, SWITCH, CUT = Transition
EARLY = (0, 1, 2)
AT_6 = (0, 8, 9, 10, 11, 12)  # the cache in mid-rollout: sink, context, newest block
AT_12 = (0, *range(2, 13))
AT_21 = (0, *range(80, 100))
CUT_BLOCK = (45, 46, 47)


@pytest.mark.parametrize(
    ("window", "cached", "transition", "slots", "context", "block"),
    [
        # the first block sees nothing, the second one the first
        (Window(), (), START, (), (), (0, 1, 2)),
        (Window(), EARLY, CONTINUE, (0, 1, 2), (0, 1, 2), (3, 4, 5)),
        # window 6 in mid-rollout: the sink and the newest two
        (Window(), AT_6, CONTINUE, (0, 4, 5), (0, 1, 2), (3, 4, 5)),
        # KV Flush: the sink and the newest one (paper) or two (release)
        (Window(), AT_6, SWITCH, (0, 5), (0, 1), (2, 3, 4)),
        (Window.release(), AT_6, SWITCH, (0, 4, 5), (0, 1, 2), (3, 4, 5)),
        (Window(), EARLY, SWITCH, (0, 2), (0, 1), (2, 3, 4)),
        (Window(), (), SWITCH, (), (), (0, 1, 2)),
        # RoPE Cut: a flush, and the block far away
        (Window(), AT_6, CUT, (0, 5), (0, 1), CUT_BLOCK),
        (Window.release(), AT_6, CUT, (0, 4, 5), (0, 1, 2), CUT_BLOCK),
        (Window(), EARLY, CUT, (0, 2), (0, 1), CUT_BLOCK),
        (Window(), (), CUT, (), (), CUT_BLOCK),
        (Window(cut_coordinate=100), AT_6, CUT, (0, 5), (0, 1), (100, 101, 102)),
        # other windows
        (Window.from_size(12), AT_12, CONTINUE, (0, *range(4, 12)), tuple(range(9)), (9, 10, 11)),
        (Window.from_size(12), AT_12, SWITCH, (0, 11), (0, 1), (2, 3, 4)),
        (Window.from_size(12, flush_context=2), AT_12, CUT, (0, 10, 11), (0, 1, 2), CUT_BLOCK),
        (Window.from_size(12), (0, 1, 2, 3, 4, 5), CONTINUE, tuple(range(6)), tuple(range(6)), (6, 7, 8)),
        (Window.from_size(21), AT_21, CONTINUE, (0, *range(4, 21)), tuple(range(18)), (18, 19, 20)),
        (Window.from_size(21, flush_context=2), AT_21, SWITCH, (0, 19, 20), (0, 1, 2), (3, 4, 5)),
        # other sinks
        (Window.from_size(6, sink=0), (7, 8, 9, 10, 11, 12), CONTINUE, (3, 4, 5), (0, 1, 2), (3, 4, 5)),
        (Window.from_size(6, sink=0), (7, 8, 9, 10, 11, 12), SWITCH, (5,), (0,), (1, 2, 3)),
        (Window.from_size(6, sink=2), (0, 1, 8, 9, 10, 11), CONTINUE, (0, 1, 5), (0, 1, 2), (3, 4, 5)),
        (Window.from_size(12, sink=3), (0, 1, 2, *range(4, 13)), SWITCH, (0, 1, 2, 11), (0, 1, 2, 3), (4, 5, 6)),
        (Window.from_size(12, sink=3), (0, 1, 2, *range(4, 13)), CUT, (0, 1, 2, 11), (0, 1, 2, 3), CUT_BLOCK),
        (Window.from_size(12, sink=3), EARLY, SWITCH, (0, 1, 2), (0, 1, 2), (3, 4, 5)),
        # one frame at a time
        (Window.from_size(6, block=1), (0, 5, 6, 7, 8, 9), CONTINUE, (0, 2, 3, 4, 5), (0, 1, 2, 3, 4), (5,)),
        (Window.from_size(6, block=1), (0,), CUT, (0,), (0,), (45,)),
        # prompt changes under the baselines; a cut flushes under all of them
        (Window(on_switch="none"), AT_6, SWITCH, (0, 4, 5), (0, 1, 2), (3, 4, 5)),
        (Window(on_switch="none"), AT_6, CUT, (0, 5), (0, 1), CUT_BLOCK),
        (Window(on_switch="recache"), AT_6, SWITCH, (0, 4, 5), (0, 1, 2), (3, 4, 5)),
        (Window(on_switch="recache"), AT_6, CUT, (0, 5), (0, 1), CUT_BLOCK),
        (Window(on_switch="no_cache"), AT_6, SWITCH, (), (), (0, 1, 2)),
        (Window(on_switch="no_cache"), AT_6, CUT, (0, 5), (0, 1), CUT_BLOCK),
        # absolute coordinates (Self-Forcing) count from the first frame; a cut adds to the coordinate it would have
        (Window(coordinates="absolute"), AT_6, CONTINUE, (0, 4, 5), (0, 11, 12), (13, 14, 15)),
        (Window(coordinates="absolute"), AT_6, SWITCH, (0, 5), (0, 12), (13, 14, 15)),
        (Window(coordinates="absolute"), AT_6, CUT, (0, 5), (0, 12), (58, 59, 60)),
    ],
)
def test_a_block_is_laid_out(window, cached, transition, slots, context, block):
    assert lay_out(cached, transition, window) == Layout(slots, context, block)


PAPER_12 = Window.from_size(12, coordinates="onset")


@pytest.mark.parametrize(
    ("window", "cached", "transition", "context", "block"),
    [
        # up to the onset index a frame's coordinate is its number, counted from 1
        (Window.paper(), (), START, (), (1, 2, 3)),
        (Window.paper(), EARLY, CONTINUE, (1, 2, 3), (4, 5, 6)),
        (Window.paper(), (0, 13, 14, 15, 16, 17), CONTINUE, (1, 17, 18), (19, 20, 21)),
        # one block later frames 22, 23, 24 are at 19, 20, 21, and the others count back from them
        (Window.paper(), (0, 16, 17, 18, 19, 20), CONTINUE, (1, 17, 18), (19, 20, 21)),
        (Window.paper(), (0, 970, 971, 972, 973, 974), CONTINUE, (1, 17, 18), (19, 20, 21)),
        # a flush keeps the coordinates of what it keeps: the gap stays
        (Window.paper(), (0, 970, 971, 972, 973, 974), SWITCH, (1, 18), (19, 20, 21)),
        (Window.paper(), EARLY, SWITCH, (1, 3), (4, 5, 6)),
        (Window.paper(), (0, 970, 971, 972, 973, 974), CUT, (1, 18), CUT_BLOCK),
        # larger windows
        (PAPER_12, AT_12, CONTINUE, (1, *range(6, 14)), (14, 15, 16)),
        (PAPER_12, (0, *range(40, 51)), CONTINUE, (1, *range(11, 19)), (19, 20, 21)),
        (Window.from_size(21, coordinates="onset"), AT_21, CONTINUE, (1, *range(2, 19)), (19, 20, 21)),
        # semanticization: frames more than 20 back collapse onto 1
        (
            Window.from_size(24, coordinates="onset"),
            (0, *range(80, 100)),
            CONTINUE,
            (1, 1, 1, *range(1, 19)),
            (19, 20, 21),
        ),
    ],
)
def test_a_block_is_laid_out_by_the_papers_formula(window, cached, transition, context, block):
    layout = lay_out(cached, transition, window)
    assert (layout.context, layout.block) == (context, block)


def test_old_frames_collapse_onto_coordinate_one():
    assert onset_coordinates((0, 3, 4, 5, 24), newest=24, onset_index=21) == (1, 1, 1, 2, 21)


def test_recache_encodes_block_by_block_and_every_pass_sees_the_ones_before():
    assert list(recache_passes((0, 16, 17, 18, 19, 20), (0, 1, 2, 3, 4, 5), block=3)) == [
        ((0,), Layout((), (), (0,))),
        ((16, 17), Layout((0,), (0,), (1, 2))),
        ((18, 19, 20), Layout((0, 1, 2), (0, 1, 2), (3, 4, 5))),
    ]
    assert list(recache_passes((), (), block=3)) == []


@pytest.mark.parametrize(
    ("cached", "sink", "recent", "slots"),
    [
        (6, 1, 2, (0, 4, 5)),
        (3, 1, 2, (0, 1, 2)),
        (3, 1, 5, (0, 1, 2)),
        (4, 0, 1, (3,)),
        (4, 2, 0, (0, 1)),
        (0, 1, 2, ()),
    ],
)
def test_the_first_and_the_newest_frames_stay_visible(cached, sink, recent, slots):
    assert visible_slots(cached, sink, recent) == slots


def test_a_cut_lasts_one_block():
    window, cached = Window(), AT_6
    for transition, block in ((CONTINUE, (3, 4, 5)), (CUT, CUT_BLOCK), (CONTINUE, (3, 4, 5)), (SWITCH, (2, 3, 4))):
        layout = lay_out(cached, transition, window)
        assert layout.block == block
        cached = _next_cached(cached, layout, window.block)


@pytest.mark.parametrize("rule", COORDINATE_RULES)
def test_a_cut_moves_only_the_block(rule):
    window = Window(coordinates=rule)
    flushed, cut = lay_out(AT_6, SWITCH, window), lay_out(AT_6, CUT, window)
    assert (flushed.slots, flushed.context) == (cut.slots, cut.context)
    assert flushed.block != cut.block


def _next_cached(cached: tuple[int, ...], layout: Layout, block: int) -> tuple[int, ...]:
    """Return the cached frames after a block: the visible ones and its own."""
    first = cached[-1] + 1 if cached else 0
    return (*(cached[slot] for slot in layout.slots), *range(first, first + block))


def _random_window(rng: random.Random) -> Window:
    sink, block = rng.randint(0, 3), rng.choice((1, 3, 3, 4))
    size = rng.choice((6, 12, 21))
    return Window.from_size(
        max(size, sink + block + 1),
        sink=sink,
        block=block,
        flush_context=rng.randint(0, 3),
        cut_coordinate=rng.randint(45, 200),
        coordinates=rng.choice(("rank", "onset")),
        on_switch=rng.choice(("flush", "flush", "none")),
    )


@pytest.mark.parametrize("seed", range(40))
def test_in_250_blocks_of_random_transitions_every_block_sees_the_sink_and_the_newest_frames(seed):
    rng = random.Random(seed)
    window, cached = _random_window(rng), ()
    for index in range(250):
        transition = rng.choice((CONTINUE, CONTINUE, CONTINUE, SWITCH, CUT)) if index else START
        layout = lay_out(cached, transition, window)
        visible = tuple(cached[slot] for slot in layout.slots)
        _check_visible_frames(visible, transition, window, made=index * window.block)
        _check_coordinates(layout, transition, window)
        cached = _next_cached(cached, layout, window.block)
    assert cached[: window.sink] == tuple(range(window.sink))


def _check_visible_frames(visible: tuple[int, ...], transition: Transition, window: Window, made: int) -> None:
    """Check that the visible frames are the rollout's first and its newest ones, and fit the window."""
    sink, recent = visible[: window.sink], visible[window.sink :]
    assert sink == tuple(range(min(window.sink, made)))
    assert recent == tuple(range(made - len(recent), made))
    assert len(visible) + window.block <= window.size
    if transition is CUT or (transition is SWITCH and window.on_switch == "flush"):
        assert len(recent) == min(window.flush_context, window.context, max(0, made - window.sink))


def _check_coordinates(layout: Layout, transition: Transition, window: Window) -> None:
    """Check that coordinates are ordered, the block behind its context, and in the trained range except on a cut."""
    last = window.size - 1 if window.coordinates == "rank" else window.onset_index
    first = 0 if window.coordinates == "rank" else 1
    assert layout.block == tuple(range(layout.block[0], layout.block[0] + window.block))
    assert list(layout.context) == sorted(layout.context)
    assert all(first <= coordinate < layout.block[0] for coordinate in layout.context)
    distinct = [coordinate for coordinate in layout.context if coordinate > first]
    assert len(set(distinct)) == len(distinct)
    if transition is CUT:
        assert layout.block[0] == window.cut_coordinate
    else:
        assert layout.block[-1] <= last
    if window.coordinates == "rank":
        assert layout.context == tuple(range(len(layout.slots)))


def test_coordinates_import_no_torch():
    code = "import sys, infrope_env.dynamics.coordinates; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
