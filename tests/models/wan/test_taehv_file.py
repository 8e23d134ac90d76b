"""The fast decoder's download, from a server on this machine."""

import errno
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from infrope_env.errors import WeightsError
from infrope_env.models.wan import taehv_file
from infrope_env.models.wan.store import read_json
from infrope_env.models.wan.taehv_file import check_taehv, describe_remote, download_taehv, recorded_sha256, taehv_path
from infrope_env.pixels.taehv import TAEHV, TAEHVConfig
from tests.models.wan.local_hub import LocalHub, serving, sha256_of

NAME = "taehv/raw/main/taew2_1.pth"


def saved(config: TAEHVConfig, seed: int = 0) -> bytes:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        state = {name: tensor.half() for name, tensor in TAEHV(config).state_dict().items()}
    torch.save(state, buffer := io.BytesIO())
    return buffer.getvalue()


@pytest.fixture(scope="module")
def released() -> bytes:
    return saved(TAEHVConfig())


@pytest.fixture
def github(released: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    """The running server of the decoder's project; pieces of a file arrive one by one."""
    hub = LocalHub("", {}, {}, plain={NAME: released})
    with serving(hub) as address:
        monkeypatch.setattr(taehv_file, "TAEHV_URL", f"{address}/{NAME}")
        monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1_000_000)
        yield hub


def download() -> list[str]:
    return download_taehv(describe_remote())


def spans(github: LocalHub) -> list[str | None]:
    return [span for method, _, _, span in github.requests if method == "GET"]


def interrupt(github: LocalHub, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Press Ctrl-C when that many bytes have arrived."""

    def press_ctrl_c(_: float) -> None:
        raise KeyboardInterrupt

    github.breaks = [after]
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("time.sleep", press_ctrl_c)
        download()
    github.requests.clear()


def test_the_decoder_is_downloaded_once_and_recorded(github: LocalHub, released: bytes) -> None:
    assert download() == [] and taehv_path().read_bytes() == released
    record = read_json(taehv_path().parent / "taew2_1.json")
    assert record["bytes"] == len(released) and record["url"] == taehv_file.TAEHV_URL
    assert record["sha256"] == sha256_of(released) == recorded_sha256(taehv_path())
    requests = len(github.requests)
    remote = describe_remote()
    assert download_taehv(remote) == [] and len(github.requests) == requests + 1


def test_a_dropped_connection_is_resumed(github: LocalHub, released: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    github.breaks = [5_000_000]
    download()
    assert taehv_path().read_bytes() == released and spans(github) == [None, "bytes=5000000-"]


def test_an_interrupted_download_is_continued(
    github: LocalHub, released: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(github, monkeypatch, after=7_000_000)
    assert not taehv_path().exists()
    download()
    assert taehv_path().read_bytes() == released and spans(github) == ["bytes=7000000-"]


def test_a_file_that_changed_on_the_server_is_not_spliced(
    github: LocalHub, released: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = describe_remote()
    interrupt(github, monkeypatch, after=7_000_000)
    github.plain[NAME] = retrained = saved(TAEHVConfig(), seed=1)
    assert len(retrained) == len(released)
    download_taehv(remote)  # the part of the earlier version is asked to be continued, and the server sends the new one
    assert spans(github) == ["bytes=7000000-"] and taehv_path().read_bytes() == retrained
    taehv_path().unlink()
    interrupt(github, monkeypatch, after=7_000_000)
    github.plain[NAME] = released
    assert "was changed by its project" in download()[0]
    assert spans(github) == [None] and taehv_path().read_bytes() == released
    assert not list(taehv_path().parent.glob("*.part"))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"<html>the page of a proxy</html>", r"neither a \.pt nor a \.safetensors file"),
        (saved(TAEHVConfig(decoder_widths=(8, 8, 8, 8), encoder_width=8)), r"does not fit TAEHV: of 128 tensors"),
    ],
    ids=["a page", "another network"],
)
def test_what_does_not_hold_the_tensors_of_the_decoder_never_counts_as_it(
    github: LocalHub, content: bytes, sentence: str
) -> None:
    github.plain[NAME] = content
    with pytest.raises(WeightsError, match=rf"{sentence}.*Downloaded 3 times"):
        download()
    assert not taehv_path().exists() and not list(taehv_path().parent.glob("*.part"))


def test_the_check_compares_names_and_shapes(tmp_path: Path, released: bytes) -> None:
    (tmp_path / "right.pth.part").write_bytes(released)
    check_taehv(tmp_path / "right.pth.part")
    state = torch.load(io.BytesIO(released), weights_only=True)
    del state["decoder.1.bias"]
    torch.save(state, tmp_path / "short.pth")
    with pytest.raises(WeightsError, match=r"1 missing \('decoder\.1\.bias'\)"):
        check_taehv(tmp_path / "short.pth")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"plain": {}}, r"cannot be downloaded from .*404.*by other means into .*decoder= its path"),
        ({"headers": {"Content-Length": None}}, r"the server gives no length or no version"),
        ({"headers": {"ETag": None}}, r"the server gives no length or no version"),
    ],
)
def test_a_refusal_is_one_sentence_with_other_ways(github: LocalHub, change: dict, sentence: str) -> None:
    for name, value in change.items():
        setattr(github, name, value)
    with pytest.raises(WeightsError, match=sentence):
        download()
    assert not taehv_path().exists()


def test_no_network_offline_mode_and_a_full_disk_are_one_sentence(
    github: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = describe_remote()
    with monkeypatch.context() as patch:
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        patch.setattr("huggingface_hub.utils._http._GLOBAL_CLIENT", None, raising=False)
        with pytest.raises(WeightsError, match=r"not here, and HF_HUB_OFFLINE forbids downloads\. Unset it, or put"):
            describe_remote()
    monkeypatch.setattr(taehv_file, "TAEHV_URL", "http://127.0.0.1:1/taew2_1.pth")
    with pytest.raises(WeightsError, match=r"cannot be downloaded from http://127\.0\.0\.1:1/.*: .*by other means"):
        describe_remote()

    def full_disk(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("huggingface_hub.file_download.http_get", full_disk)
    with pytest.raises(WeightsError, match=r"cannot be written: No space left on device\. INFROPE_CACHE names another"):
        download_taehv(remote)
