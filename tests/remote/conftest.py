"""The fixtures of the browser page: a browser, and a server that records its bundled world."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.remote.browser import chromium
from tests.remote.page_player import recorded_world
from tests.remote.served import serving


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """An installed Chromium."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the server records."""
    return tmp_path_factory.mktemp("recordings")


@pytest.fixture(scope="module")
def url(recordings: Path) -> Iterator[str]:
    """The URL of the page, with its token."""
    with serving(lambda: recorded_world(recordings)) as server:
        yield server.url
