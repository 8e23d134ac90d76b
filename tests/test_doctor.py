"""`infrope doctor`, as a command."""

from pathlib import Path

import pytest

from infrope_env import cli
from infrope_env.findings import Status, note, ok, problem

Output = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def no_real_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty caches, no GPU, 20 GB of host memory, a roomy disk, no display, and a complete compiler."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("INFROPE_CACHE", str(tmp_path / "infrope"))
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("infrope_env.models.wan.dry_run.free_memory", lambda: 20_000_000_000)
    monkeypatch.setattr("infrope_env.models.wan.dry_run.free_disk", lambda folder: 100_000_000_000)
    monkeypatch.setattr("infrope_env.doctor.missing_for_compiling", lambda device: [])
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER", "SDL_VIDEO_DRIVER"):
        monkeypatch.delenv(name, raising=False)


class Gpu:
    """Properties of a device, as torch gives them."""

    name, major, minor = "Test GPU", 8, 9


def with_gpu(monkeypatch: pytest.MonkeyPatch, free_gb: float) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (int(free_gb * 1e9), 24_000_000_000))
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda device: Gpu)
    monkeypatch.setattr("infrope_env.models.options.has_fast_bfloat16", lambda device: True)


def report(capsys: Output, *options: str) -> tuple[int, dict[str, str]]:
    """Exit code, and the lines of the report by subject."""
    code = cli.main(["doctor", *options])
    lines = capsys.readouterr().out.splitlines()
    return code, {line[8:22].strip(): line for line in lines[:-1]} | {"last": lines[-1]}


def wan(capsys: Output, *options: str) -> tuple[int, dict[str, str]]:
    return report(capsys, "--env", "infrope/Wan-v0", "--headless", *options)


def test_a_line_has_its_status_and_a_problem_its_remedy() -> None:
    assert str(ok("device", "a GPU")) == "ok      device        a GPU"
    assert str(problem("disk", "is full", "free some")) == "problem disk          is full: free some"
    assert note("x", "y").status is Status.NOTE


def test_the_pocket_world_needs_a_display_or_headless(capsys: Output) -> None:
    code, lines = report(capsys)
    assert code == 1 and lines["display"].startswith("problem") and "--headless" in lines["display"]
    assert lines["last"] == "Play is not possible yet: display."
    code, lines = report(capsys, "--headless")
    assert code == 0 and lines["last"] == "Play is possible here."
    assert lines["weights"].startswith("ok") and lines["weights"].endswith("5 files intact")
    assert lines["device"] == "ok      device        cpu, in float32" or "bfloat16" in lines["device"]


@pytest.mark.parametrize(
    ("gains", "options", "suggested"),
    [
        (False, [], True),
        (True, [], False),
        (False, ["--compile"], False),
        (False, ["--precision", "float"], False),
    ],
)
def test_int8_is_suggested_where_bfloat16_gains_nothing(
    capsys: Output, monkeypatch: pytest.MonkeyPatch, gains: bool, options: list[str], suggested: bool
) -> None:
    monkeypatch.setattr("infrope_env.doctor.multiplies_bfloat16", lambda: gains)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    code, lines = report(capsys, "--headless", *options)
    assert code == 0 and ("--precision int8" in lines.get("precision", "")) == suggested


def test_int8_is_suggested_neither_for_a_gpu_nor_on_processors_where_it_was_not_measured(
    capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infrope_env.doctor.multiplies_bfloat16", lambda: False)
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    assert "precision" not in report(capsys, "--headless")[1]
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    with_gpu(monkeypatch, free_gb=20)
    assert "precision" not in report(capsys, "--headless")[1]


def test_a_display_is_opened_and_closed(capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    code, lines = report(capsys)
    assert code == 0 and lines["display"] == "ok      display       dummy"


@pytest.mark.parametrize(
    ("options", "subject", "sentence"),
    [
        (["--weights", "nowhere"], "weights", "No weights named 'nowhere'"),
        (["--device", "cuda:7"], "device", "There is no device 'cuda:7' here"),
        (["--actions", "nowhere.toml"], "weights", "nowhere.toml"),
    ],
)
def test_what_play_would_refuse_is_a_problem(capsys: Output, options: list[str], subject: str, sentence: str) -> None:
    code, lines = report(capsys, "--headless", *options)
    assert code == 1 and lines[subject].startswith("problem") and sentence in lines[subject]


def test_before_a_download_its_files_are_listed_with_known_and_computed_sizes(
    capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_gpu(monkeypatch, free_gb=20)
    code, lines = wan(capsys)
    assert code == 0, lines
    files = lines["files"]
    assert files.startswith("note") and "infinite-forcing 5.68* GB" in files and "umt5-xxl 11.38 GB" in files
    assert "taew2_1 0.02* GB" in files and "s at 100 Mbit/s" in files and "infrope weights wan --download" in files
    assert "17.1 GB are needed" in lines["disk"] and lines["disk"].startswith("ok")
    assert lines["device"] == (
        "ok      device        Test GPU, compute capability 8.9, 20.0 of 24.0 GB free, in bfloat16"
    )
    assert lines["GPU memory"].startswith("ok") and "20.0 GB are free" in lines["GPU memory"]
    assert lines["prompts"].startswith("ok") and "693 are encoded on the GPU, about 0.5 s each" in lines["prompts"]


def test_a_gpu_that_is_too_small_is_told_which_options_fit(capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    from infrope_env.models.wan.memory import memory_in_play

    plain, less = (memory_in_play("taew2_1", offload) / 1e9 for offload in (False, True))
    with_gpu(monkeypatch, free_gb=(plain + less) / 2 + 0.3)
    code, lines = wan(capsys)
    assert code == 1 and lines["GPU memory"].startswith("problem") and "add --offload" in lines["GPU memory"]
    code, lines = wan(capsys, "--offload")
    assert code == 0 and lines["GPU memory"].startswith("ok")
    code, lines = wan(capsys, "--offload", "--decoder", "taew2_1", "--weights", "krea-realtime-14b")
    assert code == 1 and "free some" in lines["GPU memory"]


def test_without_a_gpu_wan_is_a_problem_unless_the_processor_is_asked_for(capsys: Output) -> None:
    code, lines = wan(capsys)
    assert code == 1 and lines["GPU"].startswith("problem") and "--device cpu" in lines["GPU"]
    code, lines = wan(capsys, "--device", "cpu")
    assert code == 0 and lines["speed"].startswith("note") and "takes minutes" in lines["speed"]
    assert "on the processor, about 20 s each, " in lines["prompts"]


def test_a_full_disk_and_little_memory_are_problems(capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpu(monkeypatch, free_gb=10)
    monkeypatch.setattr("infrope_env.models.wan.dry_run.free_memory", lambda: 1_500_000_000)
    monkeypatch.setattr("infrope_env.models.wan.dry_run.free_disk", lambda folder: 5_000_000_000)
    code, lines = wan(capsys)
    assert code == 1 and lines["disk"].startswith("problem") and "HF_HOME" in lines["disk"]
    assert lines["host memory"].startswith("problem") and lines["host memory"].endswith(": close programs")
    assert lines["last"] == "Play is not possible yet: disk, host memory."


def test_the_extra_s_packages_and_the_compiler_are_looked_for(capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpu(monkeypatch, free_gb=20)
    monkeypatch.setattr("infrope_env.models.wan.dry_run.version_of", lambda name: None if name == "ftfy" else "1")
    monkeypatch.setattr("infrope_env.doctor.missing_for_compiling", lambda device: "Triton")
    code, lines = wan(capsys, "--compile")
    assert code == 1 and lines["packages"].startswith("problem") and "ftfy not installed" in lines["packages"]
    assert lines["compiler"] == ("note    compiler      --compile lacks Triton: install it, or play without --compile")
    assert wan(capsys)[1]["compiler"].startswith("ok")


def test_nothing_is_requested(capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise AssertionError("a request")

    monkeypatch.setattr("socket.socket.connect", no_network)
    monkeypatch.setattr("socket.create_connection", no_network)
    assert wan(capsys, "--device", "cpu")[0] == 0
