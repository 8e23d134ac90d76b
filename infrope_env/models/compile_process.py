"""The process that compiles a model's code while a player plays: `python -m infrope_env.models.compile_process JSON`.

It ends, with the compilers that it runs, when its standard input ends: so it never outlives the process that began it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import threading
from pathlib import Path

WORK = "work"  # folder of the compiler, below that of the code
SETTINGS = {"TORCHINDUCTOR_COMPILE_THREADS": "1", "OMP_NUM_THREADS": "1"}


def main(arguments: str) -> None:
    """Compile what is missing in a folder.

    Args:
        arguments: JSON with "weights" and "options" of the model, "block" in latent frames, and the "folder".
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    given = json.loads(arguments)
    folder = Path(given["folder"])
    os.environ |= SETTINGS | {"TORCHINDUCTOR_CACHE_DIR": str(folder / WORK)}
    import torch
    from filelock import FileLock

    from infrope_env.folder_lock import LOCK
    from infrope_env.models.native_code import compile_code
    from infrope_env.models.options import LoadOptions
    from infrope_env.models.resolve import load_model

    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / LOCK).acquire(poll_interval=1):  # another process may be compiling the same
        compile_code(load_model(given["weights"], LoadOptions(**given["options"])), given["block"], folder)
        shutil.rmtree(folder / WORK, ignore_errors=True)


def _end_with_parent() -> None:
    """Wait for the end of standard input, then end this process and the compilers that it has started."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1])
