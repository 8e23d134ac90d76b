"""A replay reports how its environment differs from that of the recording, and classifies different blocks by it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from infrope_env.recording import verification
from infrope_env.recording.files import ReplayError
from infrope_env.recording.reader import Recording
from infrope_env.recording.run_info import RunInfo
from infrope_env.recording.verification import Report, Verdict, verify
from tests.recording.episodes import edit_meta, record
from tests.tiny_world import tiny_world


def test_different_weights_are_reported_and_are_no_failure(episode: Path, tmp_path: Path) -> None:
    report = verify(episode, weights=str(tiny_world(tmp_path / "other", seed=1)))
    assert report.first_differing_block == 0
    assert report.verdict is Verdict.NOT_COMPARABLE and report.exit_code == 3
    assert "Different weights: generator.safetensors is not the file that was used for the recording." in report.notes


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"versions": {"torch": "9.9"}}, "Different version: torch was "),
        ({"processor": "x86_64 ABACUS"}, "Different machine or setting: processor was "),
    ],
)
@pytest.mark.parametrize("differs", [False, True])
def test_a_different_environment_is_reported_and_excuses_only_a_difference(
    episode: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], sentence: str, differs: bool
) -> None:
    current = RunInfo.of
    monkeypatch.setattr(RunInfo, "of", lambda *given: replace(current(*given), **changes))
    if differs:
        monkeypatch.setattr(verification, "frames_digest", lambda frames: "other")
    report = verify(episode)
    assert any(note.startswith(sentence) for note in report.differences)
    assert report.verdict is (Verdict.NOT_COMPARABLE if differs else Verdict.SAME)


def test_a_difference_in_the_same_environment_is_a_failure(episode: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "frames_digest", lambda frames: "other")
    report = verify(episode)
    assert report.verdict is Verdict.DIFFERENT and report.exit_code == 1
    assert (
        report.summary()
        == "episode_000: 6 blocks replayed, 6 differ, the first is block 0: the replay differs from the recording."
    )


def test_a_changed_version_in_the_meta_data_is_tampering_and_a_difference(episode: Path) -> None:
    edit_meta(episode, lambda meta: meta["made_with"]["versions"].update(torch="1.0"))
    report = verify(episode)
    assert report.verdict is Verdict.TAMPERED
    assert any(note.startswith("Different version: torch was 1.0") for note in report.differences)


def test_the_replay_uses_as_many_threads_as_the_recording(tiny_weights: Path, tmp_path: Path) -> None:
    torch.set_num_threads(2)
    try:
        env = record(tiny_weights, tmp_path)
        env.reset(seed=5)
        env.close()
    finally:
        torch.set_num_threads(1)
    assert verify(tmp_path / "episode_000") == Report(tmp_path / "episode_000", blocks=1, differing_blocks=())
    differences = verify(tmp_path / "episode_000", threads=1).differences
    assert differences == ("Different machine or setting: threads was 2 in the recording and is 1 now.",)
    assert torch.get_num_threads() == 1


def test_missing_weights_are_reported_in_a_sentence(episode: Path) -> None:
    with pytest.raises(ReplayError, match="The environment of this recording cannot be made: No weights named"):
        verify(episode, weights="nowhere")


@pytest.mark.parametrize("name", ["MKL_CBWR", "DNNL_MAX_CPU_ISA", "ONEDNN_MAX_CPU_ISA", "OPENBLAS_CORETYPE"])
@pytest.mark.parametrize("when", ["recording", "replay"])
def test_settings_that_choose_kernels_make_different_blocks_not_comparable(
    tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, when: str
) -> None:
    monkeypatch.delenv(name, raising=False)
    with monkeypatch.context() as recording:
        if when == "recording":
            recording.setenv(name, "COMPATIBLE")
        env = record(tiny_weights, tmp_path)
        env.reset(seed=5)
        env.close()
    if when == "replay":
        monkeypatch.setenv(name, "COMPATIBLE")
    assert verify(tmp_path / "episode_000").verdict is Verdict.SAME
    monkeypatch.setattr(verification, "frames_digest", lambda frames: "other")
    report = verify(tmp_path / "episode_000")
    assert report.verdict is Verdict.NOT_COMPARABLE and report.exit_code == 3
    values = ("COMPATIBLE", "not set") if when == "recording" else ("not set", "COMPATIBLE")
    assert report.differences == (
        f"Different machine or setting: {name} was {values[0]} in the recording and is {values[1]} now.",
    )


def test_a_recording_without_kernel_settings_stays_comparable(episode: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edit_meta(episode, lambda meta: meta["made_with"].pop("kernel_settings"))
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    assert Recording.read(episode).meta.made_with.kernel_settings is None
    assert not verify(episode).differences
