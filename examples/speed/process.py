"""Processes of the comparison: one per arm, each in its tree, and a checkout of the earlier commit."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import numpy as np

from examples.speed.arms import Arm

ROOT = Path(__file__).parents[2]
WORKER = Path(__file__).with_name("worker.py")
ENDING_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


class ArmProcess:
    """An arm that plays on request. Between requests it waits, and takes no time from the others.

    Attributes:
        arm: The arm.
        first_block_s: Seconds from the making of the environment to its first block.
    """

    def __init__(self, arm: Arm, tree: Path, env_id: str, arguments: Mapping[str, object], isa: str | None) -> None:
        """Start the process and wait for its first block; RuntimeError where there is none."""
        self.arm = arm
        paths = [str(tree), *filter(None, [os.environ.get("PYTHONPATH")])]
        variables = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
        variables |= {} if isa is None else {"ONEDNN_MAX_CPU_ISA": isa}
        command = [sys.executable, str(WORKER), env_id, json.dumps({**arguments, **arm.arguments})]
        self._process = subprocess.Popen(
            command, cwd=tree, env=variables, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        try:
            self.first_block_s = self._answer()["first_block_s"]
        except BaseException:
            self.close()
            raise

    def play(self, blocks: int, seed: int, folder: Path) -> tuple[list[dict[str, float]], np.ndarray]:
        """Return milliseconds by part of every block, and the frames, blocks t H W 3."""
        file = folder / "frames.npy"
        answer = self._ask({"play": str(file), "blocks": blocks, "seed": seed})
        return answer["blocks"], np.load(file)

    def press_keys(self, presses: int, seed: int) -> list[float]:
        """Return milliseconds from key to pixel."""
        return [1000 * each for each in self._ask({"presses": presses, "seed": seed})["latencies_s"]]

    def close(self) -> None:
        """End the process."""
        with contextlib.suppress(OSError):
            self._process.stdin.close()  # type: ignore[union-attr]
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ask(self, request: Mapping[str, object]) -> dict[str, Any]:
        print(json.dumps(request), file=self._process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline()  # type: ignore[union-attr]
        if not line:
            raise RuntimeError(f"the arm {self.arm.name!r} ended; its error is above")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextlib.contextmanager
def exit_on_signals() -> Iterator[None]:
    """Raise SystemExit when this process is asked to end, so that temporary folders are removed.

    Further signals of the kind are ignored meanwhile.
    """

    def leave(number: int, frame: FrameType | None) -> NoReturn:
        for ending in ENDING_SIGNALS:
            signal.signal(ending, signal.SIG_IGN)
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in ENDING_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def checkout(commit: str) -> Iterator[Path]:
    """Check a commit out into a temporary git worktree, which is removed at the end.

    Raises:
        ValueError: The repository has no such commit.
    """
    with tempfile.TemporaryDirectory(prefix="infrope-before-") as folder:
        tree = Path(folder) / "tree"
        try:
            status, errors = _git_worktree("add", "--detach", str(tree), commit)
            if status:
                raise ValueError(f"the commit {commit!r} cannot be checked out: {errors.strip().splitlines()[-1]}")
            yield tree
        finally:
            _git_worktree("remove", "--force", str(tree))


def _git_worktree(*arguments: str) -> tuple[int, str]:
    """Run git worktree and return its exit status and errors; an exception ends git, which undoes what it began."""
    command = ["git", "-C", str(ROOT), "worktree", *arguments]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as git:
        try:
            _, errors = git.communicate()
        except BaseException:
            git.terminate()
            raise
        return git.returncode, errors
