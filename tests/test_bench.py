import json
import sys

import gymnasium
import pytest
import torch

import infrope_env  # noqa: F401  registers the worlds
from infrope_env.bench import bench, bench_latency, describe_error, measure_precision_error, random_actions
from infrope_env.control.actions import ActionSet


@pytest.fixture
def env(tiny_weights):
    return gymnasium.make("infrope/PocketWorld-v0", weights=str(tiny_weights), device="cpu", dtype="float32")


def test_the_report_ends_in_its_numbers_as_json(env):
    report = bench(env, blocks=12, threads=1).splitlines()
    facts = json.loads(report[-1])
    assert (facts["blocks"], facts["threads"], facts["dtype"], facts["frames_per_block"]) == (12, 1, "float32", 12)
    assert sum(facts["transitions"].values()) == 12
    assert facts["memory_mb"]["process"] > 50
    parts = facts["block_ms"]
    assert list(parts) == ["text", "denoise", "commit", "decode", "total"]
    assert all(0 <= part["p50"] <= part["p95"] for part in parts.values())
    assert parts["total"]["p50"] > parts["denoise"]["p50"] > 0
    assert f"{parts['decode']['p95']:.1f}" in next(line for line in report if line.startswith("decode"))
    assert facts["attention"] == "flash" and "attention by flash" in report[2]
    assert "precision_error" not in facts


def test_without_the_resource_module_as_on_windows_memory_is_left_out(env, monkeypatch):
    monkeypatch.setitem(sys.modules, "resource", None)
    report = bench(env, blocks=1).splitlines()
    assert json.loads(report[-1])["memory_mb"] == {} and any("peak memory: unknown" in line for line in report)


def test_random_actions_continue_motions_and_have_switches_and_cuts():
    action_set = ActionSet.load("pocket")
    actions = random_actions(action_set, 1000, seed=0)
    assert actions == random_actions(action_set, 1000, seed=0) != random_actions(action_set, 1000, seed=1)
    steering, transitions = action_set.start(), []
    for action in actions:
        steering, transition = action_set.steer(steering, action)
        transitions.append(transition.value)
    assert 500 < transitions.count("continue") < 800
    assert 50 < transitions.count("cut") < 200 and transitions.count("switch") > 100


@pytest.mark.parametrize("wrong", [{"blocks": 0}, {"threads": 0}])
def test_no_blocks_and_no_threads_are_refused(env, wrong):
    with pytest.raises(ValueError, match="expected at least 1 block and 1 thread"):
        bench(env, **wrong)


def test_the_latency_report_has_the_percentiles_of_all_key_presses(env):
    report = bench_latency(env, presses=3).splitlines()
    facts = json.loads(report[-1])
    latency = facts["key_to_pixel_ms"]
    assert facts["presses"] == 3 and 0 < latency["p10"] <= latency["p50"] <= latency["p90"]
    assert f"{latency['p90']:.0f} ms (p90)" in report[-3]
    with pytest.raises(ValueError, match="expected at least 1 key press"):
        bench_latency(env, presses=0)


def test_a_precision_reports_its_error_beside_float(tiny_weights):
    pytest.importorskip("onnxruntime", reason="needs the extra 'int8'")
    arguments = {"weights": str(tiny_weights), "device": "cpu", "dtype": "float32", "window": 7}
    env = gymnasium.make("infrope/PocketWorld-v0", precision="int8", **arguments)
    report = bench(env, blocks=1, seed=3).splitlines()
    error = json.loads(report[-1])["precision_error"]
    exact, rounded = (
        gymnasium.make("infrope/PocketWorld-v0", precision=precision, **arguments) for precision in ("float", "int8")
    )
    latents = []
    for each in (exact, rounded):
        each.reset(seed=3)
        latents.append(each.unwrapped.latents)
    expected = float((latents[1] - latents[0]).norm() / latents[0].norm())
    assert 0 < error["first_block"] == pytest.approx(expected, abs=1e-5)
    assert error["all_blocks"] > 0 and 10 < error["psnr_db"] < 70
    assert f"int8 beside float: latents differ by {error['first_block']:.2%} in the first block" in report[-3]
    equal = measure_precision_error(exact)
    assert equal == {"first_block": 0, "all_blocks": 0, "psnr_db": None}
    assert describe_error("float", equal).endswith("; equal frames")


def test_a_report_outlives_a_gpu_without_room_for_a_second_model(tiny_weights, monkeypatch):
    pytest.importorskip("onnxruntime", reason="needs the extra 'int8'")

    def fill(*_):
        raise torch.OutOfMemoryError

    monkeypatch.setattr("infrope_env.bench.measure_precision_error", fill)
    arguments = {"weights": str(tiny_weights), "device": "cpu", "dtype": "float32", "precision": "int8"}
    report = bench(gymnasium.make("infrope/PocketWorld-v0", **arguments), blocks=1)
    assert "the error of int8 is unknown: no memory for a second model beside it" in report
    assert "precision_error" not in json.loads(report.splitlines()[-1])
