import errno
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from infrope_env import cli
from infrope_env.cli_options import steps_argument
from infrope_env.recording.video import VideoWriter

ROOT = Path(__file__).parents[1]


@pytest.fixture
def weights(tiny_weights: Path) -> list[str]:
    return ["--weights", str(tiny_weights)]


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one sentence on stderr of a command that is refused."""
    assert cli.main(arguments) == 2
    output = capsys.readouterr()
    assert output.out == ""
    (sentence,) = output.err.splitlines()
    assert sentence.startswith("infrope: ")
    return sentence


def test_play_prints_a_line_per_block_and_a_summary(weights: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    script = "walk_right*2 jump cut_desert stand*2"
    assert cli.main(["play", "--headless", "--script", script, "--seed", "1", *weights]) == 0
    *lines, summary = capsys.readouterr().out.splitlines()
    assert [line.split()[1:4] for line in lines] == [
        ["0", "reset", "start"], ["1", "walk_right", "switch"], ["2", "walk_right", "continue"],
        ["3", "jump", "switch"], ["4", "cut_desert", "cut"], ["5", "stand", "switch"], ["6", "stand", "continue"],
    ]  # fmt: skip
    assert all(line.endswith(" ms") for line in lines)
    assert summary.startswith("7 blocks, 81 pixel frames in ")


def test_blocks_ends_a_run_before_or_after_its_script(weights: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    for blocks in (2, 5):
        assert cli.main(["play", "--headless", "--script", "jump*2", "--blocks", str(blocks), *weights]) == 0
        assert len(capsys.readouterr().out.splitlines()) == blocks + 1


def test_a_storyboard_file_steers_by_prompts(
    weights: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    board = tmp_path / "board.txt"
    board.write_text(
        "a green frog waves hello in a dark cave[1.5s] | a green frog jumps up and down in a dark cave[1.5s#]"
    )
    assert cli.main(["play", "--headless", "--storyboard", str(board), *weights]) == 0
    lines = capsys.readouterr().out.splitlines()[:-1]
    assert [line.split()[3] for line in lines] == ["start", "continue", "cut", "continue"]


BOARD = """a green frog waves hello in a dark cave[1.5s] | a green frog jumps up and down in a dark cave[1.5s#]
| a green frog stands still in a dark cave[1.5s]; Hello | Hop | Done"""


def test_a_line_of_a_file_is_played(weights: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    board = tmp_path / "prompts.txt"
    board.write_text("an orange fox waves hello in a dark cave\r\na green frog stands still in a sunny beach[0.5s]\r\n")
    arguments = ["play", "--headless", "--storyboard", str(board), *weights]
    assert "Choose one with --line 1 to --line 2." in refused(arguments, capsys)
    assert cli.main([*arguments, "--line", "2"]) == 0
    assert "1 blocks, 9 pixel frames" in capsys.readouterr().out  # the other line has 14


def test_a_recorded_storyboard_has_its_subtitles_beside_the_video(weights: list[str], tmp_path: Path) -> None:
    (tmp_path / "board.txt").write_text(BOARD)
    given = ["record", "--storyboard", str(tmp_path / "board.txt"), *weights]
    spans = {
        (): ["00:00:00,000 --> 00:00:01,312", "00:00:01,312 --> 00:00:02,812", "00:00:02,812 --> 00:00:04,312"],
        ("--blocks", "3"): ["00:00:00,000 --> 00:00:01,312", "00:00:01,312 --> 00:00:02,062"],
    }
    for options, expected in spans.items():
        out = tmp_path / f"kept{len(options)}"
        assert cli.main([*given, "--out", str(out), *options]) == 0
        written = (out / "episode_000" / "video.srt").read_text()
        assert [line for line in written.splitlines() if "-->" in line] == expected


def test_a_storyboard_of_the_release_cuts_and_is_subtitled_as_there(weights: list[str], tmp_path: Path) -> None:
    (tmp_path / "board.txt").write_text(" ".join(BOARD.split()) + "\n\n")
    given = ["record", "--storyboard", str(tmp_path / "board.txt"), "--compat", "release", *weights]
    assert cli.main([*given, "--out", str(tmp_path)]) == 0
    blocks = [json.loads(line) for line in (tmp_path / "episode_000" / "blocks.jsonl").read_text().splitlines()]
    assert [block["transition"] for block in blocks] == ["start", "continue", "switch", "continue", "cut", "continue"]
    assert "00:00:01,500 --> 00:00:03,000\nHop" in (tmp_path / "episode_000" / "video.srt").read_text()


def test_a_storyboard_that_cannot_be_read_to_its_end_is_refused_before_its_first_block(
    weights: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "board.txt").write_text("a green frog waves hello in a dark cave[9s] | a dragon in a dark cave[9s]")
    arguments = ["record", "--storyboard", str(tmp_path / "board.txt"), "--out", str(tmp_path), *weights]
    assert "'dragon'" in refused(arguments, capsys) and not (tmp_path / "episode_000").exists()


def test_a_seeded_random_walk_is_the_same_twice(weights: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    runs = []
    for _ in range(2):
        assert cli.main(["play", "--headless", "--random", "--blocks", "12", "--seed", "5", *weights]) == 0
        runs.append([line.split()[:4] for line in capsys.readouterr().out.splitlines()[:-1]])
    assert runs[0] == runs[1] and len({line[2] for line in runs[0]}) > 2


def test_subject_and_scene_are_those_of_the_first_block(weights: list[str], tmp_path: Path) -> None:
    given = ["--subject", "frog", "--scene", "cave", "--blocks", "1", "--record", str(tmp_path)]
    assert cli.main(["play", "--headless", *given, *weights]) == 0
    assert '"a green frog stands still in a dark cave"' in (tmp_path / "episode_000" / "blocks.jsonl").read_text()


def test_a_recording_is_replayed_and_verified(
    weights: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert cli.main(["record", "--out", str(tmp_path), "--script", "jump cut_snow", "--headless", *weights]) == 0
    output = capsys.readouterr()
    assert "block 3 of 3" in output.err and f"wrote {tmp_path / 'episode_000'}" in output.out
    assert cli.main(["play", "--record", str(tmp_path), "--blocks", "2", "--headless", *weights]) == 0
    assert f"wrote {tmp_path / 'episode_001'}" in capsys.readouterr().out
    assert cli.main(["replay", str(tmp_path / "episode_000"), "--verify", "--headless"]) == 0
    assert "every block is the same" in capsys.readouterr().out
    assert cli.main(["replay", str(tmp_path / "episode_000"), "--threads", "0", "--headless"]) == 2
    assert "expected threads to be at least 1, got 0" in capsys.readouterr().err


def test_bench_ends_with_json(weights: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "--blocks", "2", "--headless", *weights]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("{")


def test_weights_are_described(tiny_weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["weights", str(tiny_weights)]) == 0
    assert "tiny-0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "Expected one of"),
        (["plya"], "plya"),
        (["play", "--blob"], "--blob"),
        (["play", "--window", "x"], "--window"),
        (["play", "--headless", "--blocks", "0"], "expected --blocks to be at least 1, got 0"),
        (["play", "--headless", "--seed", "-1"], "expected --seed to be 0 or more, got -1"),
        (["play", "--headless", "--random", "--script", "jump"], "--script and --random"),
        (["play", "--headless", "--line", "2"], "give --storyboard too"),
        (["play", "--headless", "--quality", "high"], "give --record too"),
        (["replay", "x", "--headless", "--quality", "high"], "give --out too"),
        (["record", "--headless", "--out", "x", "--quality", "best"], "--quality"),
        (["play", "--headless", "--weights", "/nowhere"], "/nowhere"),
        (["play", "--headless", "--actions", "nosuch"], "nosuch"),
        (["play", "--headless", "--env", "no/Such-v0"], "no"),
        (["play", "--headless", "--env", "CartPole-v1"], "got CartPole-v1"),
        (["play", "--headless", "--env", "CartPole-v1", "--weights", "x"], "does not take weights"),
        (["record", "--headless"], "--out"),
        (["record", "--headless", "--out", "x", "--seconds", "9"], "belong to --prompts"),
        (["replay", "/nowhere", "--headless"], "/nowhere"),
        (["replay", "/nowhere", "--headless", "--window", "9"], "--window"),
        (["weights", "/nowhere"], "/nowhere"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert expected in refused(arguments, capsys)


@pytest.mark.parametrize(
    ("text", "argument"),
    [
        (None, {}),
        ("1", {"steps": 1}),
        ("4", {"steps": 4}),
        ("1000", {"sampler": "1000"}),
        ("1000,500", {"sampler": "1000,500"}),
        ("fast", {"sampler": "fast"}),
    ],
)
def test_steps_are_a_number_of_steps_or_the_steps(text: str | None, argument: dict[str, int | str]) -> None:
    assert steps_argument(text) == argument


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--script", "fly*2"], "'fly'"),
        (["--env", "infrope/PocketWorldImage-v0"], "expected --env to observe whole blocks"),
        (["--script", "jump*99999999999999"], "at most 1,000,000 blocks"),
        (["--threads", "100000"], "expected --threads to be at least 1 and at most 1024, got 100000"),
        (["--storyboard", "/nowhere.txt"], "/nowhere.txt: cannot be read"),
        (["--subject", "dog"], "expected subject to be one of robot"),
        (["--scene", "moon"], "'moon'"),
        (["--image", "fox.png"], "has no encoder: it cannot start from an image"),
        (["--window", "2"], "expected a window of at least"),
        (["--window", "0"], "expected a window of at least"),
        (["--steps", "fast"], "expected steps such as 1000,750,500,250"),
        (["--steps", "5"], "expected steps to be a whole number from 1 to 4, got 5"),
        (["--steps", "0"], "expected steps to be a whole number from 1 to 4, got 0"),
        (["--steps", "250,500"], "expected steps to fall from at most 1000"),
        (["--lora", "mine.safetensors"], "lora='mine.safetensors' is for Wan"),
        (["--device", "toaster"], "toaster"),
    ],
)
def test_options_that_the_environment_refuses_are_one_sentence(
    arguments: list[str], expected: str, weights: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert expected in refused(["play", "--headless", *arguments, *weights], capsys)


def test_without_a_display_play_fails_before_loading(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER", "SDL_VIDEO_DRIVER"):
        monkeypatch.delenv(name, raising=False)
    sentence = refused(["play", "--weights", "/nowhere"], capsys)
    assert sentence == "infrope: no display: set DISPLAY, or run with --headless"


def test_what_uninstalling_pygame_leaves_of_pygame_ce_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pygame", ModuleType("pygame"))
    sentence = refused(["play", "--weights", "/nowhere"], capsys)
    assert sentence == "infrope: pygame is damaged: pip install --force-reinstall pygame-ce"


def test_a_script_plays_in_a_window_and_ends(
    weights: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    assert cli.main(["play", "--script", "jump", "--record", str(tmp_path), *weights]) == 0
    assert len((tmp_path / "episode_000" / "blocks.jsonl").read_text().splitlines()) == 2


def test_help_lists_the_keys_and_does_not_import_torch() -> None:
    show_help = "import sys\nfrom infrope_env import cli\ntry: cli.main(['play', '--help'])"
    code = f"{show_help}\nfinally: print('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert ran.returncode == 0
    assert "space/up/w  jump" in ran.stdout and "--script" in ran.stdout
    assert ran.stdout.splitlines()[-1] == "False"


def test_a_full_disk_ends_a_recording_with_a_sentence_and_a_code(weights: list[str], tmp_path: Path) -> None:
    small = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, resource.RLIM_INFINITY))"
    run = f"{small}; import sys; from infrope_env import cli; sys.exit(cli.main(sys.argv[1:]))"
    arguments = ["record", "--random", "--seed", "0", "--blocks", "40", "--out", str(tmp_path / "kept"), *weights]
    done = subprocess.run([sys.executable, "-c", run, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "File too large. The blocks before are kept." in done.stderr.splitlines()[-1]
    assert "40 blocks" in done.stdout


def test_a_disk_that_is_full_at_the_last_frame_is_reported_too(
    weights: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: VideoWriter) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(VideoWriter, "close", fail)
    assert cli.main(["record", "--blocks", "2", "--out", str(tmp_path / "kept"), *weights]) == 2
    assert "No space left on device" in capsys.readouterr().err.splitlines()[-1]


def test_log_messages_of_the_package_are_lines_on_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(_: cli.Weights) -> int:
        logger = logging.getLogger("infrope_env.models.compile")
        logger.debug("not shown")
        logger.info("compiling for %d context lengths", 3)
        logging.getLogger("elsewhere").info("not shown")
        return 0

    monkeypatch.setattr(cli.Weights, "run", run)
    for _ in range(2):  # the handler of an earlier command is gone
        assert cli.main(["weights"]) == 0
        output = capsys.readouterr()
        assert (output.out, output.err) == ("", "infrope: compiling for 3 context lengths\n")
    assert not logging.getLogger("infrope_env").handlers
    assert not logging.getLogger("infrope_env").isEnabledFor(logging.INFO)  # as before the command
    logging.getLogger("infrope_env.models.compile").info("not shown")
    assert capsys.readouterr().err == ""


def test_a_host_s_own_log_handler_does_not_repeat_the_command_s_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(_: cli.Weights) -> int:
        logging.getLogger("infrope_env").info("one")
        return 0

    monkeypatch.setattr(cli.Weights, "run", run)
    host = logging.StreamHandler(sys.stderr)
    logging.getLogger().addHandler(host)
    try:
        assert cli.main(["weights"]) == 0
    finally:
        logging.getLogger().removeHandler(host)
    assert capsys.readouterr().err == "infrope: one\n"
    assert logging.getLogger("infrope_env").propagate


def test_log_messages_before_an_error_are_shown_before_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(_: cli.Weights) -> int:
        logging.getLogger("infrope_env").warning("one")
        raise ValueError("two")

    monkeypatch.setattr(cli.Weights, "run", run)
    assert cli.main(["weights"]) == 2
    assert capsys.readouterr().err.splitlines() == ["infrope: one", "infrope: two"]


def test_without_a_controller_the_keyboard_steers_a_window(
    weights: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    assert cli.main(["play", "--blocks", "2", "--record", str(tmp_path), *weights]) == 0
    blocks = [json.loads(line) for line in (tmp_path / "episode_000" / "blocks.jsonl").read_text().splitlines()]
    assert [block["action"] for block in blocks] == [-1, 0]


@pytest.mark.parametrize("command", ["play", "record"])
def test_ctrl_c_closes_the_episode_and_names_it(
    command: str,
    tmp_path: Path,
    weights: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"infrope_env.player.headless.print_{'block' if command == 'play' else 'progress'}", interrupt)
    option = "--record" if command == "play" else "--out"
    assert cli.main([command, "--headless", "--blocks", "3", option, str(tmp_path / "kept"), *weights]) == 130
    assert f"wrote {tmp_path / 'kept' / 'episode_000'}" in capsys.readouterr().out
    meta = json.loads((tmp_path / "kept" / "episode_000" / "meta.json").read_text())
    assert meta["closed"]["blocks"] == 1
