"""Parts of Wan: known by their files, and the fast decoder's download."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from infrope_env.errors import WeightsError
from infrope_env.models.wan.parts import TAEHV_FILES, download_taehv, parts_folder
from tests.models.wan.released_files import touch

TAEHV_FILE = TAEHV_FILES[-1]


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


def test_taew2_1_is_downloaded_once(github: str) -> None:
    path = parts_folder() / TAEHV_FILE
    assert list(download_taehv(github))[-1] == str(path) and path.read_text() == TAEHV_FILE
    assert list(download_taehv("http://nowhere.invalid")) == [str(path)]


@pytest.mark.parametrize("wrong", ["x", "http://127.0.0.1:1/taew2_1.pth"])
def test_a_failed_download_leaves_nothing_and_has_a_remedy(github: str, wrong: str) -> None:
    with pytest.raises(WeightsError, match=r"cannot be downloaded from .*Download it by other means into .*decoder="):
        list(download_taehv(github + wrong if wrong == "x" else wrong))
    assert not list(parts_folder().glob("*"))
