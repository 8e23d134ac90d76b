"""The scale of a run on the GPU, its shared generator, and the file and table of its results.

`INFROPE_GPU_TINY=1` rehearses everything on the CPU; `INFROPE_GPU_RESULTS` names the file to write.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from infrope_env.atomic_file import write_atomically
from infrope_env.config import Sampler, Window
from infrope_env.dynamics.rollout import Rollout
from infrope_env.recording.run_info import processor
from tests.gpu.measurements import Results, Scale, device_name, random_transformer

TINY_VARIABLE, RESULTS_VARIABLE = "INFROPE_GPU_TINY", "INFROPE_GPU_RESULTS"
DEFAULT_RESULTS = Path(__file__).parents[2] / "examples" / "results" / "wan_h200.json"
RESULTS = pytest.StashKey[Results]()


@pytest.fixture(scope="session")
def scale() -> Scale:
    if os.environ.get(TINY_VARIABLE):
        return Scale.tiny()
    if not torch.cuda.is_available():
        pytest.skip(f"needs a GPU; {TINY_VARIABLE}=1 rehearses on the CPU with a tiny network")
    return Scale(torch.device("cuda"))


@pytest.fixture(scope="session")
def results(scale: Scale, pytestconfig: pytest.Config) -> Iterator[Results]:
    """The findings of the tests, written as JSON after the last one, also when some of them failed."""
    rehearsal = bool(os.environ.get(TINY_VARIABLE))
    found = Results(
        numbers={
            "device": device_name(scale.device),
            "processor": processor(),
            "torch": torch.__version__,
            "rehearsal": rehearsal,
            "long_blocks": scale.long_blocks,
            "timed_blocks": scale.timed_blocks,
        }
    )
    pytestconfig.stash[RESULTS] = found
    yield found
    path = os.environ.get(RESULTS_VARIABLE) or (None if rehearsal else DEFAULT_RESULTS)
    if path is not None:
        write_atomically(Path(path), f"{found.to_json()}\n".encode())


@pytest.fixture(scope="module")
def rollout(scale: Scale) -> Rollout:
    """A rollout of the generator in bfloat16, shared by the tests of a module."""
    return Rollout(random_transformer(scale.generator, scale.device, torch.bfloat16), Window(), Sampler())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table and the JSON line below pytest's own report."""
    found = config.stash.get(RESULTS, None)
    if found is not None:
        terminalreporter.section("Wan at full size")
        for line in (*found.table(), found.to_json()):
            terminalreporter.write_line(line)
