"""Downloads with the real client from a hub on this machine."""

import errno
import io
from functools import partial
from pathlib import Path

import pytest
import torch
from huggingface_hub import get_hf_file_metadata

from infrope_env.errors import WeightsError
from infrope_env.models.resolve import CatalogEntry
from infrope_env.models.wan import fetch as fetching
from infrope_env.models.wan import pins
from infrope_env.models.wan.catalog import Checkpoint, find_checkpoint
from infrope_env.models.wan.generator import convert, load_generator, locate_generator
from infrope_env.models.wan.hub import commit_of, download, find, fixed_revision, known_sha256, missing
from infrope_env.models.wan.pins import Pin
from infrope_env.models.wan.store import find_converted
from tests.models.wan.local_hub import LocalHub, length_of, serving, sha256_of
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


def pin(row: Checkpoint, monkeypatch: pytest.MonkeyPatch, commit: str, **facts: Pin) -> None:
    """Pin a row's repository to a commit, and its files, by their names without suffix, to facts."""
    monkeypatch.setitem(pins.REVISIONS, row.repo, commit)
    for file in row.files:
        if Path(file).stem in facts:
            monkeypatch.setitem(pins.FILES, (row.repo, file), facts[Path(file).stem])


def fact_of(hub: LocalHub, file: str) -> Pin:
    return Pin(length_of(hub.files[file]), sha256_of(hub.files[file]))


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
        ("models/longlive_base.pt", OLD), ("models/lora.pt", OLD),
    }  # fmt: skip


def test_a_branch_that_moves_during_a_download_changes_nothing(row: Checkpoint, hub: LocalHub) -> None:
    files = missing(row)
    hub.commits |= {"main": NEW, "before": OLD}
    hub.requests.clear()
    paths = download(row, files=files)
    assert commit_of(paths[0]) == OLD and find(row) == paths
    assert {revision for _, revision, _, _ in hub.requests} == {OLD}


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


def test_a_pinned_revision_is_the_one_downloaded(
    row: Checkpoint, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.commits |= {"main": NEW, "before": OLD}
    pin(row, monkeypatch, OLD)
    assert commit_of(download(row)[0]) == OLD
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
    with pytest.raises(WeightsError, match=r"longlive: https://.* did not give its files: .*run the command again"):
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
        WeightsError,
        match=r"not here, and https://.* cannot be reached \(.*\)\. Connect and run 'infrope weights",
    ):
        download(row)


def test_a_download_loads_without_a_network(row: Checkpoint, hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    download(row)
    point_at("http://127.0.0.1:9", monkeypatch)
    assert load_generator(row).transformer.config == row.config


def part_of(hub_cache: Path) -> Path:
    (part,) = hub_cache.rglob("*.part")
    return part


def interrupt(row: Checkpoint, hub: LocalHub, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Press Ctrl-C when that many bytes of the first file have arrived."""
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 100_000)
    hub.breaks = [after]
    with monkeypatch.context() as patch:
        patch.setattr("time.sleep", press_ctrl_c)
        with pytest.raises(KeyboardInterrupt):
            download(row)


def press_ctrl_c(_: float) -> None:
    raise KeyboardInterrupt


def test_an_interrupted_download_is_continued_by_the_next_one(
    row: Checkpoint, hub: LocalHub, hub_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(row, hub, monkeypatch, after=1_000_000)
    assert part_of(hub_cache).stat().st_size == 1_000_000 and find(row) is None
    hub.requests.clear()
    path = download(row)[0]
    spans = [span for method, _, name, span in hub.requests if method == "GET" and name == row.file]
    assert spans == ["bytes=1000000-"]
    assert path.read_bytes() == hub.files[row.file] and not list(hub_cache.rglob("*.part"))


def test_a_part_that_was_damaged_meanwhile_is_noticed_and_downloaded_again(
    row: Checkpoint, hub: LocalHub, hub_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(row, hub, monkeypatch, after=1_000_000)
    part = part_of(hub_cache)
    part.write_bytes(b"x" * 1_000_000)
    hub.requests.clear()
    assert download(row)[0].read_bytes() == hub.files[row.file]
    spans = [span for method, _, name, span in hub.requests if method == "GET" and name == row.file]
    assert spans == ["bytes=1000000-", None]


def test_a_file_that_is_wrong_every_time_is_refused_in_one_sentence(
    row: Checkpoint, hub: LocalHub, hub_cache: Path
) -> None:
    hub.headers = {"ETag": '"' + "0" * 64 + '"'}
    with pytest.raises(WeightsError, match=r"expected sha256 0{16}\.\.\., got .*Downloaded 3 times\. Try again later"):
        download(row)
    assert find(row) is None and not list(hub_cache.rglob("*.part"))
    assert sum(name == row.file and method == "GET" for method, _, name, _ in hub.requests) == fetching.DOWNLOADS


@pytest.mark.parametrize("wrong", [Pin(1, None), Pin(None, "0" * 64)])
def test_a_server_with_another_file_than_the_known_one_is_refused_before_a_byte_arrives(
    row: Checkpoint, hub: LocalHub, monkeypatch: pytest.MonkeyPatch, wrong: Pin
) -> None:
    pin(row, monkeypatch, OLD, longlive_base=wrong)
    with pytest.raises(WeightsError, match=r"expected models/longlive_base\.pt of .* to have .*Nothing was downloaded"):
        download(row)
    assert {method for method, *_ in hub.requests} == {"HEAD"}


def test_known_facts_are_not_asked_of_another_revision(
    row: Checkpoint, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    pin(row, monkeypatch, OLD, longlive_base=Pin(1, "0" * 64))
    hub.commits["main"] = NEW
    assert commit_of(download(row, revision=NEW)[0]) == NEW
    assert fixed_revision(row) == NEW and commit_of(find(row)[0]) == NEW


def test_a_truncated_file_in_the_cache_counts_as_missing_and_is_replaced(
    row: Checkpoint, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    pin(row, monkeypatch, OLD, longlive_base=fact_of(hub, row.file))
    path = download(row)[0]
    path.resolve().write_bytes(hub.files[row.file][:1000])
    assert find(row) is None
    assert download(row)[0].read_bytes() == hub.files[row.file] and find(row) is not None


def test_a_file_of_another_revision_counts_by_its_digest_without_a_network(
    row: Checkpoint, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = download(row)
    facts = {Path(file).stem: fact_of(hub, file) for file in row.files}
    pin(row, monkeypatch, NEW, **facts)
    point_at("http://127.0.0.1:9", monkeypatch)
    assert find(row) == paths == download(row)
    pin(row, monkeypatch, NEW, **facts | {"lora": Pin(None, "0" * 64)})
    assert find(row) is None


def test_a_conversion_counts_whichever_program_downloaded_the_pinned_file(
    row: Checkpoint, hub: LocalHub, hub_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_into_hub_cache(hub_cache, row.repo, release(row.name).files)
    pin(row, monkeypatch, COMMIT)
    path = convert(row)
    assert locate_generator(CatalogEntry(row)).paths == (path,)


def test_bytes_that_are_here_are_not_counted_as_missing(
    row: Checkpoint, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, lora = missing(row)
    assert (base.bytes_left, lora.bytes_left) == tuple(length_of(hub.files[file]) for file in row.files)
    interrupt(row, hub, monkeypatch, after=1_000_000)
    assert missing(row)[0].bytes_left == length_of(hub.files[row.file]) - 1_000_000
    download(row)
    assert missing(row) == ()


def test_offline_mode_and_a_full_disk_are_one_sentence(
    row: Checkpoint, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        with pytest.raises(WeightsError, match=r"not here, and HF_HUB_OFFLINE forbids downloads\. Unset it and run"):
            download(row)

    def full_disk(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("huggingface_hub.file_download.http_get", full_disk)
    with pytest.raises(WeightsError, match=r"cannot be written: No space left on device\. HF_HOME names another"):
        download(row)


def test_a_download_through_a_proxy_asks_the_proxy_only(
    row: Checkpoint, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import close_session, constants

    monkeypatch.setenv("http_proxy", constants.ENDPOINT)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    point_at("http://hub.invalid", monkeypatch)
    close_session()
    try:
        assert download(row)[0].read_bytes() == hub.files[row.file]
    finally:
        close_session()


def test_a_server_that_is_slow_to_answer_is_asked_again(
    row: Checkpoint, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.delays = [1.0]
    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", partial(get_hf_file_metadata, timeout=0.3))
    assert [each.file for each in missing(row)] == list(row.files)
    assert [(method, name) for method, _, name, _ in hub.requests] == [("HEAD", row.files[0])] * 2 + [
        ("HEAD", row.files[1])
    ]
