"""What `infrope weights` says and does about generators."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from infrope_env import cli
from infrope_env.models.wan import catalog as table
from infrope_env.models.wan import generator_command as command
from infrope_env.models.wan.catalog import CHECKPOINTS
from infrope_env.models.wan.store import checkpoint_folder, read_record
from tests.models.wan.released_files import put_into_hub_cache, release, shrunk, small_weights, write

Said = pytest.CaptureFixture[str]


@pytest.fixture
def here(hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a generator that is downloaded, of our small size."""
    name = "longlive"
    rows = tuple(shrunk(row) if row.name == name else row for row in CHECKPOINTS)
    for module in (table, command):
        monkeypatch.setattr(module, "CHECKPOINTS", rows)
    put_into_hub_cache(hub_cache, table.find_checkpoint(name).repo, release(name).files)
    return name


def said(arguments: list[str], capsys: Said) -> str:
    assert cli.main(["weights", *arguments]) == 0
    return capsys.readouterr().out


def refused(arguments: list[str], capsys: Said) -> str:
    assert cli.main(["weights", *arguments]) == 2
    (sentence,) = capsys.readouterr().err.splitlines()
    return sentence


def test_without_a_name_the_bundled_world_and_every_generator_are_told(here: str, capsys: Said) -> None:
    text = said([], capsys)
    assert text.startswith("pocket") and "intact" in text
    rows = {line.split()[0]: line for line in text.splitlines() if line.startswith("  ") and "/" in line}
    assert {row.name for row in CHECKPOINTS} <= rows.keys()
    for row in CHECKPOINTS:
        assert row.repo in rows[row.name] and row.licence in rows[row.name]
        assert (" yes " in rows[row.name]) == (row.name == here) and (" no " in rows[row.name]) == (row.name != here)
    assert "computed, not measured" in text


def test_sizes_of_the_full_generators() -> None:
    lines = {line.split()[0]: line for line in command.list_generators().splitlines()}
    assert (
        " 5.7 " in lines["self-forcing-dmd"] and " 7.1 " in lines["longlive"] and " 28.6 " in lines["krea-realtime-14b"]
    )


@pytest.mark.parametrize("row", CHECKPOINTS, ids=lambda row: row.name)
def test_a_row_is_described_with_what_nobody_saw(row: table.Checkpoint, capsys: Said) -> None:
    text = said([row.name], capsys)
    for fact in (*row.files, row.repo, row.source, row.licence, "the file itself was not seen", "computed"):
        assert fact in text
    assert "none pinned, none was known; main is taken" in text
    assert ", ".join(map(str, row.sampler.steps)) in text


def test_a_pinned_revision_is_told() -> None:
    assert f"revision:    {'c' * 40}" in command.describe_checkpoint(replace(CHECKPOINTS[0], revision="c" * 40))


def test_download_says_what_comes_from_where(here: str, capsys: Said) -> None:
    lines = said([here, "--download"], capsys).splitlines()
    assert "from https://huggingface.co/Efficient-Large-Model/LongLive-1.3B into " in lines[0]
    assert lines[1] == "licence of the weights: unknown: see its page"
    assert lines[2] == "revision 0123456789abcdef0123456789abcdef01234567"
    assert [Path(line).is_file() for line in lines[3:]] == [True, True]
    assert read_record(here)["revision"] == lines[2].split()[1]


def test_convert_keeps_one_file_with_its_digest_and_verify_reads_it(here: str, capsys: Said) -> None:
    said([here, "--download"], capsys)
    text = said([here, "--convert"], capsys)
    path = checkpoint_folder(here) / "generator.safetensors"
    assert text.startswith(f"{path}  bfloat16") and read_record(here)["sha256"] in text
    assert "converted" in said([here], capsys)
    lines = said([here, "--verify"], capsys).splitlines()
    assert lines[0].startswith(str(path)) and lines[0].endswith("intact")
    assert lines[1].startswith("a causal Wan DiT of 3 layers, width 128: 96 tensors") and lines[1].endswith("all fit")


def test_verify_notices_one_altered_byte(here: str, capsys: Said) -> None:
    said([here, "--convert"], capsys)
    path = checkpoint_folder(here) / "generator.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert "altered, its sha256 is " in refused([here, "--verify"], capsys)


def test_a_damaged_record_is_as_none(here: str, capsys: Said) -> None:
    said([here, "--convert"], capsys)
    (checkpoint_folder(here) / "record.json").write_text("{")
    assert read_record(here) == {} and "yes" in said([here], capsys)
    (checkpoint_folder(here) / "record.json").write_text(json.dumps([1]))
    assert read_record(here) == {}


def test_a_file_of_ones_own_is_verified(tmp_path: Path, capsys: Said) -> None:
    path = write(tmp_path / "mine.safetensors", small_weights())
    lines = said([str(path)], capsys).splitlines()
    assert lines[0].endswith("nothing to compare it with") and "finite numbers, all fit" in lines[1]
    weights = small_weights()
    weights["head.head.bias"][0] = torch.nan
    write(path, weights)
    assert "'head.head.bias' holds numbers that are not finite" in refused([str(path), "--verify"], capsys)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["longlive", "--revision", "c" * 40], "--revision says what to --download; give both."),
        (["--verify"], "Say which generator: 'infrope weights' lists them."),
        (["pocket", "--download"], "No generator named 'pocket'; released ones are infinite-forcing"),
        (
            ["self-forcing-dmd", "--convert"],
            "'self-forcing-dmd' is not here. Run 'infrope weights self-forcing-dmd --down",
        ),
        ([__file__, "--download"], "is a file of yours: --download, --convert and --revision are for released names"),
        ([__file__], "neither a .pt nor a .safetensors file"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(arguments: list[str], says: str, capsys: Said) -> None:
    assert says in refused(arguments, capsys)
