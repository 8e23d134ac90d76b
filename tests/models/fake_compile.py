"""The process that compiles, with other work: the code in $FAKE_COMPILE. It ends with its parent as the real one."""

import os
import subprocess  # noqa: F401  for the code that runs
import threading
import time  # noqa: F401
from pathlib import Path  # noqa: F401

from infrope_env.models.compile_process import _end_with_parent

if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    exec(os.environ["FAKE_COMPILE"])
