"""A fleet in a process of its own, whose workers and whose end can be watched."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import psutil

import infrope_env

T = TypeVar("T")
ROOT = Path(infrope_env.__file__).parents[1]
INTERRUPTIBLE = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
COMMAND = INTERRUPTIBLE + "import sys; from infrope_env.cli import main; sys.exit(main(sys.argv[1:]))"


@contextmanager
def fleet(*arguments: object) -> Iterator[psutil.Popen]:
    """Run `infrope fleet` with arguments; it is killed, with all it has started, if the test fails."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", COMMAND, "fleet", *map(str, arguments)]
    process = psutil.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    started: list[psutil.Process] = []
    try:
        yield process
    finally:
        if process.poll() is None:
            started = process.children(recursive=True)
            process.kill()
        for child in started:
            if child.is_running():
                child.kill()


def workers(process: psutil.Process) -> list[psutil.Process]:
    """Return the processes of the workers that are making an episode."""
    found = []
    for child in process.children(recursive=True):
        try:
            found += [child] if "ray::Worker.record" in " ".join(child.cmdline()) else []
        except psutil.Error:  # it ended meanwhile
            continue
    return found


def wait_for(condition: Callable[[], T], seconds: float = 300) -> T:
    """Wait until a condition holds; return its value."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"waited {seconds} s in vain"
        time.sleep(0.2)
    return value


def logs(out: Path) -> list[Path]:
    """Return the logs of the episodes that are being made."""
    return list(out.glob(".partial/*/episode_000/blocks.jsonl"))


def finished(out: Path) -> set[str]:
    """Return the names of the episodes that are there."""
    return {folder.parent.name for folder in out.glob("[!.]*/episode_000")}
