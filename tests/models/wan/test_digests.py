"""Digests of big files."""

import logging
from pathlib import Path

import pytest

from infrope_env.models.wan import digests
from infrope_env.models.wan.digests import digest_of
from tests.models.wan.released_files import touch


def test_a_file_is_read_once_until_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(digests, "BIG_BYTES", 1)
    caplog.set_level(logging.INFO)
    path, reads = touch(tmp_path, "a.pt") / "a.pt", []
    monkeypatch.setattr(digests, "sha256_of", lambda path: reads.append(path) or f"{len(reads):064x}")
    assert digest_of(path) == digest_of(path) == f"{1:064x}"
    assert caplog.text.count("for its sha256, once") == 1
    path.write_text("another")
    assert digest_of(path) == f"{2:064x}" and len(reads) == 2


def test_a_digest_that_cannot_be_remembered_is_still_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFROPE_CACHE", str(touch(tmp_path, "file") / "file"))  # no folder can be made there
    assert len(digest_of(tmp_path / "file")) == 64
