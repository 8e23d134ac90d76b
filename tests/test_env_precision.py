"""8-bit integers are a choice: recorded, replayed and kept apart from floating point."""

from pathlib import Path

import numpy as np
import pytest
import torch

from infrope_env.doctor import check_precision
from infrope_env.env import InfinityRopeEnv
from infrope_env.errors import WeightsError
from infrope_env.findings import Status
from infrope_env.models import int8_transformer, options
from infrope_env.models.options import LoadOptions
from infrope_env.recording.reader import Recording
from infrope_env.recording.run_info import RunInfo
from infrope_env.recording.verification import verify
from tests.recording.episodes import CUT_DESERT, JUMP, STAND, WALK_RIGHT, edit_meta, record

pytest.importorskip("onnxruntime", reason="needs the extra 'int8'")
pytest.importorskip("onnx", reason="needs the extra 'int8'")


@pytest.fixture
def int8_env(tiny_weights: Path) -> InfinityRopeEnv:
    return InfinityRopeEnv(weights=str(tiny_weights), device="cpu", dtype="float32", precision="int8")


def recorded(weights: Path, folder: Path, precision: str | None) -> Path:
    env = record(weights, folder, dtype="float32", precision=precision)
    env.reset(seed=4)
    for action in (WALK_RIGHT, JUMP, CUT_DESERT):
        env.step(action)
    env.close()
    return folder / "episode_000"


def test_a_state_saved_between_block_and_commit_branches_as_in_floating_point(int8_env: InfinityRopeEnv) -> None:
    int8_env.reset(seed=1)
    for action in (WALK_RIGHT, JUMP, CUT_DESERT):
        int8_env.step(action)
    state = int8_env.save_state()
    first, *_ = int8_env.step(STAND)
    int8_env.restore_state(state)
    int8_env.commit()
    again, *_ = int8_env.step(STAND)
    assert np.array_equal(first, again)


def test_pixels_differ_a_little_from_those_of_floating_point(tiny_weights: Path, int8_env: InfinityRopeEnv) -> None:
    plain = InfinityRopeEnv(weights=str(tiny_weights), device="cpu", dtype="float32")
    assert (plain.model.precision, int8_env.model.precision) == ("float", "int8")
    a, b = (env.reset(seed=1)[0].astype(int) for env in (plain, int8_env))
    assert 0 < np.abs(a - b).mean() < 10


def test_a_state_of_another_precision_is_refused(tiny_weights: Path, int8_env: InfinityRopeEnv) -> None:
    plain = InfinityRopeEnv(weights=str(tiny_weights), device="cpu", dtype="float32")
    plain.reset(seed=1)
    with pytest.raises(ValueError, match="expected a state of the same weights, steps, device, dtype, precision"):
        int8_env.restore_state(plain.save_state())


@pytest.mark.parametrize(("given", "named"), [("int8", "int8"), ("float", "float"), (None, "float")])
def test_a_recording_names_its_precision_and_is_replayed_in_it(
    tiny_weights: Path, tmp_path: Path, given: str | None, named: str
) -> None:
    episode = recorded(tiny_weights, tmp_path, given)
    meta = Recording.read(episode).meta
    assert (meta.made_with.precision, meta.env_kwargs.get("precision")) == (named, given)
    report = verify(episode)
    assert report.ok and report.blocks == 4 and not report.notes
    other = verify(episode, precision="float" if named == "int8" else "int8")
    assert not other.ok and any("precision was" in difference for difference in other.differences)


def test_a_recording_without_the_entry_is_of_floating_point(tiny_weights: Path, tmp_path: Path) -> None:
    episode = recorded(tiny_weights, tmp_path, None)
    edit_meta(episode, lambda meta: meta["made_with"].pop("precision"))
    report = verify(episode)
    assert not report.differing_blocks and not report.differences


def test_a_recording_with_an_unknown_precision_is_refused(tiny_weights: Path, tmp_path: Path) -> None:
    episode = recorded(tiny_weights, tmp_path, None)
    edit_meta(episode, lambda meta: meta["made_with"].update(precision="int3"))
    with pytest.raises(ValueError, match=r"expected made_with\.precision to be one of float, int8"):
        verify(episode)


@pytest.mark.parametrize(("device", "dtype"), [("cuda", torch.float32), ("cpu", torch.bfloat16)])
def test_int8_is_for_a_cpu_in_float32(device: str, dtype: torch.dtype) -> None:
    with pytest.raises(ValueError, match="precision='int8' is for a CPU in float32"):
        LoadOptions(precision="int8").precision_on(torch.device(device), dtype)


def test_int8_takes_float32_also_where_bfloat16_is_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "fast_dtype", lambda device: torch.bfloat16)
    assert LoadOptions(device="cpu", precision="int8").device_and_dtype()[1] == torch.float32
    assert LoadOptions(device="cpu").device_and_dtype()[1] == torch.bfloat16


def test_without_the_extra_one_sentence_names_the_command(tiny_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8_transformer, "find_spec", lambda name: None)
    sentence = r"precision='int8' needs onnxruntime and onnx. Run: pip install \"infrope-env\[int8\]\""
    with pytest.raises(WeightsError, match=sentence):
        InfinityRopeEnv(weights=str(tiny_weights), device="cpu", precision="int8")
    findings = list(check_precision(LoadOptions(precision="int8"), torch.device("cpu"), torch.float32))
    assert [finding.status for finding in findings] == [Status.PROBLEM]


def test_doctor_says_that_int8_has_what_it_needs() -> None:
    findings = check_precision(LoadOptions(precision="int8"), torch.device("cpu"), torch.float32)
    assert [finding.status for finding in findings] == [Status.OK]
    assert not list(check_precision(LoadOptions(), torch.device("cpu"), torch.float32))


def test_a_recording_names_the_version_of_onnxruntime(int8_env: InfinityRopeEnv) -> None:
    assert RunInfo.of(int8_env.model).versions["onnxruntime"][0].isdigit()


def test_the_run_info_of_both_precisions_differs(tiny_weights: Path, int8_env: InfinityRopeEnv) -> None:
    plain = InfinityRopeEnv(weights=str(tiny_weights), device="cpu", dtype="float32")
    sentence = "Different machine or setting: precision was float in the recording and is int8 now."
    assert sentence in RunInfo.of(plain.model).differences(RunInfo.of(int8_env.model))
