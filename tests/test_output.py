"""Output that ends early, is closed or full costs lines, never a recording; a narrow terminal shows the help."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import gymnasium
import pytest

import infrope_env  # noqa: F401  registers the environments
from infrope_env import cli
from infrope_env.output import LossyStream, OutputError, lossy_output, require_output
from infrope_env.wrappers import RecordRollout

ROOT = Path(__file__).parents[1]
EXAMPLES = Path(__file__).parents[1] / "examples"
INFROPE = f"{sys.executable} -m infrope_env.cli"
BLOCKS = 4
FULL = "infrope: the output cannot be written: No space left on device\n"


def run(command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash; a pipe's exit code is that of its first command."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run(
        ["bash", "-c", f"{command}\nexit ${{PIPESTATUS[0]}}"],
        capture_output=True, text=True, env=environment, timeout=120, check=False,
    )  # fmt: skip


def full_disk() -> TextIO:
    return open("/dev/full", "w")


def reader_gone() -> TextIO:
    reading, writing = os.pipe()
    os.close(reading)
    return os.fdopen(writing, "w")


def assert_complete(episode: Path) -> None:
    meta = json.loads((episode / "meta.json").read_text())
    assert meta["closed"]["blocks"] == len((episode / "blocks.jsonl").read_text().splitlines()) == BLOCKS


@pytest.mark.parametrize("output", ["2>&1 | head -n 1", "<&- >&- 2>&-"])
def test_a_recording_is_complete_whatever_becomes_of_the_output(
    output: str, tmp_path: Path, tiny_weights: Path
) -> None:
    ran = run(f"{INFROPE} record --out {tmp_path} --blocks {BLOCKS} --weights {tiny_weights} {output}")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert_complete(tmp_path / "episode_000")


@pytest.mark.parametrize("open_stream", [full_disk, reader_gone])
@pytest.mark.parametrize("command", [["record", "--out"], ["play", "--headless", "--record"]])
def test_progress_lines_that_cannot_be_written_do_not_end_a_recording(
    command: list[str],
    open_stream: Callable[[], TextIO],
    tmp_path: Path,
    tiny_weights: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, open_stream())
    assert cli.main([*command, str(tmp_path), "--blocks", str(BLOCKS), "--weights", str(tiny_weights)]) == 0
    assert_complete(tmp_path / "episode_000")
    assert cli.main(["replay", str(tmp_path / "episode_000"), "--verify"]) == 0


@pytest.mark.parametrize(
    "command",
    [
        ["weights"],
        ["play", "--headless", "--blocks", "1000000"],
        ["bench", "--blocks", "1"],
        ["replay", "--headless"],
    ],
    ids=lambda command: command[0],
)
def test_output_that_is_the_result_and_cannot_be_written_ends_the_command(
    command: list[str],
    tmp_path: Path,
    tiny_weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if command[0] == "replay":
        with gymnasium.make("infrope/PocketWorld-v0", weights=str(tiny_weights)) as made:
            RecordRollout(made, tmp_path).reset(seed=0)
        command = [*command, str(tmp_path / "episode_000")]
    given = [] if command[0] == "weights" else ["--weights", str(tiny_weights)]
    for open_stream, code, sentence in ((full_disk, 2, FULL), (reader_gone, 141, "")):
        with monkeypatch.context() as patch, open_stream() as stdout:
            patch.setattr(sys, "stdout", stdout)
            assert cli.main([*command, *given]) == code
        assert capsys.readouterr().err == sentence


def test_errors_stay_off_stdout_when_stderr_is_closed() -> None:
    ran = run(f"{INFROPE} nosuch 2>&-")
    assert (ran.returncode, ran.stdout) == (2, "")


def test_help_that_cannot_be_written_is_one_sentence() -> None:
    ran = run(f"{INFROPE} --help >/dev/full")
    assert (ran.returncode, ran.stderr) == (2, FULL)


@pytest.mark.parametrize("columns", [1, 6])
def test_help_ends_in_a_terminal_of_few_columns(columns: int) -> None:
    ran = run(f"timeout 30 {INFROPE} --help", COLUMNS=str(columns), PYTHONIOENCODING="utf-8")
    assert ran.returncode == 0 and "--help" in ran.stdout


def test_no_program_of_the_examples_parses_its_arguments_without_that_floor() -> None:
    sources = {path: path.read_text(encoding="utf-8") for path in EXAMPLES.rglob("*.py")}
    assert not [path for path, source in sources.items() if "tyro.cli(" in source]
    assert sum("run_program(" in source for source in sources.values()) > 15
    program = f"timeout 60 {sys.executable} {EXAMPLES / 'play.py'} --help"
    ran = run(program, COLUMNS="3", PYTHONIOENCODING="utf-8")
    assert ran.returncode == 0 and "--help" in ran.stdout


def test_help_ends_in_a_window_of_three_columns() -> None:
    parent, terminal = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("COLUMNS", None)
    command = f"stty columns 3 <&1; timeout 30 {INFROPE} --help; echo code $?"
    with subprocess.Popen(["bash", "-c", command], stdout=terminal, stderr=terminal, env=environment) as process:
        os.close(terminal)
        shown = b""
        while not shown.endswith(b"\n") or b"code" not in shown:
            shown += os.read(parent, 1000)
        process.wait()
    os.close(parent)
    assert shown.endswith(b"code 0\r\n")


def test_characters_that_stdout_lacks_are_escapes() -> None:
    ran = run(f"{INFROPE} play --help", PYTHONIOENCODING="ascii")
    assert ran.returncode == 0 and "--script" in ran.stdout and r"\u221e-RoPE" in ran.stdout


def test_the_first_error_of_a_stream_is_kept_and_its_text_dropped() -> None:
    with full_disk() as full:
        stream = LossyStream(full)
        stream.write("lost")
        assert stream.error is None  # it is in the buffer
        stream.flush()
        assert stream.error is not None and stream.error.strerror == "No space left on device"
        stream.write("lost, too")
        stream.flush()


def test_output_is_required_only_where_it_was_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    with lossy_output():
        require_output()
    monkeypatch.setattr(sys, "stdout", None)
    with lossy_output():
        require_output()
        print("lost")
        with pytest.raises(OutputError, match="the output cannot be written: Bad file descriptor"):
            require_output()
