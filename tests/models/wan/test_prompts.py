"""Prompts of Wan before play, and ahead of it by a command."""

import shutil
from pathlib import Path

import pytest

from infrope_env import cli
from infrope_env.control.actions import ActionSet
from infrope_env.models.wan.prompts import encode_ahead, find_text_encoder
from infrope_env.text.lazy import AbsentTextEncoder, LazyTextEncoder
from infrope_env.text.prompt_cache import PromptCache
from infrope_env.text.prompt_files import default_folder
from tests.models.wan.wan_folder import ACTIONS
from tests.text.tiny_umt5 import write_diffusers_folder

pytest.importorskip("transformers", reason="needs the extra 'wan'")

TEXTS = [f"a fox at dawn {number}" for number in "abcdef"]


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_diffusers_folder(tmp_path_factory.mktemp("Wan2.1-T2V-1.3B-Diffusers"))


@pytest.fixture
def actions(tmp_path: Path) -> str:
    path = tmp_path / "small.toml"
    path.write_text(ACTIONS)
    return str(path)


def kept() -> int:
    return len(list(default_folder().glob("*/*.safetensors")))


def test_on_the_cpu_only_the_start_prompt_is_encoded_before_play(twin: Path) -> None:
    encoder = LazyTextEncoder(twin, device="cpu")
    encode_ahead(encoder, TEXTS)
    assert kept() == 1 and not encoder.loaded
    embedding = PromptCache(LazyTextEncoder(twin, device="refuse"), default_folder())[TEXTS[0]]
    assert embedding.equal(encoder([TEXTS[0]]))


def test_on_a_gpu_all_prompts_are_encoded_while_that_is_quick(twin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = LazyTextEncoder(twin, device="cpu")
    monkeypatch.setattr(LazyTextEncoder, "on_gpu", True)
    monkeypatch.setattr(LazyTextEncoder, "batch_size", 2)
    encode_ahead(encoder, TEXTS, patience_s=-1)
    assert kept() == 1  # the rest is left to play
    encode_ahead(encoder, TEXTS)
    assert kept() == len(TEXTS) and not encoder.loaded


def test_an_encoder_that_refuses_encodes_nothing(twin: Path) -> None:
    encode_ahead(LazyTextEncoder(twin, device="refuse"), TEXTS)
    assert kept() == 0


def test_a_command_encodes_an_action_set_which_plays_on_another_machine(
    twin: Path, actions: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["weights", str(twin), "--encode", actions]) == 0
    captured = capsys.readouterr()
    first, folder, last = captured.out.splitlines()
    assert first.endswith("0 are encoded, 4 are not yet") and "encoding prompts: 4 of 4" in captured.err
    assert Path(folder).parent == default_folder() and kept() == 4
    assert "copy this folder into prompts/" in last and "INFROPE_CACHE" in last
    texts = ActionSet.load(actions).prompts()
    here = [PromptCache(LazyTextEncoder(twin, device="refuse"), default_folder())[text] for text in texts]

    monkeypatch.setenv("INFROPE_CACHE", str(tmp_path / "other machine"))
    shutil.copytree(folder, default_folder() / Path(folder).name)
    absent = find_text_encoder(None, "nowhere", None, None)
    assert isinstance(absent, AbsentTextEncoder)
    there = PromptCache(absent, default_folder())
    assert all(there[text].equal(embedding) for text, embedding in zip(texts, here, strict=True))


def test_the_command_goes_on_where_it_was_interrupted(
    twin: Path, actions: str, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = ActionSet.load(actions).prompts()
    PromptCache(LazyTextEncoder(twin), default_folder()).encode_all(texts[:3])
    times = {path: path.stat().st_mtime_ns for path in default_folder().glob("*/*")}
    assert cli.main(["weights", str(twin), "--encode", actions]) == 0
    assert "3 are encoded, 1 are not yet" in capsys.readouterr().out and kept() == 4
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["longlive", "--encode"], "--encode needs 'wan', or a folder with the text encoder, got 'longlive'."),
        (["wan", "--encode", "--verify"], "--encode is for prompts; --convert, --verify and"),
        (["wan", "--encode"], "Run 'infrope weights umt5-xxl --download'"),
    ],
)
def test_the_command_says_what_is_missing(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["weights", *arguments]) == 2
    assert sentence in capsys.readouterr().err
