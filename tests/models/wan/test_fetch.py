"""Downloads of single files."""

from pathlib import Path

import pytest

from infrope_env.errors import WeightsError
from infrope_env.models.wan.fetch import MARGIN, RemoteFile, check_space, first_line


def test_folders_on_one_disk_share_its_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Disk:
        free = 3 * 10**9 + MARGIN

    monkeypatch.setattr("shutil.disk_usage", lambda folder: Disk)
    check_space([(tmp_path / "not" / "yet", 2 * 10**9), (tmp_path, 10**9)])
    with pytest.raises(WeightsError, match=r"has 3\.1 GB free, the download needs 4\.0 GB\. Free some, or name a fold"):
        check_space([(tmp_path / "not" / "yet", 2 * 10**9), (tmp_path, 2 * 10**9)])
    Disk.free = 0
    check_space([(tmp_path, 0)])  # nothing is to come


def test_a_part_belongs_to_one_version_of_a_file(tmp_path: Path) -> None:
    old, new = (RemoteFile("x", "http://nowhere.invalid/x", 10, version) for version in ("1", "2"))
    assert old.part_of(tmp_path / "x") != new.part_of(tmp_path / "x")
    old.part_of(tmp_path / "x").write_bytes(b"1234")
    assert (old.bytes_left(tmp_path / "x"), new.bytes_left(tmp_path / "x")) == (6, 10)
    (tmp_path / "x").write_bytes(b"1234567890")
    assert old.bytes_left(tmp_path / "x") == 0


def test_an_error_without_words_is_named_by_its_kind() -> None:
    assert first_line(ValueError("one.\ntwo")) == "one" and first_line(ValueError()) == "ValueError"
