"""`infrope export`: what it prints, its exit codes, and its sentences."""

import json
import sys
from pathlib import Path

import pytest

from infrope_env import cli
from tests.export.conftest import FOX, Studio
from tests.recording.episodes import edit_log


def test_an_export_says_what_it_added_and_what_it_left_out(
    studio: Studio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, killed = studio.record("a"), studio.record("bb", closed=False)
    changed = studio.record("ccc")
    edit_log(changed, lambda lines: lines[1].update(prompt=FOX + "."))
    arguments = ["export", str(studio.folder), "--to", "lerobot", "--out", str(tmp_path / "out")]
    assert cli.main(arguments) == 1
    output = capsys.readouterr()
    assert f"episode 3 of 3: {changed}" in output.err
    remark, refusal, summary = output.out.splitlines()
    assert remark.startswith(f"{killed}: The recording was never closed")
    assert refusal.startswith(f"left out {changed}: it was changed after it was written") and refusal.endswith(").")
    assert summary == f"2 episodes added to {tmp_path / 'out'} (4.1 s of video), 1 left out"
    assert cli.main([*arguments, "--tampered"]) == 0
    assert "1 episodes added" in (line := capsys.readouterr().out.splitlines()[-1]) and "2 there already" in line
    assert json.loads((tmp_path / "out" / "meta" / "info.json").read_text())["total_episodes"] == 3
    assert whole.exists() and not (tmp_path / "out" / ".partial").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["/nowhere", "--to", "frames"], "/nowhere: expected a recorded episode, or a folder of some, found none"),
        (["--to", "frames"], "expected episodes, or folders of them"),
        (["/nowhere", "--to", "wbench"], "--to wbench and --cases, the folder of WBench's case files, belong together"),
        (["/nowhere", "--to", "vbench", "--cases", "/nowhere"], "belong together"),
        (["/nowhere", "--to", "wbench", "--cases", "/nowhere"], "/nowhere: expected WBench's case files"),
        (["/nowhere", "--to", "gif"], "gif"),
    ],
)
def test_what_cannot_be_exported_is_one_sentence(
    tmp_path: Path, arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["export", *arguments, "--out", str(tmp_path / "out")]) == 2
    assert sentence in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made_is_one_sentence(
    studio: Studio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    arguments = ["export", str(studio.record("a")), "--to", "vbench", "--out", str(tmp_path / "file" / "out")]
    assert cli.main(arguments) == 2
    assert "Exporting to" in (error := capsys.readouterr().err) and "Not a directory" in error


def test_without_pyarrow_the_sentence_names_the_extra(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith(("pyarrow", "infrope_env.export.lerobot"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    arguments = ["export", str(studio.record("a")), "--to", "lerobot", "--out", str(tmp_path / "out")]
    assert cli.main(arguments) == 2
    assert "pip install 'infrope-env[export]'" in capsys.readouterr().err
