"""Every example is a short program that runs, on a tiny model, as its docstring says."""

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import gymnasium
import pytest

from infrope_env import cli
from infrope_env.remote.background import serving
from tests.tiny_world import tiny_world

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = [path.name for path in sorted(EXAMPLES.glob("*.py")) if "__main__" in path.read_text(encoding="utf-8")]
LINES = 120


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny world folder whose pixel frames are large enough for the agent of Stable-Baselines3."""
    return str(tiny_world(tmp_path_factory.mktemp("worlds") / "tiny", latent_size=(6, 8)))


class Shell:
    """Runs examples like a shell, in an empty folder, without a new import of torch for each."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys, self._monkeypatch = capsys, monkeypatch

    def run(self, script: str, *arguments: str) -> list[str]:
        """Run an example and return the lines it prints."""
        self._monkeypatch.setattr(sys, "argv", [f"examples/{script}", *arguments])
        self._capsys.readouterr()
        runpy.run_path(str(EXAMPLES / script), run_name="__main__")
        return self._capsys.readouterr().out.splitlines()


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Shell:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    return Shell(capsys, monkeypatch)


def test_every_example_is_short() -> None:
    lengths = {script: len((EXAMPLES / script).read_text(encoding="utf-8").splitlines()) for script in SCRIPTS}
    assert len(lengths) == 10 and max(lengths.values()) < LINES, lengths


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_shows_how_to_call_it(script: str, shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        shell.run(script, "--help")
    calls = (f"    python examples/{script}", f"    python -m examples.{Path(script).stem}")
    assert any(line.startswith(calls) for line in capsys.readouterr().out.splitlines())


def test_the_qualities_of_a_lossless_recording_are_compared(shell: Shell, weights: str) -> None:
    given = ["record", "--blocks", "3", "--weights", weights]
    assert cli.main([*given, "--out", "exact", "--quality", "lossless"]) == 0
    _, standard, high, lossless = (line.split() for line in shell.run("video_quality.py", "exact/episode_000"))
    assert (standard[0], high[0]) == ("standard", "high") and lossless[:4] == ["lossless", "inf", "inf", "inf"]
    assert all(float(better) > float(worse) for better, worse in zip(high[1:4], standard[1:4], strict=True))
    assert cli.main([*given, "--out", "rounded"]) == 0
    with pytest.raises(ValueError, match="expected a recording made with --quality lossless"):
        shell.run("video_quality.py", "rounded/episode_000")


def test_play_opens_a_window_and_records(shell: Shell, weights: str) -> None:
    shell.run("play.py", "--weights", weights, "--subject", "frog", "--blocks", "2", "--record", "kept")
    first, *_ = Path("kept/episode_000/blocks.jsonl").read_text().splitlines()
    assert "green frog" in json.loads(first)["prompt"]


def test_the_agent_tries_every_action_and_then_chooses(shell: Shell, weights: str) -> None:
    lines = shell.run("agent_loop.py", "--weights", weights, "--blocks", "15")
    chosen = [line.split()[2] for line in lines if line.startswith("block")]
    assert len(chosen) == 15 and len(set(chosen[:12])) == 12
    assert sum(int(line.split()[1]) for line in lines[15:]) == 15


def test_the_remote_player_measures_a_server(shell: Shell, weights: str) -> None:
    def make() -> gymnasium.Env[Any, Any]:
        return gymnasium.make("infrope/PocketWorld-v0", weights=weights, disable_env_checker=True)

    with serving(make) as server:
        lines = shell.run("remote_player.py", server.url, "--minutes", "0.05")
    printed = {line.rsplit(" ", 1)[0].split("  ")[0] for line in lines}
    assert {"interval", "key to pixel", "late", "infrope_realtime_factor", "infrope_underruns_total"} <= printed


def test_the_storyboard_becomes_a_recording(shell: Shell, weights: str) -> None:
    *lines, last = shell.run("storyboard.py", "--weights", weights, "--out", "kept")
    assert [line.split()[0] for line in lines] == ["start", "switch", "cut", "switch", "cut"]
    assert "kept/episode_000/video.mp4" in last
    assert Path("kept/episode_000/video.mp4").stat().st_size > 0


def test_a_recording_becomes_a_contact_sheet_and_an_animation(shell: Shell, weights: str) -> None:
    from PIL import Image

    shell.run("storyboard.py", "--weights", weights, "--out", "kept")
    lines = Path("kept/episode_000/blocks.jsonl").read_text().splitlines()
    blocks = sum("end_frame" in json.loads(line) for line in lines)
    pictures = ("--sheet", "s.png", "--animation", "a.webp", "--seconds", "2")
    printed = shell.run("contact_sheet.py", "kept/episode_000", *pictures)
    assert f"{blocks} of {blocks} blocks" in printed[0]
    assert Image.open("s.png").width == 6 + 8 * (64 + 6)
    assert Image.open("a.webp").n_frames == 32


def test_gymnasium_s_recorder_gets_every_pixel_frame(shell: Shell, weights: str) -> None:
    import av

    shell.run("wrappers_tour.py", "video", "--weights", weights, "--blocks", "3")
    (path,) = Path("videos").glob("*.mp4")
    with av.open(str(path)) as file:
        assert sum(1 for _ in file.decode(video=0)) == 9 + 12 + 12


def test_an_agent_learns_a_little(shell: Shell, weights: str) -> None:
    lines = shell.run("wrappers_tour.py", "learn", "--weights", weights, "--steps", "16")
    assert lines[-1].startswith("after 16 blocks it would ")


@pytest.mark.filterwarnings("ignore:.*matplotlib is not installed")
def test_gymnasium_s_player_opens_and_closes(shell: Shell, weights: str) -> None:
    import pygame

    pygame.display.init()
    pygame.event.post(pygame.event.Event(pygame.QUIT))
    shell.run("wrappers_tour.py", "play", "--weights", weights, "--zoom", "2")


def test_the_text_encoder_s_speed_is_measured_by_dtype_and_threads(shell: Shell) -> None:
    pytest.importorskip("transformers", reason="needs the extra 'wan'")
    small = ("--layers", "3", "--shrink", "64", "--threads", "1", "2", "--batch", "2")
    first, *lines, last = shell.run("wan_text_speed.py", *small)
    assert "145 tokens, batches of 2" in first
    cases = [(case["weights"], case["threads"]) for case in json.loads(last)]
    assert cases == [(kind, threads) for kind in ("bfloat16", "int8") for threads in (1, 2)] and len(lines) == 4


def test_the_benchmark_has_a_row_for_each_window(shell: Shell, weights: str) -> None:
    lines = shell.run("benchmark.py", "--weights", weights, "--windows", "5", "9", "--blocks", "2")
    assert [line.split()[0] for line in lines[2:4]] == ["5", "9"]
    assert set(json.loads(lines[-1])) == {"5", "9"}
