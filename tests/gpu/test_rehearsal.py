"""The tests for a GPU run on the CPU at tiny size, so that without a GPU only the hardware is untested."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.gpu import test_wan_full_size as full_size
from tests.gpu.conftest import RESULTS_VARIABLE, TINY_VARIABLE
from tests.gpu.measurements import Results, Scale

ROOT = Path(__file__).parents[2]


def run_gpu_tests(**variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "tests/gpu", "-m", "gpu", "-q", "-p", "no:cacheprovider"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("INFROPE_GPU")}
    return subprocess.run(command, cwd=ROOT, env=environment | variables, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_every_test_for_a_gpu_is_rehearsed_on_the_cpu(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    run = run_gpu_tests(**{TINY_VARIABLE: "1", RESULTS_VARIABLE: str(path)})
    assert run.returncode == 0, run.stdout
    assert "8 passed, 1 skipped" in run.stdout  # the CPU has no queue to wait for
    found = json.loads(path.read_text())
    assert len(found["checks"]) == 7 and all(found["checks"].values())
    assert found["context_lengths"] == [0, 2, 3] and found["rehearsal"]
    codecs = {f"{how} {name}" for how in ("plain", "compiled") for name in ("taew2_1", "wan_vae")}
    assert set(found["block_ms"]) == codecs
    assert all(found["block_ms"][name]["total"]["p50"] > 0 for name in found["block_ms"])
    assert "passed  a cut sits at 45 46 47" in run.stdout  # the table


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_they_are_skipped_and_leave_no_file(tmp_path: Path) -> None:
    run = run_gpu_tests(**{RESULTS_VARIABLE: str(tmp_path / "results.json")})
    assert "9 skipped" in run.stdout and not list(tmp_path.iterdir())


def test_a_broken_claim_fails_and_is_written_down() -> None:
    results = Results()
    with pytest.raises(AssertionError, match="water is dry"):
        results.check("water is dry", False)
    assert json.loads(results.to_json())["checks"] == {"water is dry": False}
    assert next(results.table()) == "FAILED  water is dry"


def test_a_gpu_without_room_for_the_large_generator_keeps_its_other_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(*_: object) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(full_size, "random_transformer", fill)
    results = Results(numbers={"device": "small"})
    with pytest.raises(pytest.skip.Exception, match="does not fit"):
        full_size.test_a_block_of_14b_is_made(Scale.tiny(), results)
    assert results.numbers == {"device": "small", "14b": "out of memory"} and not results.checks
