"""Prompts that are encoded while the world plays: one after another, behind every prompt that play waits for."""

import logging
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from infrope_env.text import background
from infrope_env.text.encoder import LargeTextEncoder
from infrope_env.text.prompt_cache import PromptCache
from infrope_env.text.prompt_files import EncoderId
from infrope_env.text.turns import EncodingStopped, Turns, interrupt

TIMEOUT_S = 10


class SteppedEncoder:
    """A large encoder whose background work goes on by permits; it lists what it encoded."""

    text_len, text_dim, fingerprint, available, batch_size = 2, 3, "stepped" * 4, True, 1
    seconds_each: float | None = None

    def __init__(self) -> None:
        self.turns, self.encoded, self.permits = Turns(), list[str](), threading.Semaphore(0)
        self.reached = threading.Semaphore(0)

    def __call__(self, texts: list[str], report: Callable[[float], None] = lambda _: None) -> Tensor:
        with self.turns.urgent():
            self.encoded += texts
            report(0.5)
            return self.rows(texts)

    def encode_in_background(
        self, texts: list[str], stopped: Callable[[], bool], report: Callable[[float], None]
    ) -> Tensor:
        self.reached.release()
        while not self.permits.acquire(timeout=0.005):
            self.turns.give_way(stopped)
        self.turns.give_way(stopped)
        self.encoded += [f"{text} in the background" for text in texts]
        return self.rows(texts)

    def rows(self, texts: list[str]) -> Tensor:
        return torch.stack([torch.full((2, 3), float(len(text))) for text in texts])

    def cut_of(self, text: str) -> str | None:
        return f"{text!r} is cut" if text.startswith("long") else None

    def release(self) -> None:
        pass


@pytest.fixture
def encoder() -> SteppedEncoder:
    encoder = SteppedEncoder()
    assert isinstance(encoder, LargeTextEncoder)
    return encoder


@pytest.fixture
def cache(encoder: SteppedEncoder, tmp_path: Path) -> Iterator[PromptCache]:
    cache = PromptCache(encoder, tmp_path)
    yield cache
    cache.stop_background()


def stored(folder: Path, encoder: SteppedEncoder, *texts: str) -> list[bool]:
    return [EncoderId.of(encoder).path_of(folder, text).is_file() for text in texts]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_texts_reach_the_disk_in_order_and_play_without_the_encoder(cache, encoder, tmp_path) -> None:
    encoder.permits.release(3)
    cache.encode_in_background(["a", "bb", "ccc"])
    wait_until(lambda: all(stored(tmp_path, encoder, "a", "bb", "ccc")))
    assert encoder.encoded == [f"{text} in the background" for text in ("a", "bb", "ccc")]
    assert cache["bb"].equal(encoder.rows(["bb"])) and len(encoder.encoded) == 3


def test_a_text_that_play_waits_for_comes_first_and_the_one_under_way_is_not_lost(cache, encoder, tmp_path) -> None:
    cache.encode_in_background(["a", "bb"])
    encoder.reached.acquire(timeout=TIMEOUT_S)  # "a" is under way
    assert cache["pressed"].equal(encoder.rows(["pressed"]))
    assert encoder.encoded == ["pressed"]
    encoder.permits.release(2)
    wait_until(lambda: all(stored(tmp_path, encoder, "a", "bb")))
    assert encoder.encoded[1:] == ["a in the background", "bb in the background"]


def test_the_background_stands_still_while_a_text_is_urgent(cache, encoder, tmp_path) -> None:
    cache.encode_in_background(["a"])
    encoder.reached.acquire(timeout=TIMEOUT_S)
    with encoder.turns.urgent():
        encoder.permits.release()
        time.sleep(0.05)
        assert encoder.encoded == [] and stored(tmp_path, encoder, "a") == [False]
    wait_until(lambda: stored(tmp_path, encoder, "a") == [True])


def test_a_text_under_way_is_waited_for_and_encoded_once(cache, encoder) -> None:
    cache.encode_in_background(["a"])
    encoder.reached.acquire(timeout=TIMEOUT_S)
    threading.Timer(0.05, encoder.permits.release).start()
    assert cache["a"].equal(encoder.rows(["a"]))
    assert encoder.encoded == ["a in the background"]


def test_a_new_request_changes_the_order(cache, encoder, tmp_path) -> None:
    cache.encode_in_background(["a", "bb", "ccc"])
    encoder.reached.acquire(timeout=TIMEOUT_S)
    cache.encode_in_background(["ccc", "a"])
    encoder.permits.release(9)
    wait_until(lambda: all(stored(tmp_path, encoder, "a", "ccc")))
    wait_until(lambda: not cache._background.active)
    assert encoder.encoded == ["a in the background", "ccc in the background"]


def test_stopping_is_prompt_keeps_what_is_done_and_can_begin_again(cache, encoder, tmp_path) -> None:
    encoder.permits.release()
    cache.encode_in_background(["a", "bb"])
    wait_until(lambda: stored(tmp_path, encoder, "a") == [True])
    began_s = time.monotonic()
    cache.stop_background()
    assert time.monotonic() - began_s < 1 and not cache._background.active
    assert stored(tmp_path, encoder, "a", "bb") == [True, False]
    assert not list(tmp_path.glob("*/*.part"))
    encoder.permits.release()
    cache.encode_in_background(["a", "bb"])
    wait_until(lambda: stored(tmp_path, encoder, "bb") == [True])


def test_two_environments_of_one_encoder_take_turns_and_encode_nothing_twice(cache, encoder, tmp_path) -> None:
    other = PromptCache(encoder, tmp_path)
    for each in (cache, other):
        each.encode_in_background(["a", "bb"])
    encoder.permits.release(9)
    wait_until(lambda: all(stored(tmp_path, encoder, "a", "bb")))
    other.stop_background()
    cache.stop_background()
    assert sorted(encoder.encoded) == ["a in the background", "bb in the background"]


def test_a_cache_that_is_gone_stops_its_thread(encoder, tmp_path) -> None:
    cache = PromptCache(encoder, tmp_path)
    cache.encode_in_background(["a", "bb"])
    encoder.reached.acquire(timeout=TIMEOUT_S)
    work = cache._background
    del cache
    wait_until(lambda: not work.active)


def test_a_failure_is_one_warning_and_leaves_the_rest_to_play(
    cache, encoder, tmp_path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> Tensor:
        raise torch.OutOfMemoryError("the GPU has no room")

    monkeypatch.setattr(encoder, "encode_in_background", full)
    for _ in range(2):
        cache.encode_in_background(["a", "bb"])
        wait_until(lambda: not cache._background.active)
    assert caplog.messages == ["the other prompts are encoded when they are first used: the GPU has no room"]
    assert cache["a"].equal(encoder.rows(["a"]))


def test_a_full_disk_ends_the_work_with_the_warning_of_the_file(
    cache, encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", refuse)
    encoder.permits.release(9)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        cache.encode_in_background(["a", "bb"])
        wait_until(lambda: not cache._background.active)
    assert [str(warning.message).count("No space left") for warning in caught] == [1]


def test_nothing_is_encoded_ahead_where_it_cannot_be_kept_or_is_refused(
    encoder, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    PromptCache(encoder).encode_in_background(["a"])
    monkeypatch.setattr(encoder, "available", False)
    PromptCache(encoder, tmp_path).encode_in_background(["a"])
    monkeypatch.setattr(encoder, "available", True)
    monkeypatch.setattr(background, "is_forked", lambda: True)
    PromptCache(encoder, tmp_path).encode_in_background(["a"])
    assert not encoder.reached.acquire(timeout=0.05)


def test_what_is_encoded_already_is_passed_over(cache, encoder, tmp_path) -> None:
    cache.encode_all(["a"])
    encoder.permits.release(9)
    cache.encode_in_background(["a", "bb"])
    wait_until(lambda: not cache._background.active)
    assert encoder.encoded == ["a", "bb in the background"]


def test_a_long_text_says_once_that_it_is_cut_also_when_it_is_read_from_disk(
    cache, encoder, tmp_path, caplog: pytest.LogCaptureFixture
) -> None:
    encoder.permits.release()
    cache.encode_in_background(["long text"])
    wait_until(lambda: stored(tmp_path, encoder, "long text") == [True])
    assert "'long text' is cut" not in caplog.messages  # nobody has used it
    for _ in range(2):
        cache["long text"]
    assert caplog.messages.count("'long text' is cut") == 1
    assert [record.levelno for record in caplog.records if "is cut" in record.getMessage()] == [logging.WARNING]
    PromptCache(encoder, tmp_path)["short"]
    assert caplog.messages.count("'short' is cut") == 0


def test_a_thread_that_waits_for_a_text_can_be_interrupted(cache, encoder) -> None:
    cache.encode_in_background(["a"])
    encoder.reached.acquire(timeout=TIMEOUT_S)
    raised: list[BaseException] = []

    def wait() -> None:
        try:
            cache["a"]
        except EncodingStopped as error:
            raised.append(error)

    thread = threading.Thread(target=wait)
    interrupt(thread)  # it does not wait: nothing happens
    thread.start()
    time.sleep(0.02)
    wait_until(lambda: bool(interrupt(thread)) or not thread.is_alive())
    assert len(raised) == 1


def test_waiting_for_a_turn_ends_when_the_work_is_stopped() -> None:
    turns, stopped = Turns(), threading.Event()
    with turns.background(lambda: ["a"], lambda: False) as texts, pytest.raises(EncodingStopped):
        assert texts == ["a"]
        stopped.set()
        with turns.background(lambda: ["b"], stopped.is_set):
            pass
