"""Files that appear whole or not at all."""

from pathlib import Path

import pytest

from infrope_env.atomic_file import write_atomically


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_bytes_and_what_a_function_writes_replace_the_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file.bin"
    write_atomically(path, b"one")
    assert path.read_bytes() == b"one"
    write_atomically(path, lambda part: part.write_bytes(b"two"))
    assert path.read_bytes() == b"two" and names(path.parent) == ["file.bin"]


def test_the_old_file_is_there_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")

    def write(part: Path) -> None:
        part.write_bytes(b"ne")
        assert part.parent == path.parent  # the same file system, so that renaming is atomic
        assert path.read_bytes() == b"old"
        part.write_bytes(b"new")

    write_atomically(path, write)
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("error", [OSError("No space left on device"), KeyboardInterrupt()])
def test_a_failed_write_leaves_the_old_file_and_no_part(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")

    def fail(part: Path) -> None:
        part.write_bytes(b"ne")
        raise error

    with pytest.raises(type(error)):
        write_atomically(path, fail)
    assert path.read_bytes() == b"old" and names(tmp_path) == ["file.bin"]


def test_a_failed_rename_leaves_no_part(tmp_path: Path) -> None:
    (tmp_path / "file.bin" / "inside").mkdir(parents=True)
    with pytest.raises(OSError):
        write_atomically(tmp_path / "file.bin", b"new")
    assert names(tmp_path) == ["file.bin"]


def test_two_writers_use_different_parts(tmp_path: Path) -> None:
    path, parts = tmp_path / "file.bin", []

    def write(part: Path) -> None:
        parts.append(part.name)
        if len(parts) == 1:
            write_atomically(path, write)
            assert path.read_bytes() == b"written"
        part.write_bytes(b"written")

    write_atomically(path, write)
    assert len(set(parts)) == 2 and names(tmp_path) == ["file.bin"]
