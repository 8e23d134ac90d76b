"""Threads with a number of torch threads and a priority of their own."""

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from infrope_env.text import own_thread
from infrope_env.text.own_thread import NICENESS, processors, start_thread


def test_a_thread_has_its_own_number_of_torch_threads_and_all_others_keep_theirs() -> None:
    go_on = threading.Event()

    def task() -> int:
        go_on.wait()
        return torch.get_num_threads()

    running = start_thread(task, threads=3, name="three")
    with ThreadPoolExecutor(1) as later:
        assert torch.get_num_threads() == later.submit(torch.get_num_threads).result() == 1
    go_on.set()
    assert running.result() == 3 and torch.get_num_threads() == 1


def test_an_error_is_raised_where_the_result_is_asked_for() -> None:
    with pytest.raises(ZeroDivisionError):
        start_thread(lambda: 1 // 0, threads=1, name="wrong").result()


def test_a_forked_process_computes_with_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_thread, "is_forked", lambda: True)
    assert start_thread(torch.get_num_threads, threads=3, name="forked").result() == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a priority for every thread")
def test_only_a_background_thread_has_a_low_priority() -> None:
    def priority() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    before = priority()
    assert start_thread(priority, threads=1, background=True, name="low").result() == min(19, NICENESS)
    assert start_thread(priority, threads=1, name="usual").result() == priority() == before


@pytest.mark.parametrize(("quota", "expected"), [("max 100000", 8), ("150000 100000", 2), ("1000 100000", 1), ("?", 8)])
def test_a_container_s_quota_limits_the_processors(
    quota: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpu.max").write_text(quota)
    monkeypatch.setattr(own_thread, "CPU_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert processors() == expected
