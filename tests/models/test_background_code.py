"""Code that is compiled during play: when it is there, blocks use it; damaged, missing or killed, play goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from infrope_env.cli import main
from infrope_env.dynamics.segments import SegmentedTransformer, cut_into_segments
from infrope_env.env import InfinityRopeEnv
from infrope_env.models import background_code, compile_process, native_code
from infrope_env.models.background_code import BackgroundCode
from infrope_env.models.native_code import MANIFEST, code_folder, compile_code, file_name, intact_files, load_code
from infrope_env.models.options import LoadOptions
from infrope_env.models.resolve import load_model
from infrope_env.models.world_model import WorldModel
from infrope_env.recording import replay
from infrope_env.recording.reader import Recording
from infrope_env.recording.schema import SchemaError, check_meta
from infrope_env.recording.verification import Verdict
from infrope_env.wrappers import RecordRollout

OPTIONS = LoadOptions(device="cpu", dtype="float32")
ACTIONS = (2, 3, 7, 2)


class Louder:
    """Segments whose predictions are a tenth too large, so that their pixels always differ from the model's."""

    def __init__(self, segment: torch.nn.Module, is_last: bool) -> None:
        self.segment, self.factor = segment, 1.1 if is_last else 1.0

    def __call__(self, *inputs: torch.Tensor) -> Any:
        outputs = self.segment(*inputs)
        return outputs * self.factor if isinstance(outputs, torch.Tensor) else outputs


def louder(model: WorldModel) -> SegmentedTransformer:
    """Stand-in for compiled code."""
    segments = cut_into_segments(model.transformer)
    last = len(segments) - 1
    return SegmentedTransformer([Louder(s, i == last) for i, s in enumerate(segments)], model.config.num_heads)


@pytest.fixture
def arguments(tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Arguments of an environment that compiles in the background, with an empty cache folder and a compiler."""
    monkeypatch.setenv("INFROPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(background_code, "can_compile", lambda device: True)
    return {"weights": str(tiny_weights), "device": "cpu", "dtype": "float32", "compile": "background"}


@pytest.fixture
def no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiling takes for ever."""
    monkeypatch.setattr(BackgroundCode, "start", lambda self: None)


def pixels(env: InfinityRopeEnv, actions: tuple[int, ...] = ACTIONS) -> list[bytes]:
    return [env.reset(seed=3)[0].tobytes(), *(env.step(action)[0].tobytes() for action in actions)]


@pytest.mark.usefixtures("no_process")
def test_play_goes_over_to_compiled_code_between_two_blocks(
    arguments: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    plain = pixels(InfinityRopeEnv(**arguments | {"compile": False}))
    env = InfinityRopeEnv(**arguments)
    first = [env.reset(seed=3)[0].tobytes(), env.step(ACTIONS[0])[0].tobytes()]
    assert first == plain[:2] and not env.newest_is_compiled
    assert env.background_code is not None
    env.background_code.network = louder(env.model)
    assert env.step(ACTIONS[1])[0].tobytes() != plain[2]
    assert env.newest_is_compiled
    assert caplog.text.count("compiled code from block 2 on") == 1
    env.step(ACTIONS[2])
    assert caplog.text.count("compiled code from block") == 1


@pytest.mark.usefixtures("no_process")
def test_a_replay_goes_over_at_the_block_of_the_recording(
    arguments: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import gymnasium

    made = gymnasium.make("infrope/PocketWorld-v0", disable_env_checker=True, **arguments)
    env = RecordRollout(made, tmp_path / "rollouts")
    inner = env.unwrapped
    env.reset(seed=3)
    env.step(2)
    inner.background_code.network = louder(inner.model)
    env.step(3)
    env.step(7)
    env.close()
    (episode,) = env.episodes
    assert [block.compiled for block in Recording.read(episode).blocks] == [False, False, True, True]
    assert Recording.read(episode).meta.made_with.compiled

    meta = json.loads((episode / "meta.json").read_text())
    with pytest.raises(
        SchemaError, match=r"env_kwargs\.compile to be true, false, 'graphs' or 'background', got 'later'"
    ):
        check_meta(meta | {"env_kwargs": meta["env_kwargs"] | {"compile": "later"}})

    def wait(code: BackgroundCode) -> None:
        code.network = louder(code._model)

    monkeypatch.setattr(BackgroundCode, "wait", wait)
    assert replay(episode).verdict is Verdict.SAME

    def fail(code: BackgroundCode) -> None:
        code.possible = False

    monkeypatch.setattr(BackgroundCode, "wait", fail)
    report = replay(episode)
    assert report.verdict is Verdict.NOT_COMPARABLE and report.differing_blocks == (2, 3)
    assert any("compiled was True in the recording and is False now" in note for note in report.notes)


def test_without_a_compiler_it_says_so_once_and_plays_uncompiled(
    arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("CXX", "no-such-compiler")
    plain = pixels(InfinityRopeEnv(**arguments | {"compile": False}))
    env = InfinityRopeEnv(**arguments)
    assert pixels(env) == plain and not env.may_be_compiled
    assert caplog.text.count("playing uncompiled: compiling for 'cpu' needs a compiler for C++") == 1


def test_other_values_of_compile_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected compile to be False, True, 'graphs' or 'background', got 'later'"):
        InfinityRopeEnv(**arguments | {"compile": "later"})


@pytest.mark.usefixtures("no_process")
def test_play_has_an_option_for_it(arguments: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    made: list[str] = []
    given = ["play", "--headless", "--background-compile", "--weights", arguments["weights"], "--device", "cpu"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BackgroundCode, "start", lambda code: made.append(code.folder.name))
        assert main([*given, "--blocks", "2"]) == 0
    assert len(made) == 2  # asked for after every block
    assert main([*given, "--compile"]) == 2
    assert "give one of --compile and --background-compile, not both" in capsys.readouterr().err
    assert main([*given, "--graphs"]) == 2
    assert "give one of --graphs and --background-compile, not both" in capsys.readouterr().err


def fake_process(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Run other code in place of the compiler's process."""
    monkeypatch.setattr(background_code, "MODULE", "tests.models.fake_compile")
    monkeypatch.setenv("FAKE_COMPILE", code)


def until(condition: Callable[[], bool]) -> None:
    ends_s = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < ends_s
        time.sleep(0.05)


def test_a_compilation_that_fails_is_one_warning_and_play_goes_on(
    arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fake_process(monkeypatch, "raise SystemExit('no space left')")
    env = InfinityRopeEnv(**arguments)
    env.reset(seed=3)
    assert env.background_code is not None
    env.background_code.wait()
    env.step(2)
    assert not env.newest_is_compiled and not env.may_be_compiled
    assert caplog.text.count("playing uncompiled: compiling failed, see ") == 1
    assert "no space left" in (env.background_code.folder / "compile.log").read_text()


def test_a_cache_folder_that_cannot_be_written_is_one_warning(
    arguments: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_text("a file")
    env = InfinityRopeEnv(**arguments)
    env.reset(seed=3)
    env.step(2)
    assert not env.may_be_compiled
    assert caplog.text.count("playing uncompiled: compiling cannot begin: ") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="process groups")
def test_closing_ends_the_process_and_its_compilers_without_a_word(
    arguments: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ids = tmp_path / "ids"
    monkeypatch.setenv("FAKE_IDS", str(ids))
    fake_process(
        monkeypatch,
        "child = subprocess.Popen(['sleep', '60'])\n"
        "Path(os.environ['FAKE_IDS']).write_text(f'{os.getpid()} {child.pid}')\n"
        "time.sleep(60)",
    )
    env = InfinityRopeEnv(**arguments)
    env.reset(seed=3)
    until(lambda: ids.exists() and len(ids.read_text().split()) == 2)
    process, compiler = map(int, ids.read_text().split())
    if hasattr(os, "SCHED_IDLE"):
        assert os.sched_getscheduler(process) == os.SCHED_IDLE
    env.close()
    until(lambda: not is_running(process) and not is_running(compiler))
    env.step(2)
    assert "playing uncompiled" not in caplog.text


@pytest.mark.skipif(sys.platform == "win32", reason="process groups")
def test_the_process_ends_with_a_killed_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_COMPILE", "subprocess.run(['sleep', '60'])")
    module = ["-m", "tests.models.fake_compile"]
    process = subprocess.Popen([sys.executable, *module], stdin=subprocess.PIPE, start_new_session=True)
    assert process.stdin is not None
    process.stdin.close()  # as the system does when the parent is killed
    assert process.wait(30) == -signal.SIGKILL


def is_running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.fixture
def code(tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[WorldModel, Path]:
    """A model and the folder of its code, whose libraries are texts."""
    monkeypatch.setenv("INFROPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(native_code, "CompiledSegment", lambda path: path.read_text())
    model = load_model(tiny_weights, OPTIONS)
    folder = code_folder(model, 3)
    folder.mkdir(parents=True)
    digests = {}
    for index in range(model.config.num_layers + 1):
        (folder / file_name(index)).write_text(f"code {index}")
        digests[file_name(index)] = native_code.sha256_of(folder / file_name(index))
    (folder / MANIFEST).write_text(json.dumps(digests))
    return model, folder


def test_whole_code_is_loaded_and_damaged_code_is_not(code: tuple[WorldModel, Path]) -> None:
    model, folder = code
    assert load_code(model, folder) is not None
    (folder / file_name(1)).write_text("code X")
    assert load_code(model, folder) is None
    assert file_name(1) not in intact_files(folder) and file_name(0) in intact_files(folder)


def test_only_missing_and_damaged_segments_are_compiled_and_a_killed_compilation_goes_on(
    code: tuple[WorldModel, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, folder = code
    names = [file_name(index) for index in range(model.config.num_layers + 1)]
    compiled: list[int] = []

    def compile_segment(segment: torch.nn.Module, inputs: Any, library: Path) -> None:
        segment(*inputs)  # the shapes fit
        compiled.append(len(inputs))
        if len(compiled) == 2:
            library.write_text("half")
            raise KeyboardInterrupt
        library.write_text(f"code {len(compiled)}")

    monkeypatch.setattr(native_code, "compile_segment", compile_segment)
    (folder / names[0]).write_text("damaged")
    (folder / names[1]).unlink()
    with pytest.raises(KeyboardInterrupt):
        compile_code(model, 3, folder)
    assert list(intact_files(folder)) == [*names[2:], names[0]] and compiled == [2, 6]
    compile_code(model, 3, folder)
    assert compiled == [2, 6, 6] and load_code(model, folder) is not None
    assert {path.name for path in folder.iterdir()} == {*names, MANIFEST}


@pytest.mark.parametrize("content", ["", "[]", "7", '{"../../x": "y"}', '{"segment_000.so": 3}', "\x00\xff"])
def test_a_damaged_list_counts_as_no_code(code: tuple[WorldModel, Path], content: str) -> None:
    model, folder = code
    (folder / MANIFEST).write_text(content)
    assert load_code(model, folder) is None and intact_files(folder) == {}


def test_other_weights_dtypes_blocks_or_compilers_have_other_code(
    code: tuple[WorldModel, Path], tiny_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, folder = code
    half = load_model(tiny_weights, LoadOptions(device="cpu", dtype="bfloat16"))
    folders = {folder, code_folder(half, 3), code_folder(model, 1)}
    monkeypatch.setattr(native_code, "compiler_version", lambda: "g++ 99")
    folders.add(code_folder(model, 3))
    monkeypatch.setattr(native_code.platform, "machine", lambda: "riscv")
    folders.add(code_folder(model, 3))
    assert len(folders) == 5


@pytest.mark.compiles
def test_compiled_code_computes_the_same_and_a_killed_compilation_goes_on(
    tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFROPE_CACHE", str(tmp_path / "cache"))
    arguments: dict[str, Any] = {"weights": str(tiny_weights), "device": "cpu", "dtype": "float32"}
    plain, env = InfinityRopeEnv(**arguments), InfinityRopeEnv(compile="background", **arguments)
    code = env.background_code
    assert code is not None
    code.start()
    until_s = time.monotonic() + 600
    while not intact_files(code.folder):
        assert time.monotonic() < until_s
        time.sleep(0.2)
    assert code._process is not None
    os.killpg(code._process.pid, signal.SIGKILL)
    kept = intact_files(code.folder)
    again = InfinityRopeEnv(compile="background", **arguments)
    assert again.background_code is not None
    again.background_code.wait()
    assert kept.items() <= intact_files(code.folder).items()
    assert again.background_code.network is not None
    assert not (code.folder / compile_process.WORK).exists()
    for slow, fast in zip([plain.reset(seed=3)[0]], [again.reset(seed=3)[0]], strict=True):
        assert (slow.astype(int) - fast).__abs__().max() <= 1
    assert again.newest_is_compiled
    for action in ACTIONS:
        slow, fast = plain.step(action)[0], again.step(action)[0]
        assert abs(slow.astype(int) - fast).max() <= 1
    cached = InfinityRopeEnv(compile="background", **arguments)
    assert pixels(cached) == pixels(again)
