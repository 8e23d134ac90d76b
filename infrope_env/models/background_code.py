"""Compiled code of a model that is there at once, from the cache folder, or later: a process compiles it meanwhile."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from dataclasses import asdict
from pathlib import Path

from infrope_env.dynamics.segments import SegmentedTransformer
from infrope_env.models.compile import can_compile
from infrope_env.models.native_code import code_folder, load_code
from infrope_env.models.options import LoadOptions
from infrope_env.models.world_model import WorldModel

BACKGROUND = "background"  # value of the environment's argument `compile`
MODULE = "infrope_env.models.compile_process"
LOWEST_PRIORITY = 19
LOG = "compile.log"

logger = logging.getLogger(__name__)


class BackgroundCode:
    """Compiled code of a model's transformer.

    Attributes:
        network: The compiled transformer; None until it is there, and where there is no compiler or it fails.
        possible: Whether there is code, or there may be some later.
        folder: Folder of the code.
    """

    def __init__(self, model: WorldModel, block: int, weights: str | None, options: LoadOptions) -> None:
        """Load the code if the cache folder has it; `start` compiles it otherwise.

        Args:
            model: Loaded, on the CPU; nothing of it is changed.
            block: Latent frames of a block.
            weights: The string that the model was loaded from.
            options: Options that the model was loaded with.
        """
        self._model, self.folder = model, code_folder(model, block)
        self._arguments = json.dumps(
            {"weights": weights, "options": asdict(options), "block": block, "folder": str(self.folder)}
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._waiter: threading.Thread | None = None
        self._stopping = False
        self.network: SegmentedTransformer | None = load_code(model, self.folder)
        self.possible = self.network is not None or can_compile(model.device)

    def start(self) -> None:
        """Begin to compile in a process of the lowest priority, unless the code is there or on its way."""
        if self._waiter is not None or self.network is not None or not self.possible:
            return
        logger.info("compiling in the background, which takes minutes the first time; kept in %s", self.folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._process = _spawn(self._arguments, self.folder / LOG)
        except OSError as error:
            self.possible = False
            logger.warning("playing uncompiled: compiling cannot begin: %s", error)
            return
        self._waiter = threading.Thread(target=self._load, args=(self._process,), name="infrope code", daemon=True)
        self._waiter.start()

    def wait(self) -> None:
        """Compile if need be, and wait until the code is there or has failed. Ctrl-C ends the compilation."""
        self.start()
        try:
            while self._waiter is not None and self._waiter.is_alive():
                self._waiter.join(0.5)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End a compilation that is under way; what it has finished is kept for the next time."""
        self._stopping = True
        if self._process is None or self._process.poll() is not None:
            return
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)  # the compilers that it runs are of its group
        else:
            self._process.kill()

    def _load(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for the process and load what it has compiled."""
        code = process.wait()
        if self._stopping:
            return
        network = load_code(self._model, self.folder) if code == 0 else None
        if network is None:
            self.possible = False
            logger.warning("playing uncompiled: compiling failed, see %s", self.folder / LOG)
        self.network = network


def _spawn(arguments: str, log: Path) -> subprocess.Popen[bytes]:
    """Start the process in a group of its own, which Ctrl-C in the terminal does not reach, at the lowest priority."""
    package = str(Path(__file__).parents[2])
    path = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", MODULE, arguments],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env=os.environ | {"PYTHONPATH": path},
            start_new_session=True,
        )
    try:
        if hasattr(os, "SCHED_IDLE"):  # takes only the time that nobody else wants
            os.sched_setscheduler(process.pid, os.SCHED_IDLE, os.sched_param(0))
        if hasattr(os, "setpriority"):
            os.setpriority(os.PRIO_PROCESS, process.pid, LOWEST_PRIORITY)
    except OSError:  # it has ended already, or a container forbids it: then it computes as others do
        pass
    return process
