"""`infrope weights`, as a command."""

import json
from pathlib import Path

import pytest
import torch

from infrope_env import cli
from infrope_env.models.wan import catalog as table
from infrope_env.models.wan import command, parts, pins
from infrope_env.models.wan.catalog import CHECKPOINTS, find_checkpoint
from infrope_env.models.wan.store import checkpoint_folder, read_record, write_json
from infrope_env.tensor_files import sha256_of
from tests.models.wan.released_files import (
    place_download,
    put_into_hub_cache,
    release,
    shrunk,
    small_weights,
    touch,
    write,
)

Output = pytest.CaptureFixture[str]


@pytest.fixture
def here(hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a downloaded generator of the small size."""
    name = "longlive"
    rows = tuple(shrunk(row) if row.name == name else row for row in CHECKPOINTS)
    for module in (table, command):
        monkeypatch.setattr(module, "CHECKPOINTS", rows)
    put_into_hub_cache(hub_cache, table.find_checkpoint(name).repo, release(name).files)
    return name


def output(arguments: list[str], capsys: Output) -> str:
    assert cli.main(["weights", *arguments]) == 0
    return capsys.readouterr().out


def refused(arguments: list[str], capsys: Output) -> str:
    assert cli.main(["weights", *arguments]) == 2
    (sentence,) = capsys.readouterr().err.splitlines()
    return sentence


def test_without_a_name_the_bundled_world_and_every_generator_are_listed(here: str, capsys: Output) -> None:
    text = output([], capsys)
    assert text.startswith("pocket") and "intact" in text
    rows = {line.split()[0]: line for line in text.splitlines() if line.startswith("  ") and "/" in line}
    assert {row.name for row in CHECKPOINTS} <= rows.keys()
    for row in CHECKPOINTS:
        assert row.repo in rows[row.name] and row.licence in rows[row.name]
        assert (" yes " in rows[row.name]) == (row.name == here) and (" no " in rows[row.name]) == (row.name != here)
    assert "* computed: disk from one copy of the tensors" in text


def test_sizes_of_the_full_generators() -> None:
    lines = {line.split()[0]: line for line in command.list_generators()}
    assert (
        " 5.7* " in lines["self-forcing-dmd"]
        and " 8.5* " in lines["longlive"]
        and " 28.6* " in lines["krea-realtime-14b"]
    )


@pytest.mark.parametrize("row", CHECKPOINTS, ids=lambda row: row.name)
def test_a_description_marks_what_is_computed_or_was_not_seen(row: table.Checkpoint, capsys: Output) -> None:
    text = output([row.name], capsys)
    for fact in (*row.files, row.repo, row.source, row.licence, "the file itself was not seen", "computed"):
        assert fact in text
    assert "main is taken, the first one downloaded is kept" in text  # nothing is pinned in these tests
    assert row.sampler.describe() in text


def test_a_size_is_known_from_a_pin_and_measured_where_the_files_are(
    here: str, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "0.01 GB (measured: the files are here)" in output([here], capsys)
    row = find_checkpoint("self-forcing-dmd")
    assert "(computed from one copy of the tensors)" in output([row.name], capsys)
    monkeypatch.setitem(pins.FILES, (row.repo, row.file), pins.Pin(1_234_000_000, None))
    assert "1.23 GB (the known length of the files)" in output([row.name], capsys)
    rows = {line.split()[0]: line.split() for line in output([], capsys).splitlines() if "/" in line}
    assert rows[row.name][2] == "1.2" and rows["rolling-forcing"][2].endswith("*")


def test_a_pinned_revision_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(pins.REVISIONS, CHECKPOINTS[0].repo, "c" * 40)
    assert f"  revision:    {'c' * 40}" in list(command.describe_generator(CHECKPOINTS[0]))


def test_download_announces_size_source_and_licence(here: str, capsys: Output) -> None:
    lines = output([here, "--download"], capsys).splitlines()
    assert lines[0].startswith(
        "longlive, all here, from https://huggingface.co/Efficient-Large-Model/LongLive-1.3B into "
    )
    assert lines[1] == "licence of the weights: CC-BY-NC-SA-4.0 (card), Apache-2.0 (readme)"
    assert lines[2] == "revision 0123456789abcdef0123456789abcdef01234567"
    assert [Path(line).is_file() for line in lines[3:]] == [True, True]
    assert read_record(here)["revision"] == lines[2].split()[1]


def test_convert_keeps_one_file_with_its_digest_and_verify_reads_it(here: str, capsys: Output) -> None:
    output([here, "--download"], capsys)
    text = output([here, "--convert"], capsys)
    path = checkpoint_folder(here) / "generator.safetensors"
    assert text.startswith(f"{path}  bfloat16") and read_record(here)["sha256"] in text
    assert "converted" in output([here], capsys)
    lines = output([here, "--verify"], capsys).splitlines()
    assert lines[0].startswith(str(path)) and lines[0].endswith("intact")
    assert lines[1].startswith("a causal Wan DiT of 3 layers, width 128: 96 tensors") and lines[1].endswith("all fit")


def test_verify_notices_one_altered_byte(here: str, capsys: Output) -> None:
    output([here, "--convert"], capsys)
    path = checkpoint_folder(here) / "generator.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert "altered, its sha256 is " in refused([here, "--verify"], capsys)


def test_a_damaged_record_counts_as_none(here: str, capsys: Output) -> None:
    output([here, "--convert"], capsys)
    (checkpoint_folder(here) / "record.json").write_text("{")
    assert read_record(here) == {} and "yes" in output([here], capsys)
    (checkpoint_folder(here) / "record.json").write_text(json.dumps([1]))
    assert read_record(here) == {}


def test_a_local_file_is_verified(tmp_path: Path, capsys: Output) -> None:
    path = write(tmp_path / "mine.safetensors", small_weights())
    lines = output([str(path)], capsys).splitlines()
    assert lines[0].endswith("nothing to compare it with") and "finite numbers, all fit" in lines[1]
    weights = small_weights()
    weights["head.head.bias"][0] = torch.nan
    write(path, weights)
    assert "'head.head.bias' holds numbers that are not finite" in refused([str(path), "--verify"], capsys)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["longlive", "--revision", "c" * 40], "--revision needs --download: it is the commit to download."),
        (["--verify"], "Name a generator: 'infrope weights' lists them."),
        (
            ["pocket", "--download"],
            "pocket is a world folder: --download, --convert and --verify are for infinite-",
        ),
        (
            ["self-forcing-dmd", "--convert"],
            "'self-forcing-dmd' is not here. Run 'infrope weights self-forcing-dmd --down",
        ),
        ([__file__, "--download"], "is local: --download, --convert and --revision are for released names"),
        ([__file__], "neither a .pt nor a .safetensors file"),
    ],
)
def test_a_request_that_cannot_be_met_is_one_sentence(arguments: list[str], sentence: str, capsys: Output) -> None:
    assert sentence in refused(arguments, capsys)


def test_wan_as_a_whole_is_described_and_downloaded(hub_cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output):
    assert cli.main(["weights", "wan"]) == 0
    text = capsys.readouterr().out
    assert text.count(" no ") >= 4 and "| taew2_1 | no | 8." in text and "(computed)" in text
    for each in (find_checkpoint("infinite-forcing"), *parts.PARTS):
        place_download(hub_cache, each.repo, *each.files)
    touch(parts.parts_folder(), "taew2_1.pth")
    assert cli.main(["weights", "wan", "--download"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.endswith(("ema_model.pt", "enc-bf16.pth", "VAE.pth", "taew2_1.pth"))]
    assert sum("licence of the weights" in line for line in lines) == 3


def test_parts_are_verified_by_the_digests_of_their_downloads(hub_cache: Path, capsys: Output) -> None:
    assert "'taew2_1' is not here" in refused(["taew2_1", "--verify"], capsys)
    path = touch(parts.parts_folder(), "taew2_1.pth") / "taew2_1.pth"
    assert output(["taew2_1", "--verify"], capsys).strip().endswith("nothing to compare it with")
    write_json(path.parent / "taew2_1.json", {"sha256": sha256_of(path)})
    place_download(hub_cache, parts.VAE.repo, *parts.VAE.files)
    assert [line.split("  ")[-1] for line in output(["wan", "--verify"], capsys).splitlines()] == [
        "nothing to compare it with", "intact",
    ]  # fmt: skip
    path.write_text("other")
    assert "altered, its sha256 is" in refused(["taew2_1", "--verify"], capsys)


def test_options_for_generators_are_refused_for_parts(capsys: Output) -> None:
    assert cli.main(["weights", "umt5-xxl", "--convert"]) == 2
    assert "are for generators such as 'infinite-forcing'" in capsys.readouterr().err
