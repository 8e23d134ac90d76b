"""Released files that are given by their path, and files of unknown origin."""

import hashlib
import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from infrope_env.config import Sampler, Window
from infrope_env.errors import WeightsError
from infrope_env.models.resolve import CatalogEntry, LocalFile, resolve
from infrope_env.models.wan import digests, pins
from infrope_env.models.wan.catalog import CHECKPOINTS, Checkpoint, find_checkpoint
from infrope_env.models.wan.generator import load_generator, locate_generator
from infrope_env.models.wan.locate import WanFiles
from infrope_env.models.wan.pins import Pin
from infrope_env.models.wan.recognition import generator_in, recognise
from tests.models.wan.released_files import (
    ALPHA,
    RANK,
    place_download,
    prefixed,
    release,
    small_lora,
    small_weights,
    touch,
    write,
)

ROWS = pytest.mark.parametrize("row", CHECKPOINTS, ids=lambda row: row.name)


def row_name(path: Path) -> str | None:
    found = recognise(path)
    return None if found.row is None else found.row.name


@ROWS
def test_a_file_that_lies_as_in_its_repository_is_its_row(row, tmp_path: Path) -> None:
    folder = touch(tmp_path / row.repo.split("/")[1], *row.files)
    found = recognise(folder / row.file)
    assert found.row == row and found.lora == (folder / row.lora.file if row.lora else None)
    assert row.name in found.note and f"window {row.window.size}" in found.note and not found.doubt


@ROWS
def test_a_download_of_the_hub_s_client_is_its_row(row, hub_cache: Path) -> None:
    folder = place_download(hub_cache, row.repo, *row.files)
    found = recognise(folder / row.file)
    assert found.row == row and (found.lora is not None) == (row.lora is not None)


@ROWS
def test_every_released_generator_is_known_in_its_folder(row, tmp_path: Path) -> None:
    found = generator_in(touch(tmp_path, *row.files))
    assert found.row == row and found.path == tmp_path / row.file


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("longlive/models/longlive_base.pt", "longlive"),
        ("weights/self_forcing_dmd.pt", "self-forcing-dmd"),
        ("chunkwise/causal_forcing.pt", "causal-forcing"),
        ("framewise/causal_forcing.pt", "causal-forcing-framewise"),
        ("framewise-1step.pt", "causal-forcing-pp-1step"),
        ("autoregressive_checkpoint/model.pt", "causvid"),
        ("rewardforcing.pt", "reward-forcing"),
        ("causal_forcing.pt", None),
        ("model.pt", None),
        ("base.pt", None),
        ("my_longlive_base.pt", None),
    ],
)
def test_a_file_is_known_by_its_folder_or_by_a_name_of_its_own(tmp_path: Path, file: str, name: str | None) -> None:
    assert row_name(touch(tmp_path, file) / file) == name


def test_a_common_name_beside_its_lora_is_memflow_and_in_its_repository_alone_its_base(tmp_path: Path) -> None:
    assert row_name(touch(tmp_path / "checkpoints", "base.pt", "lora.pt") / "base.pt") == "memflow"
    assert row_name(touch(tmp_path / "MemFlow", "base.pt") / "base.pt") == "memflow-base"


def test_a_flat_folder_takes_the_lora_that_lies_beside_the_file(tmp_path: Path) -> None:
    folder = touch(tmp_path, "longlive_base.pt", "lora.pt")
    found = recognise(folder / "longlive_base.pt")
    assert found.row.name == "longlive" and found.lora == folder / "lora.pt"
    assert generator_in(folder).lora == folder / "lora.pt"


def test_a_name_that_two_generators_share_is_not_taken_without_its_folder(tmp_path: Path) -> None:
    assert generator_in(touch(tmp_path, "causal_forcing.pt")) is None
    doubt = recognise(tmp_path / "causal_forcing.pt").doubt
    assert "is called as a file of causal-forcing and causal-forcing-framewise" in doubt
    assert f"weights='causal-forcing@{tmp_path / 'causal_forcing.pt'}'" in doubt


def test_a_missing_lora_is_said(tmp_path: Path) -> None:
    found = recognise(touch(tmp_path, "models/longlive_base.pt") / "models" / "longlive_base.pt")
    assert found.row.name == "longlive" and found.lora is None
    assert found.doubt.endswith("plays without its LoRA: models/lora.pt is not there.")


def test_a_renamed_file_is_known_by_its_sha256_and_read_only_if_its_length_is_a_released_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = find_checkpoint("causal-forcing-framewise")
    path = touch(tmp_path, "renamed.pt") / "renamed.pt"
    content = path.read_bytes()
    reads: list[Path] = []
    monkeypatch.setattr(digests, "sha256_of", lambda path: reads.append(path) or hashlib.sha256(content).hexdigest())
    assert recognise(path).row is None and not reads
    monkeypatch.setattr(pins, "FILES", {(row.repo, row.file): Pin(len(content), hashlib.sha256(content).hexdigest())})
    assert recognise(path).row == row and recognise(path).row == row and reads == [path]
    monkeypatch.setattr(pins, "FILES", {(row.repo, row.file): Pin(len(content), "0" * 64)})
    assert recognise(path).row is None


def test_a_blob_of_the_hub_s_client_is_known_by_its_name_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = find_checkpoint("causal-forcing-pp-2step")
    monkeypatch.setattr(pins, "FILES", {(row.repo, row.file): Pin(None, "d" * 64)})
    assert recognise(touch(tmp_path, "blobs/" + "d" * 64) / "blobs" / ("d" * 64)).row == row


# play


def test_longlive_given_by_its_path_plays_with_its_lora_and_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    files = release("longlive").files
    files["models/lora.pt"]["generator_lora"] = {
        name: value * (ALPHA / RANK if "lora_B" in name else 1) for name, value in small_lora().items()
    }  # the row's alpha is the rank of its released LoRA
    for name, entries in files.items():
        write(tmp_path / "longlive" / name, entries)
    monkeypatch.setattr("infrope_env.models.wan.recognition.CHECKPOINTS", (_small_alpha(find_checkpoint("longlive")),))
    generator = load_generator(tmp_path / "longlive/models/longlive_base.pt", dtype=torch.float32)
    assert (generator.window, generator.sampler) == (Window.from_size(12, sink=3), Sampler())
    state, expected = generator.transformer.state_dict(), release("longlive").expected
    assert all(torch.allclose(state[name], value, rtol=0, atol=1e-5) for name, value in expected.items())
    assert "is 'longlive' (by its place): window 12, steps 1000, 750, 500, 250, shift 5, with its LoRA" in caplog.text


def _small_alpha(row: Checkpoint) -> Checkpoint:
    return replace(row, lora=replace(row.lora, rank=RANK, alpha=RANK))


def test_a_framewise_file_given_by_its_path_plays_one_frame_a_block(tmp_path: Path) -> None:
    entries = release("causal-forcing-framewise").files["framewise/causal_forcing.pt"]
    generator = load_generator(write(tmp_path / "framewise" / "causal_forcing.pt", entries), dtype=torch.float32)
    assert (generator.window.block, generator.window.size) == (1, 21)
    assert generator.transformer.state_dict()["head.head.bias"].equal(small_weights(1)["head.head.bias"])


def test_a_file_of_unknown_origin_plays_with_defaults_and_the_user_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / "mine.safetensors", prefixed(small_weights()))
    assert load_generator(path).window == Window()
    (message,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    sentence = message.getMessage()
    assert sentence.startswith(f"{path} is no known file: it plays with the default window and steps.")
    assert f"weights='NAME@{path}'" in sentence and "infrope.json" in sentence


def test_settings_beside_a_file_answer_the_doubt(tmp_path: Path) -> None:
    folder = touch(tmp_path, "mine.pt")
    assert WanFiles.find(resolve(folder / "mine.pt")).generator.doubt
    (folder / "infrope.json").write_text('{"window": {"size": 9}, "sampler": {"steps": [1000, 500]}}')
    assert not WanFiles.find(resolve(folder / "mine.pt")).generator.doubt


def test_the_user_can_say_which_released_generator_a_file_is(tmp_path: Path) -> None:
    path = touch(tmp_path, "a@b.pt") / "a@b.pt"
    found = resolve(f"causvid@{path}")
    assert found == LocalFile(path, find_checkpoint("causvid"))
    assert locate_generator(found).row.name == "causvid" and WanFiles.find(found).name == "causvid"
    assert resolve(path) == LocalFile(path) and resolve("causvid") == CatalogEntry(find_checkpoint("causvid"))
    with pytest.raises(WeightsError, match=r"There is no file 'nowhere\.pt' to play as 'causvid'"):
        resolve("causvid@nowhere.pt")
    with pytest.raises(WeightsError, match="No weights named 'nobody@"):
        resolve(f"nobody@{path}")
