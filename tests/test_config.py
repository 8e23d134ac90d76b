"""Valid settings, and the error for every invalid one."""

import dataclasses

import pytest

from infrope_env.config import WAN_1_3B, WAN_14B, ModelConfig, Sampler, Window

SMALL = {"dim": 48, "ffn_dim": 96, "num_heads": 4, "num_layers": 2, "latent_size": (4, 6)}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, Window()),
        ({}, Window()),
        (12, Window(context=8)),
        ({"size": 12, "sink": 3}, Window(sink=3, context=6)),
        ({"context": 5, "coordinates": "onset"}, Window(context=5, coordinates="onset")),
        (Window(sink=0), Window(sink=0)),
    ],
)
def test_a_window_is_read_from_a_size_or_from_settings(given, expected):
    assert Window.parse(given) == expected


def test_settings_that_are_not_given_have_the_defaults_value():
    assert Window.parse({"sink": 2}, default=Window.release()) == Window(sink=2, flush_context=2)
    assert Window.parse(21, default=Window.paper()) == Window(context=17, coordinates="onset")
    assert Window.parse(None, default=Window.paper()) == Window.paper()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (4, "expected a window of at least 5 frames (sink 1, block 3), got 4"),
        (True, "expected window size to be a whole number, got True"),
        ("12", "expected window to be a size or a table of settings, got '12'"),
        (6.0, "expected window to be a size or a table of settings, got 6.0"),
        ({"size": 6.5}, "expected window size to be a whole number, got 6.5"),
        ({"size": 6, "context": 2}, "give a window either size or context, not both"),
        ({"sinc": 1}, "unknown window setting 'sinc'; known are size, sink, context, block, "),
        ({"sinc": 1, 2: 3}, "unknown window setting '2'; known are size, "),
        ({"sink": -1}, "expected window sink to be at least 0, got -1"),
        ({"sink": "1"}, "expected window sink to be a whole number, got '1'"),
        ({"block": 0}, "expected window block to be at least 1, got 0"),
        ({"coordinates": "ranks"}, "expected coordinates to be one of ('rank', 'onset', 'absolute'), got 'ranks'"),
        ({"on_switch": "cut"}, "expected on_switch to be one of ('flush', 'none', 'no_cache', 'recache'), got 'cut'"),
        ({"cut_coordinate": 1}, "expected cut_coordinate outside the context and inside the rotary table, 2 to 1021"),
        ({"cut_coordinate": 1022}, "2 to 1021, got 1022"),
        ({"coordinates": "onset", "cut_coordinate": 21}, "22 to 1021, got 21"),
        ({"coordinates": "onset", "onset_index": 3}, "expected onset_index to be larger than the block's 3 frames"),
        ({"context": 1021}, "expected a window of at most 1024 frames, got 1025"),
    ],
)
def test_an_impossible_window_is_refused_with_the_reason(given, sentence):
    with pytest.raises(ValueError) as caught:
        Window.parse(given)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(("size", "sink", "block"), [(6, 1, 3), (12, 3, 3), (21, 0, 3), (5, 2, 1)])
def test_a_window_from_a_size_has_that_size(size, sink, block):
    window = Window.from_size(size, sink=sink, block=block)
    assert window.size == size == sink + window.context + block


def test_size_and_context_together_are_refused():
    with pytest.raises(ValueError, match="either size or context"):
        Window.from_size(12, context=3)


def test_a_flush_never_keeps_more_than_the_context_holds():
    assert Window(context=2, flush_context=5).kept_on_flush == 2
    assert Window(context=8, flush_context=2).kept_on_flush == 2


def test_the_named_windows_differ_from_the_default_in_one_field():
    assert Window.release() == dataclasses.replace(Window(), flush_context=2)
    assert Window.paper() == dataclasses.replace(Window(), coordinates="onset")
    assert (Window().size, Window().flush_context, Window().cut_coordinate, Window().onset_index) == (6, 1, 45, 21)


@pytest.mark.parametrize(
    ("config", "head_dim", "tokens"), [(WAN_1_3B, 128, 1560), (WAN_14B, 128, 1560), (ModelConfig(**SMALL), 12, 6)]
)
def test_head_and_token_counts_are_derived(config, head_dim, tokens):
    assert (config.head_dim, config.tokens_per_frame, config.rows * config.cols) == (head_dim, tokens, tokens)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"dim": 50}, "expected dim to be an even multiple of num_heads, got 50 and 4"),
        ({"dim": 36}, "expected dim to be an even multiple of num_heads, got 36 and 4"),
        ({"num_heads": 0}, "expected num_heads to be at least 1, got 0"),
        ({"latent_size": (4, 5)}, "expected latent_size to be two multiples of (2, 2), got (4, 5)"),
        ({"latent_size": (4, 6, 8)}, "expected latent_size to be two multiples of (2, 2)"),
        ({"latent_size": (0, 6)}, "expected latent_size to be two multiples of (2, 2)"),
        ({"patch": (2, 4)}, "expected latent_size to be two multiples of (2, 4), got (4, 6)"),
        ({"patch": (2, 0)}, "expected patch to be two sides of at least 1, got (2, 0)"),
        ({"patch": (1, 2, 2)}, "expected patch to be two sides of at least 1, got (1, 2, 2)"),
        ({"freq_dim": 7}, "expected freq_dim to be even and at least 2, got 7"),
    ],
)
def test_an_impossible_model_is_refused_with_the_reason(change, sentence):
    with pytest.raises(ValueError) as caught:
        ModelConfig(**(SMALL | change))
    assert sentence in str(caught.value)


def test_lists_from_json_equal_tuples_from_python():
    assert ModelConfig(**(SMALL | {"latent_size": [4, 6]})) == ModelConfig(**SMALL)
    assert ModelConfig(**(SMALL | {"patch": 2})) == ModelConfig(**(SMALL | {"patch": [2, 2]})) == ModelConfig(**SMALL)
    assert Sampler(steps=[1000, 500]) == Sampler((1000, 500))


@pytest.mark.parametrize("steps", [(250, 500), (1000, 1000), (1000, -1), (1001, 500), (0,)])
def test_steps_that_do_not_fall_are_refused(steps):
    with pytest.raises(ValueError, match="expected steps to fall from at most 1000, to 0 at last"):
        Sampler(steps)
    with pytest.raises(ValueError, match="expected first_steps to fall from at most 1000"):
        Sampler(first_steps=steps)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"steps": (1000, 750.5)}, "expected steps to be whole numbers, got (1000, 750.5)"),
        ({"steps": (True,)}, "expected steps to be whole numbers"),
        ({"steps": "1000"}, "expected steps to be a list of whole numbers, got '1000'"),
        ({"steps": ()}, "expected steps to be 1 to 64 whole numbers, got 0"),
        ({"first_steps": range(1000, 0, -1)}, "expected first_steps to be 1 to 64 whole numbers, got 1000"),
        ({"shift": 0}, "expected shift to be above 0 and at most 1000, got 0"),
        ({"shift": float("nan")}, "expected shift to be above 0 and at most 1000, got nan"),
        ({"shift": "5"}, "expected shift to be above 0 and at most 1000, got '5'"),
        ({"warped": 1}, "expected warped to be true or false, got 1"),
    ],
)
def test_an_impossible_sampler_is_refused_with_the_reason(settings, sentence):
    with pytest.raises(ValueError) as caught:
        Sampler(**settings)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("given", "sampler"),
    [
        (None, Sampler(shift=3.0)),
        ("1000,500", Sampler((1000, 500), 3.0)),
        ("1000, 750, 500, 250 / 1000", Sampler((1000,), 3.0, (1000, 750, 500, 250))),
        ("1000,500,0", Sampler((1000, 500, 0), 3.0)),
        ([1000, 500], Sampler((1000, 500), 3.0)),
        ({"steps": [1000, 757, 522], "shift": 8.0, "warped": False}, Sampler((1000, 757, 522), 8.0, warped=False)),
        ({"first_steps": [1000, 250]}, Sampler(shift=3.0, first_steps=(1000, 250))),
        (Sampler((1000,)), Sampler((1000,))),
    ],
)
def test_a_sampler_is_read_from_text_lists_and_tables(given, sampler):
    assert Sampler.parse(given, default=Sampler(shift=3.0)) == sampler


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("1000/500/250", "expected steps such as 1000,750,500,250 or, with those of the first block before a slash"),
        ("fast", "expected steps such as 1000,750,500,250"),
        ({"step": [1000]}, "unknown sampler setting 'step'; known are steps, shift, first_steps, warped"),
        (4, "expected a sampler to be steps or a table of settings, got 4"),
        ("500,1000", "expected steps to fall"),
    ],
)
def test_text_that_names_no_sampler_is_refused(given, sentence):
    with pytest.raises(ValueError) as caught:
        Sampler.parse(given)
    assert sentence in str(caught.value)


FOUR = (1000, 750, 500, 250)


@pytest.mark.parametrize(
    ("sampler", "count", "chosen"),
    [
        (Sampler(), 1, Sampler((1000,))),
        (Sampler(), 2, Sampler((1000, 500))),
        (Sampler(), 3, Sampler((1000, 750, 500))),
        (Sampler(), 4, Sampler()),
        (Sampler((1000, 757, 522), 8.0, warped=False), 2, Sampler((1000, 757), 8.0, warped=False)),
        (Sampler((1000,), first_steps=FOUR), 1, Sampler((1000,), first_steps=FOUR)),
        (Sampler((1000,), first_steps=FOUR), 2, Sampler((1000, 500), first_steps=FOUR)),
        (Sampler((1000,), first_steps=FOUR), 4, Sampler(FOUR)),
        (Sampler((*FOUR, 0)), 4, Sampler(FOUR)),
    ],
)
def test_a_number_of_steps_chooses_among_the_samplers_own(sampler, count, chosen):
    assert sampler.with_count(count) == chosen


@pytest.mark.parametrize("count", [0, 5, -1, True, 2.0, "2"])
def test_a_number_of_steps_that_a_sampler_does_not_have_is_refused(count):
    with pytest.raises(ValueError, match=f"expected steps to be a whole number from 1 to 4, got {count!r}"):
        Sampler().with_count(count)


def test_the_text_of_a_sampler_in_earlier_recordings_is_still_its_text():
    assert str(Sampler()) == "Sampler(steps=(1000, 750, 500, 250), shift=5.0)"
    assert str(Sampler((1000,), 8.0, (1000, 250), warped=False)) == (
        "Sampler(steps=(1000,), shift=8.0, first_steps=(1000, 250), warped=False)"
    )
    longest = range(1000, 1000 - 64, -1)
    assert len(str(Sampler(longest, 1e-9, longest, warped=False))) < 1000  # what a recording accepts
