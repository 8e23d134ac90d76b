"""A computation in a thread of its own: its settings, its errors and its end."""

import contextvars
import signal
import threading
import time

import pytest
import torch

from infrope_env.env_worker import ThreadSettings, Worker

PATIENCE_S = 30


def run(compute):
    worker = Worker(compute)
    worker.start()
    return worker.result()


def test_a_worker_computes_in_another_thread_and_returns_the_result():
    assert run(threading.current_thread) is not threading.current_thread()
    assert run(lambda: None) is None


def test_its_error_is_raised_where_the_result_is_asked_for():
    def fail():
        raise ValueError("no such block")

    worker = Worker(fail)
    worker.start()
    with pytest.raises(ValueError, match="no such block"):
        worker.result()
    assert worker.done and isinstance(worker.error, ValueError)


def settings_inside():
    return ThreadSettings.of_this_thread()


@pytest.mark.parametrize(
    "context",
    [
        torch.no_grad,
        torch.enable_grad,
        torch.inference_mode,
        lambda: torch.autocast("cpu", torch.float16),
        lambda: torch.device("meta"),
    ],
)
def test_it_computes_under_the_settings_of_its_caller(context):
    with context():
        here = ThreadSettings.of_this_thread()
        assert run(settings_inside) == here
    assert ThreadSettings.of_this_thread() != here or context is torch.enable_grad


def test_it_computes_with_as_many_threads_as_its_caller():
    def set_threads(count):
        torch.set_num_threads(count)

    torch.set_num_threads(2)
    assert run(torch.get_num_threads) == 2
    torch.set_num_threads(1)
    assert run(torch.get_num_threads) == 1
    other = threading.Thread(target=set_threads, args=(2,))
    other.start()
    other.join()
    assert torch.get_num_threads() == 1 == run(torch.get_num_threads)


def test_it_has_the_context_variables_of_its_caller():
    variable = contextvars.ContextVar("variable", default=0)
    variable.set(3)
    assert run(variable.get) == 3


def count_without_end(counted):
    while True:
        counted[0] += 1


def test_a_worker_is_stopped_at_any_line():
    counted, ended = [0], []

    def compute():
        try:
            count_without_end(counted)
        finally:
            ended.append(True)

    worker = Worker(compute)
    worker.start()
    while not counted[0]:
        time.sleep(0.001)
    worker.stop()
    assert worker.done and ended == [True] and isinstance(worker.error, SystemExit)
    made = counted[0]
    time.sleep(0.01)
    assert counted[0] == made
    worker.stop()  # again: nothing


def test_an_exception_that_a_destructor_swallows_is_raised_again(monkeypatch):
    monkeypatch.setattr("infrope_env.env_worker.STOP_AGAIN_S", 0.05)
    monkeypatch.setattr("sys.unraisablehook", lambda _: None)
    begun, counted = threading.Event(), [0]

    class SlowToEnd:
        def __del__(self):
            begun.set()
            end = time.monotonic() + PATIENCE_S
            while time.monotonic() < end:
                pass

    def compute():
        slow = SlowToEnd()
        del slow
        count_without_end(counted)

    worker = Worker(compute)
    worker.start()
    begun.wait()
    worker.stop()
    assert worker.done


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs timers")
def test_more_presses_of_ctrl_c_do_not_leave_a_worker_behind():
    release = threading.Event()
    worker = Worker(lambda: [release.wait(0.01) for _ in range(40) if not time.sleep(0.2)])  # a call that takes a while
    worker.start()
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    try:
        worker.stop()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert worker.done


def test_a_worker_that_is_stopped_before_it_begins_computes_nothing():
    computed = []
    worker = Worker(lambda: computed.append(True))
    worker.stop()
    worker.start()
    worker.wait(PATIENCE_S)
    assert worker.done and not computed
