"""Finished episodes are added to a dataset, in the plan's order, while others are made."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self

from infrope_env.export.exporter import Outcome, Target, export


class FleetExport:
    """A thread that exports episodes in a given order: each waits for those before it, to be made or to fail.

    The order makes the dataset independent of which worker was faster. As a context, it starts and ends the thread.

    Attributes:
        dataset: Folder of the export.
    """

    def __init__(self, out: Path, names: Sequence[str], dataset: Path, make_target: Callable[[Path], Target]) -> None:
        """Prepare.

        Args:
            out: Folder of the episodes' folders.
            names: Name of every episode, in order.
            dataset: Folder of the export.
            make_target: Opens it in some format.
        """
        self.dataset = dataset
        self._out, self._names, self._make_target = out, names, make_target
        self._settled: dict[str, bool] = {}
        self._is_stopped = False
        self._changed = threading.Condition()
        self._outcome: Outcome | None = None
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="fleet-export", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        with self._changed:
            self._is_stopped = True
            self._changed.notify()
        self._thread.join()

    def settle(self, name: str, made: bool) -> None:
        """Note that an episode is there, or that there will be none."""
        with self._changed:
            self._settled[name] = made
            self._changed.notify()

    def check(self) -> None:
        """Raise the error with which the export ended, if it did."""
        if self._error is not None:
            raise self._error

    def finish(self) -> Outcome:
        """Return the result when every episode is settled and exported.

        Raises:
            ExportError: The folder of the export cannot be written to.
            ValueError: It holds something else.
        """
        self._thread.join()
        self.check()
        assert self._outcome is not None, "a thread that ended has a result or an error"
        return self._outcome

    def _run(self) -> None:
        try:
            self._outcome = export(self._made(), self.dataset, self._make_target)
        except Exception as error:  # of a thread: `check` raises it
            self._error = error

    def _made(self) -> Iterator[Path]:
        """Yield the folders of the episodes that were made, in order, each as soon as its turn has come."""
        for name in self._names:
            with self._changed:
                while name not in self._settled and not self._is_stopped:
                    self._changed.wait()
                if self._is_stopped:
                    return
            if self._settled[name]:
                yield self._out / name / "episode_000"
