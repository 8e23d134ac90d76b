"""The program that measures a GPU is rehearsed on the CPU at tiny size, so that only the hardware is untested."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from infrope_env.config import Sampler, Window
from infrope_env.dynamics.rollout import Rollout
from tests.gpu import speed
from tests.gpu.arms import ARMS, COMPILED_GRAPHS, EAGER, FP8, GRAPHS, RELEASE, Networks
from tests.gpu.gpu_profile import Interval, attention_kernels, idle_share
from tests.gpu.measurements import CONTINUE, CUT, CYCLE, START, SWITCH, TINY, random_embedding, random_transformer
from tests.gpu.release_order import release_rollout
from tests.gpu.report import APART, BESIDE, bars, judge, report

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")


def run_speed(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.gpu.speed", "--tiny", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_every_part_is_rehearsed_and_arms_agree(tmp_path: Path) -> None:
    pytest.importorskip("diffusers", reason="needs the extra 'wan'")
    path = tmp_path / "speed.json"
    run = run_speed("--out", str(path), "--blocks", "4")
    assert run.returncode == 0, run.stdout + run.stderr
    found = json.loads(path.read_text())
    assert not [part for part in found.values() if isinstance(part, dict) and "failed" in part]
    for window in ("window 6", "window 9"):
        arms = found[window]
        assert set(ARMS) <= set(arms)
        assert all(arms[name]["finite"] and arms[name]["ms"]["block"]["p50"] > 0 for name in ARMS)
        assert arms[GRAPHS]["beside eager"]["equal"] and arms["graphs of compiled code"]["equal"]
        assert 0 < arms[RELEASE]["beside eager"]["relative_error"] < 0.05
        assert 5e-3 < arms[FP8]["beside eager"]["relative_error"] < 0.2
    assert all(row["equal frames"] for row in found["end to end"].values())
    assert set(found["profile"]) == set(ARMS) and found["profile"][EAGER]["kernels"] > 100
    assert found["profile"][RELEASE]["kernels"] > found["profile"][EAGER]["kernels"]
    assert {name: row["taken"] for name, row in found["attention"].items()} == {
        "window 6": "flash",
        "window 9": "flash",
    }
    decoders = [found[f"decoders, {how}"] for how in ("plain", "compiled")]
    assert decoders[0].keys() == decoders[1].keys() == {"taew2_1", "wan_vae"}
    for name in decoders[0]:
        assert decoders[0][name]["checksum"] == pytest.approx(decoders[1][name]["checksum"], rel=1e-3)
    assert "met" in run.stdout and json.loads(run.stdout.splitlines()[-1]) == found


def test_at_the_end_of_its_time_it_writes_and_prints_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "speed.json"
    run = run_speed("--out", str(path), "--minutes", "0.002", "--parts", "window", "--blocks", "4000")
    assert run.returncode == speed.TIMED_OUT
    found = json.loads(path.read_text())
    assert found["ended"] == "at the end of its time" and found["run"]["rehearsal"]
    assert "not measured" in run.stdout


def test_without_a_gpu_it_is_refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        speed.main([])
    assert "this needs a GPU; --tiny rehearses on the CPU" in capsys.readouterr().err


def test_a_part_that_fails_leaves_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: speed.Speed) -> dict[str, object]:
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(speed.Speed, "attention", fail)
    path = tmp_path / "speed.json"
    assert speed.main(["--tiny", "--out", str(path), "--parts", "attention", "synchronisation"]) == 1
    found = json.loads(path.read_text())
    assert found["attention"] == {"failed": "RuntimeError: no such kernel"}
    assert found["synchronisation"] == {"left out": "the CPU has no queue to wait for"}


@pytest.mark.parametrize("window", [Window(), Window.from_size(9)])
def test_the_order_of_the_release_computes_the_same(window: Window) -> None:
    """In float32 both orders agree to rounding, in every kind of block, the cached keys and values included."""
    model = random_transformer(TINY, CPU, torch.float32)
    ours, prompts = Rollout(model, window, Sampler()), list[torch.Tensor]()
    release = release_rollout(model, window, lambda: prompts[-1])
    with torch.inference_mode():
        for index, transition in enumerate((START, CONTINUE, CONTINUE, SWITCH, CONTINUE, CUT, CONTINUE)):
            prompts.append(random_embedding(ours, index if transition in (SWITCH, CUT) else 0))
            a, b = (rollout.advance(prompts[-1], transition).latents for rollout in (ours, release))
            assert torch.allclose(a, b, atol=1e-4 * float(a.abs().max()))
    assert ours.cache.slot_of == release.cache.slot_of
    slots = list(ours.cache.slots)
    for exact, other in ((ours.cache.keys, release.cache.keys), (ours.cache.values, release.cache.values)):
        assert torch.allclose(exact[:, :, :, slots], other[:, :, :, slots], atol=1e-4 * float(exact.abs().max()))


def test_arms_share_weights_but_not_code() -> None:
    plain = random_transformer(TINY, CPU, torch.bfloat16)
    networks = Networks(plain, "eager")
    compiled, rounded = networks.of(COMPILED_GRAPHS), networks.of(FP8)
    assert compiled.blocks[0].ffn[0].weight.data_ptr() == plain.blocks[0].ffn[0].weight.data_ptr()
    assert rounded.blocks[0].norm3.weight.data_ptr() == plain.blocks[0].norm3.weight.data_ptr()
    assert plain.blocks[0].ffn[0].weight.dtype == torch.bfloat16
    assert plain.blocks[0]._compiled_call_impl is None and compiled.blocks[0]._compiled_call_impl is not None
    assert networks.of(GRAPHS) is networks.of(EAGER) is plain and networks.of(FP8) is rounded
    assert len(CYCLE) == 10  # what the plain arms play when synchronisation is looked for


def test_idle_time_is_what_no_kernel_covers() -> None:
    work = [Interval("a", 10, 20), Interval("b", 15, 18), Interval("c", 30, 40), Interval("d", 38, 50)]
    assert idle_share(reversed(work)) == pytest.approx(10 / 40)
    assert idle_share([]) == idle_share([Interval("a", 1, 1)]) == 0


def test_kernels_of_attention_are_known_by_their_names() -> None:
    names = ["gemm", "void pytorch_flash::flash_fwd_kernel<...>", "cudnn_generated_fort_native_sdpa_sm90_flash_fprop"]
    kernels = [Interval(name, 0, 10 * index) for index, name in enumerate(names)]
    assert attention_kernels(kernels) == names[:0:-1]


def arm(block_ms: float) -> dict[str, Any]:
    parts = {"denoise": {"p50": block_ms - 30}, "commit": {"p50": 30.0}, "block": {"p50": block_ms}}
    return {"ms": parts, "beside eager": {"equal": False, "relative_error": 1e-3}}


def test_bars_are_those_of_the_fastest_arm_without_fp8() -> None:
    ends = {EAGER: {APART: {"p50": 240.0}, BESIDE: {"p50": 200.0}}, FP8: {APART: {"p50": 100.0}, BESIDE: {"p50": 90.0}}}
    found = {
        "window 6": {RELEASE: arm(400), EAGER: arm(210), COMPILED_GRAPHS: arm(155), FP8: arm(120)},
        "end to end": ends,
        "synchronisation": {EAGER: "", GRAPHS: "called a synchronizing CUDA operation"},
        "profile": {EAGER: {"kernels": 7595, "launches": 7600, "idle_share": 0.12, "attention": []}},
    }
    verdicts = [(bar["value"], bar["verdict"]) for bar in bars(found).values()]
    assert verdicts == [(155.0, "met"), (60.0, "not met"), (2.58, "met"), (1, "not met")]
    lines = list(report(found))
    assert any("eager" in line and "7595" in line and "12.0%" in line for line in lines)
    assert sum(line.startswith(("met", "not met")) for line in lines) == 4
    assert all(bar["verdict"] == "not measured" for bar in bars({}).values())
    assert judge(0, "<= 0", at_most=0)["verdict"] == "met"
