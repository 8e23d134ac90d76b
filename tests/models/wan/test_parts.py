"""The parts of Wan: found in folders and caches, downloaded, told apart, hashed once."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from infrope_env import cli
from infrope_env.config import Sampler, Window
from infrope_env.errors import WeightsError
from infrope_env.models.wan import command, digests, parts
from infrope_env.models.wan.catalog import CHECKPOINTS, find_checkpoint
from infrope_env.models.wan.digests import digest_of
from infrope_env.models.wan.locate import WanFiles, generator_in, is_wan
from infrope_env.models.wan.parts import TAEHV_FILE, TEXT, download_taehv, parts_folder
from infrope_env.models.wan.settings import Settings
from tests.models.wan.released_files import COMMIT

Said = pytest.CaptureFixture[str]


def touch(folder: Path, *names: str) -> Path:
    """Files that hold nothing but their names: finding opens none."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def downloaded(cache: Path, repo: str, *names: str) -> Path:
    """As the hub's client leaves a download of `main`."""
    place = cache / f"models--{repo.replace('/', '--')}"
    touch(place / "refs", "main")
    (place / "refs" / "main").write_text(COMMIT)
    return touch(place / "snapshots" / COMMIT, *names)


# finding


@pytest.mark.parametrize("row", CHECKPOINTS, ids=lambda row: row.name)
def test_every_released_generator_is_known_by_its_file(row, tmp_path: Path) -> None:
    found, source = generator_in(touch(tmp_path, *row.files))
    assert found == row and source.files == tuple(tmp_path / file for file in row.files)


def test_a_name_that_two_generators_share_says_nothing_without_its_folder(tmp_path: Path) -> None:
    assert generator_in(touch(tmp_path, "causal_forcing.pt")) is None
    found, _ = generator_in(touch(tmp_path, "self_forcing_dmd.pt"))
    assert found.name == "self-forcing-dmd"


def test_what_a_folder_lacks_is_found_in_the_caches(hub_cache: Path, tmp_path: Path) -> None:
    folder = touch(tmp_path / "mine", "generator.pt")
    text = downloaded(hub_cache, TEXT.repo, *TEXT.files)
    vae = "vae/diffusion_pytorch_model.safetensors"
    other = downloaded(hub_cache, f"{TEXT.repo}-Diffusers", "vae/config.json", vae)
    touch(parts_folder(), TAEHV_FILE)
    files = WanFiles.find(folder)
    assert (files.name, files.row, files.text) == ("mine", None, text)
    assert (files.taehv, files.vae) == (parts_folder() / TAEHV_FILE, other / vae)
    assert WanFiles.find(touch(folder, TAEHV_FILE)).taehv == folder / TAEHV_FILE  # what lies beside it comes first


def test_a_released_name_takes_its_download(hub_cache: Path) -> None:
    row = find_checkpoint("infinite-forcing")
    folder = downloaded(hub_cache, row.repo, row.file)
    for name in ("wan", row.name):
        files = WanFiles.find(name)
        assert (files.name, files.row) == (row.name, row) and files.generator.files == (folder / row.file,)


def test_a_world_folder_is_not_wan(tmp_path: Path, tiny_weights: Path) -> None:
    assert not is_wan(None) and not is_wan("pocket") and not is_wan(str(tiny_weights)) and not is_wan(str(tmp_path))
    assert is_wan("wan") and is_wan("longlive") and is_wan(str(touch(tmp_path, "generator.pt")))


# settings


def test_a_folder_may_say_how_it_is_played(tmp_path: Path) -> None:
    (tmp_path / "infrope.json").write_text(
        '{"frame_size": [320, 576], "window": {"size": 9}, "sampler": {"steps": [1000, 500], "shift": 3.0}}'
    )
    settings = Settings.read(tmp_path / "infrope.json")
    assert settings == Settings((40, 72), Window.from_size(9), Sampler((1000, 500), 3.0))
    assert Settings.read(tmp_path / "none.json") == Settings((60, 104), None, None)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"frame_size": [480, 830]}', "multiples of 16, got"),
        ('{"frame_size": 480}', "height and width"),
        ('{"fps": 16}', "expected a table of frame_size, window, sampler"),
        ('{"window": {"size": 2}}', "expected a window of at least 5 frames"),
        ("{", "infrope.json: Expecting"),
    ],
)
def test_settings_that_cannot_be_are_told(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "infrope.json").write_text(text)
    with pytest.raises(WeightsError, match=sentence):
        Settings.read(tmp_path / "infrope.json")


# digests


def test_a_file_is_read_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said) -> None:
    monkeypatch.setattr(digests, "BIG", 1)
    path, reads = touch(tmp_path, "a.pt") / "a.pt", []
    monkeypatch.setattr(digests, "sha256_of", lambda path: reads.append(path) or f"{len(reads):064x}")
    assert digest_of(path) == digest_of(path) == f"{1:064x}"
    assert capsys.readouterr().err.count("for its sha256, once") == 1
    path.write_text("another")
    assert digest_of(path) == f"{2:064x}" and len(reads) == 2


def test_a_digest_that_cannot_be_remembered_is_still_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFROPE_CACHE", str(touch(tmp_path, "file") / "file"))  # no folder can be made there
    assert len(digest_of(tmp_path / "file")) == 64


# downloading


@pytest.fixture
def github(tmp_path: Path) -> Iterator[str]:
    """A server of files on this machine; the address of taew2_1.pth."""
    site = touch(tmp_path / "site", TAEHV_FILE)
    handler = partial(SimpleHTTPRequestHandler, directory=str(site))
    handler.log_message = lambda *_: None  # type: ignore[attr-defined]
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/{TAEHV_FILE}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_taew2_1_is_got_from_its_project_once(github: str) -> None:
    path = parts_folder() / TAEHV_FILE
    assert list(download_taehv(github))[-1] == str(path) and path.read_text() == TAEHV_FILE
    assert list(download_taehv("http://nowhere.invalid")) == [str(path)]


@pytest.mark.parametrize("wrong", ["x", "http://127.0.0.1:1/taew2_1.pth"])
def test_what_cannot_be_reached_leaves_nothing_and_says_what_to_do(github: str, wrong: str) -> None:
    with pytest.raises(WeightsError, match=r"cannot be got from .*Download it by other means into .*decoder="):
        list(download_taehv(github + wrong if wrong == "x" else wrong))
    assert not list(parts_folder().glob("*"))


def test_wan_as_a_whole_is_described_and_downloaded(hub_cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said):
    assert cli.main(["weights", "wan"]) == 0
    text = capsys.readouterr().out
    assert text.count(" no ") >= 4 and "| taew2_1 | no | 8." in text and "(computed)" in text
    for release in (find_checkpoint("infinite-forcing"), *parts.PARTS):
        downloaded(hub_cache, release.repo, *release.files)
    monkeypatch.setattr(command, "download_taehv", lambda: iter(["taew2_1 is here"]))
    assert cli.main(["weights", "wan", "--download"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.endswith(("ema_model.pt", "enc-bf16.pth", "VAE.pth", "is here"))]
    assert sum("licence of the weights" in line for line in lines) == 3


def test_what_is_for_generators_only_is_told(capsys: Said) -> None:
    assert cli.main(["weights", "umt5-xxl", "--convert"]) == 2
    assert "are for generators such as 'infinite-forcing'" in capsys.readouterr().err
