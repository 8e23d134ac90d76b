"""Memory policies as integers: literal layouts, and invariants over long random rollouts."""

import random

import pytest

from infrope_env.config import Window
from infrope_env.control.actions import Transition
from infrope_env.dynamics.coordinates import (
    LONG_MEMORY,
    SHORT_MEMORY,
    Folding,
    cached_after,
    lay_out,
    rephased,
    rolled_slots,
    to_and_fro,
)
from infrope_env.models.compile import paths_to_context_lengths
from tests.dynamics.test_memory import WINDOWS

START, CONTINUE, SWITCH, CUT = Transition
ROLLING = Window.from_size(9, memory="rolling_sink")  # a sink of 3, a context of 3
ARCHIVE = (0, 1, 2, 3, 4, 5)
EMA = Window.from_size(9, memory="ema")  # a sink of 1, two memory tokens, a context of 3
AVERAGED = (0, LONG_MEMORY, SHORT_MEMORY, 7, 8, 9)


def test_an_archive_is_read_to_and_fro():
    assert [to_and_fro(frame, 3) for frame in range(12)] == [0, 1, 2, 2, 1, 0, 0, 1, 2, 2, 1, 0]


@pytest.mark.parametrize(
    ("newest", "transition", "seen"),
    [
        ((6, 7, 8), CONTINUE, (3, 4, 5, 6, 7, 8)),  # the sink is where a longer window would be
        ((9, 10, 11), CONTINUE, (5, 4, 3, 9, 10, 11)),  # 6, 7, 8 are the archive's 5, 4, 3
        ((12, 13, 14), CONTINUE, (2, 1, 0, 12, 13, 14)),
        ((15, 16, 17), CONTINUE, (0, 1, 2, 15, 16, 17)),
        ((15, 16, 17), SWITCH, (0, 1, 2, 17)),
        ((17, 18, 19, 20), CONTINUE, (3, 4, 5, 18, 19, 20)),  # after a flush that kept 17
        ((17,), CONTINUE, (0, 1, 2, 17)),  # no frame from before the flush is context
    ],
)
def test_a_rolling_sink_shows_its_archive_in_turn(newest, transition, seen):
    cached = (*ARCHIVE, *newest)
    layout = lay_out(cached, transition, ROLLING)
    assert tuple(cached[slot] for slot in layout.slots) == seen
    assert layout.context == tuple(range(len(seen)))
    assert {cached[slot] for slot in layout.kept} == {*ARCHIVE, *seen}


def test_a_rolling_sink_is_that_of_the_release_at_window_21():
    """Its code replaces the frames of the block before the newest, from frame 18 on, by 17, 16, 15, and so on."""
    window = Window.from_size(21, memory="rolling_sink")
    assert (window.sink, window.context) == (15, 3)
    archive = tuple(range(18))
    slots = rolled_slots((*archive, 18, 19, 20, 21, 22, 23), 15, 3, 3)
    assert slots == (*range(6, 18), 17, 16, 15, 21, 22, 23)


def test_the_memory_tokens_take_in_what_no_later_block_sees():
    layout = lay_out((0, 1, 2), CONTINUE, EMA)
    assert layout.slots == (0, 1, 2)
    assert layout.folding == Folding(
        ((LONG_MEMORY, (1, 2)), (SHORT_MEMORY, (1, 2))), (0, LONG_MEMORY, SHORT_MEMORY, 3, 4, 5)
    )
    layout = lay_out(AVERAGED, CONTINUE, EMA)
    assert (layout.slots, layout.context, layout.block) == (tuple(range(6)), tuple(range(6)), (6, 7, 8))
    assert layout.folding.sources == ((LONG_MEMORY, (7, 8, 9)), (SHORT_MEMORY, (7, 8, 9)))


@pytest.mark.parametrize(
    ("forget", "transition", "slots", "lost"),
    [
        ("never", SWITCH, (0, 1, 2, 5), (7, 8, 9)),  # 7 and 8 by the flush, 9 because it is out of reach afterwards
        ("never", CUT, (0, 1, 2, 5), (7, 8, 9)),
        ("cut", SWITCH, (0, 1, 2, 5), (7, 8, 9)),
        ("cut", CUT, (0, 5), (9,)),
        ("flush", SWITCH, (0, 5), (9,)),
    ],
)
def test_a_flush_leaves_the_memory_tokens_or_begins_new_ones(forget, transition, slots, lost):
    window = Window.from_size(9, memory="ema", forget=forget)
    layout = lay_out(AVERAGED, transition, window)
    assert layout.slots == slots
    assert layout.folding.sources == ((LONG_MEMORY, lost), (SHORT_MEMORY, lost))
    assert layout.folding.cached == (0, LONG_MEMORY, SHORT_MEMORY, 10, 11, 12)


def test_a_sink_takes_in_the_frames_of_its_places():
    window = Window.from_size(9, sink=3, memory="ema_sink")
    layout = lay_out((0, 1, 2, 6, 7, 8), CONTINUE, window)
    assert layout.folding == Folding(((0, (6,)), (1, (7,)), (2, (8,))), (0, 1, 2, 9, 10, 11))


@pytest.mark.parametrize(
    ("forget", "transition", "slots"),
    [
        ("never", CUT, (0, 1, 2, 3, 6)),
        ("cut", CUT, (0, 6)),
        ("cut", SWITCH, (0, 1, 2, 3, 6)),
        ("flush", SWITCH, (0, 6)),
    ],
)
def test_a_deep_sink_outlives_a_flush_or_begins_anew_behind_the_first_frame(forget, transition, slots):
    window = Window.from_size(9, memory="deep_sink", forget=forget)  # a sink of 4, a context of 2
    cached = (0, 1, 2, 3, 90, 91, 92)
    layout = lay_out(cached, transition, window)
    assert layout.slots == slots
    after = cached_after(cached, layout)
    seen = lay_out(after, CONTINUE, window).slots
    assert tuple(after[slot] for slot in seen) == ((0, 1, 2, 3, 94, 95) if len(slots) > 2 else (0, 92, 93, 94, 95))


@pytest.mark.parametrize("coordinates", ["rank", "onset", "absolute"])
def test_a_deep_sink_follows_the_context(coordinates):
    assert rephased(4, 24) == (20, 21, 22, 23)
    window = Window.from_size(9, memory="deep_sink", coordinates=coordinates)
    layout = lay_out((0, 1, 2, 3, 90, 91, 92), CONTINUE, window)
    start = {"rank": 6, "onset": 19, "absolute": 93}[coordinates]
    assert layout.context == tuple(range(start - 6, start)) and layout.block == (start, start + 1, start + 2)


@pytest.mark.parametrize("window", WINDOWS, ids=repr)
def test_sizes_and_coordinates_stay_within_bounds_and_shapes_are_foreseen(window):
    chance, cached, lengths = random.Random(5), (), paths_to_context_lengths(window)
    for index in range(1500):
        transition = chance.choice((CONTINUE, CONTINUE, CONTINUE, SWITCH, CUT)) if index else START
        layout = lay_out(cached, transition, window)
        assert len(layout.slots) <= window.size - window.block and len(layout.slots) in lengths
        assert layout.context == tuple(range(len(layout.slots)))
        after = cached_after(cached, layout)
        reserved = {*cached} if layout.folding else {cached[slot] for slot in layout.kept}
        averages = len(layout.folding.sources) if layout.folding else 0
        assert len(reserved) + window.block + averages <= window.cache_slots
        assert len(set(after)) == len(after) and after[-1] == window.block * (index + 1) - 1
        cached = after


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"memory": "big"}, "expected memory to be one of ('sink', 'deep_sink', 'rolling_sink', 'ema', 'ema_sink', "),
        ({"memory": "ema", "forget": "always"}, "expected forget to be one of ('never', 'cut', 'flush'), got 'always'"),
        ({"forget": "cut"}, "memory='sink' has nothing to forget: expected forget='never' with it, got 'cut'"),
        ({"memory": "ema_sink", "forget": "cut"}, "memory='ema_sink' has nothing to forget"),
        ({"memory": "ema", "coordinates": "onset"}, "memory='ema' has frames without a time: expected coordinates="),
        ({"memory": "rolling_sink", "coordinates": "absolute"}, "coordinates='rank', got 'absolute'"),
        ({"memory": "ema", "on_switch": "recache"}, "memory='ema' cannot be encoded again: expected on_switch other"),
        ({"memory": "ema", "sink": 1, "context": 0}, "expected a context of at least 1 frame with memory='ema', got 0"),
        ({"memory": "ema", "size": 5}, "expected a window of at least 6 frames (sink 0, block 3, memory tokens 2)"),
        (
            {"memory": "rolling_sink", "sink": 0},
            "expected a sink of at least 1 frame with memory='rolling_sink', got 0",
        ),
        ({"memory": "deep_sink", "size": 12, "sink": 3}, "to have a sink of 5 to 7 frames in a window of 12, got 3"),
        ({"memory": "deep_sink", "size": 24, "coordinates": "onset"}, "a window of at most onset_index frames (21)"),
        ({"flex_horizon": 21}, "expected flex_horizon to be more than the 21 frames of training, or 0, got 21"),
    ],
)
def test_an_impossible_memory_is_refused_with_the_reason(fields, sentence):
    with pytest.raises(ValueError) as caught:
        Window.parse(fields)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "sizes"),
    [
        ({"memory": "deep_sink"}, (2, 1, 6)),
        ({"memory": "deep_sink", "size": 21}, (10, 8, 21)),  # Deep Forcing's
        ({"memory": "rolling_sink"}, (1, 2, 6)),
        ({"memory": "rolling_sink", "size": 9}, (3, 3, 9)),
        ({"memory": "ema"}, (0, 1, 6)),
        ({"memory": "ema", "size": 12, "sink": 3}, (3, 4, 12)),  # MemRoPE's
        ({"memory": "ema", "sink": 1, "context": 4}, (1, 4, 10)),
        ({"memory": "jitter", "size": 9}, (1, 5, 9)),
    ],
)
def test_a_memory_divides_the_window(fields, sizes):
    window = Window.parse(fields)
    assert (window.sink, window.context, window.size) == sizes


def test_another_memory_divides_the_same_size_anew():
    base = Window.parse({"memory": "ema", "size": 12}, default=Window(sink=3))
    assert Window.parse({"memory": "deep_sink"}, default=base).size == 12
    assert Window.parse({"memory": "sink"}, default=base) == Window.from_size(12, sink=3)
    forgetful = Window.from_size(9, memory="ema", forget="cut")
    assert Window.parse(None, forgetful, memory="ema") == forgetful
    assert Window.parse(None, forgetful, memory="jitter") == Window.from_size(9, memory="jitter")
    assert Window.parse(7, Window(), memory="ema") == Window.from_size(7, memory="ema")
    assert Window.parse(forgetful, memory="rolling_sink") == Window.from_size(9, memory="rolling_sink")
