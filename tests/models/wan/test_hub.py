"""Downloads with the real client from a hub on this machine."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from infrope_env.errors import WeightsError
from infrope_env.models.resolve import CatalogEntry
from infrope_env.models.wan.catalog import Checkpoint, find_checkpoint
from infrope_env.models.wan.generator import convert, load_generator, locate_generator
from infrope_env.models.wan.hub import commit_of, download, find, known_sha256
from infrope_env.models.wan.store import find_converted
from tests.models.wan.local_hub import LocalHub, serving
from tests.models.wan.released_files import COMMIT, put_into_hub_cache, release, shrunk

OLD, NEW = "a" * 40, "b" * 40


@pytest.fixture
def row() -> Checkpoint:
    return shrunk(find_checkpoint("longlive"))


@pytest.fixture
def hub(row: Checkpoint, monkeypatch: pytest.MonkeyPatch):
    """A running hub with the repository; the client is pointed at it."""
    files = {}
    for name, entries in release("longlive").files.items():
        torch.save(entries, buffer := io.BytesIO())
        files[name] = buffer.getvalue()
    hub = LocalHub(row.repo, files, {"main": OLD})
    with serving(hub) as address:
        point_at(address, monkeypatch)
        yield hub


def point_at(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants, file_download

    monkeypatch.setattr(constants, "ENDPOINT", address)
    for module in (constants, file_download):  # the client before 1.0 imports the template by name
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", template, raising=module is constants)


def test_a_repository_is_downloaded_and_plays(row: Checkpoint, hub: LocalHub) -> None:
    assert find(row) is None
    paths = download(row)
    assert commit_of(paths[0]) == OLD and [path.name for path in paths] == ["longlive_base.pt", "lora.pt"]
    state = load_generator(row, dtype=torch.float32).transformer.state_dict()
    assert all(torch.allclose(state[name], value, atol=1e-6) for name, value in release("longlive").expected.items())


def test_all_files_come_from_one_commit(row: Checkpoint, hub: LocalHub) -> None:
    download(row)
    assert {(name, revision) for method, revision, name, _ in hub.requests if method == "GET"} == {
        ("models/longlive_base.pt", "main"), ("models/lora.pt", OLD),
    }  # fmt: skip


def test_files_that_are_here_are_not_requested_again(row: Checkpoint, hub: LocalHub) -> None:
    first = download(row)
    requests = len(hub.requests)
    assert download(row) == first == find(row)
    assert len(hub.requests) == requests


def test_a_download_of_another_program_is_found(row: Checkpoint, hub: LocalHub, hub_cache: Path) -> None:
    put_into_hub_cache(hub_cache, row.repo, release(row.name).files)
    assert commit_of(download(row)[0]) == COMMIT
    assert hub.requests == []


def test_the_first_revision_stays_until_another_is_given(row: Checkpoint, hub: LocalHub) -> None:
    download(row)
    hub.commits |= {"main": NEW, "before": OLD}
    assert commit_of(download(row)[0]) == OLD
    assert commit_of(download(row, revision=NEW)[0]) == NEW
    assert commit_of(download(row)[0]) == NEW


def test_a_pinned_revision_is_the_one_downloaded(row: Checkpoint, hub: LocalHub) -> None:
    hub.commits |= {"main": NEW, "before": OLD}
    assert commit_of(download(replace(row, revision=OLD))[0]) == OLD
    assert {revision for _, revision, _, _ in hub.requests} == {OLD}


def test_a_conversion_of_another_revision_than_the_pinned_one_does_not_count(row: Checkpoint, hub: LocalHub) -> None:
    download(row)
    path = convert(row)
    assert find_converted(row.name, OLD) == path
    assert find_converted(row.name, NEW) is None


def test_another_revision_makes_a_conversion_stale(row: Checkpoint, hub: LocalHub) -> None:
    download(row)
    path = convert(row)
    assert find_converted(row.name) == path
    hub.commits |= {"main": NEW, "before": OLD}
    download(row, revision=NEW)
    assert find_converted(row.name) is None
    assert locate_generator(CatalogEntry(row)).paths[0].name == "longlive_base.pt"


def test_a_broken_connection_is_resumed(row: Checkpoint, hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 100_000)
    hub.breaks = [1_000_000]
    path = download(row)[0]
    assert path.read_bytes() == hub.files[row.file]
    assert "bytes=1000000-" in {byte_range for _, _, _, byte_range in hub.requests}


def test_a_connection_that_keeps_breaking_ends_in_one_sentence(
    row: Checkpoint, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    hub.breaks = [0] * 100
    with pytest.raises(WeightsError, match=r"longlive: https://.* did not give its files: .*Run the command again"):
        download(row)
    assert find(row) is None


def test_the_hub_s_digest_is_known_without_reading_the_file(row: Checkpoint, hub: LocalHub) -> None:
    import hashlib

    path = download(row)[0]
    assert known_sha256(path) == hashlib.sha256(hub.files[row.file]).hexdigest()
    assert known_sha256(Path(__file__)) is None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"commits": {"newest": OLD}}, r"has no such revision\. Leave --revision out"),
        ({"files": {}}, r"does not hold all of models/longlive_base\.pt, models/lora\.pt \(any more\)"),
        ({"repo": "nobody/nothing"}, r"there is no https://huggingface\.co/Efficient.*, or it is private"),
        ({"status": 403, "error": "GatedRepo"}, r"ask you to accept their terms at https://.*'hf auth login'"),
    ],
)
def test_a_refusal_has_a_reason_and_a_remedy(row: Checkpoint, hub: LocalHub, change: dict, sentence: str) -> None:
    for name, value in change.items():
        setattr(hub, name, value)
    with pytest.raises(WeightsError, match=rf"longlive: .*{sentence}"):
        download(row)


def test_without_a_network_the_error_is_one_sentence(row: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(LocalHub(row.repo, {}, {})) as address:
        pass  # the address is closed now
    point_at(address, monkeypatch)
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(
        WeightsError, match=r"not here, and https://.* cannot be reached\. Connect and run 'infrope weights longl"
    ):
        download(row)


def test_a_download_loads_without_a_network(row: Checkpoint, hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    download(row)
    point_at("http://127.0.0.1:9", monkeypatch)
    assert load_generator(row).transformer.config == row.config
