"""Downloads taew2_1, the fast decoder, from its project's repository on GitHub.

The file stands on a branch and was retrained in November 2025, so its length and digest cannot be known beforehand.
Its tensors are checked before it counts as here; length, digest and the server's version of it are recorded.
"""

from __future__ import annotations

from pathlib import Path

import torch

from infrope_env.errors import WeightsError
from infrope_env.models.wan.fetch import DISK_ERRORS, RemoteFile, ask, fetch, first_line
from infrope_env.models.wan.parts import TAEHV_FILES, TAEHV_NAME, TAEHV_URL, parts_folder
from infrope_env.models.wan.store import read_json, write_json
from infrope_env.pixels.taehv import TAEHV
from infrope_env.tensor_files import check_fit, read_tensors, sha256_of, shapes_of

RECORD = "taew2_1.json"
TIMEOUT_S = 30


def taehv_path() -> Path:
    """Return where the download is kept. It may not exist."""
    return parts_folder() / TAEHV_FILES[1]


def describe_remote() -> RemoteFile:
    """Ask the server for length and version of the file; WeightsError has the remedy where it does not answer."""
    from huggingface_hub.utils import get_session, hf_raise_for_status

    try:
        headers = {"Accept-Encoding": "identity"}
        answer = ask(lambda: get_session().request("HEAD", TAEHV_URL, headers=headers, timeout=TIMEOUT_S))
        hf_raise_for_status(answer)
    except Exception as error:  # of the network library of the hub client's version
        raise WeightsError(_sentence(error)) from error
    length, etag = answer.headers.get("Content-Length"), answer.headers.get("ETag")
    if length is None or etag is None:
        raise WeightsError(_sentence(ValueError("the server gives no length or no version of the file")))
    # If-Range: should the file change between two connections, the server sends all of the new one
    return RemoteFile(TAEHV_FILES[1], TAEHV_URL, int(length), f"{etag} {length}", headers={"If-Range": etag})


def download_taehv(remote: RemoteFile) -> list[str]:
    """Download and check the file, unless it is here, and record what it is; return what there is to report.

    Raises:
        WeightsError: It cannot be downloaded, or what arrives does not fit TAEHV.
    """
    path = taehv_path()
    if path.is_file():
        return []
    try:
        fetch(remote, path, check_taehv)
        for old in path.parent.glob(f"{path.name}.*.part"):  # of earlier versions
            old.unlink(missing_ok=True)
        return _record(remote, path)
    except WeightsError:
        raise
    except Exception as error:  # of the disk, or the network library of the hub client's version
        raise WeightsError(_sentence(error)) from error


def check_taehv(path: Path) -> None:
    """Raise WeightsError where a file does not hold the tensors of taew2_1, by name and shape."""
    with torch.device("meta"):
        wanted = shapes_of(TAEHV().state_dict())
    check_fit(shapes_of(read_tensors(path)), wanted, path, "TAEHV")


def recorded_sha256(path: Path) -> str | None:
    """Return the digest that the download had when it was checked; None for another file."""
    digest = read_json(path.parent / RECORD).get("sha256") if path == taehv_path() else None
    return digest if isinstance(digest, str) else None


def _record(remote: RemoteFile, path: Path) -> list[str]:
    """Record what was downloaded; report where an earlier download was another file."""
    record, digest = path.parent / RECORD, sha256_of(path)
    earlier = read_json(record).get("sha256")
    write_json(record, {"url": remote.url, "bytes": remote.bytes, "version": remote.version, "sha256": digest})
    if earlier in (None, digest):
        return []
    return [
        f"{TAEHV_NAME} was changed by its project: its sha256 was {earlier[:16]}... before, now {digest[:16]}.... "
        "Recordings made with the earlier one replay with other pixels."
    ]


def _sentence(error: Exception) -> str:
    """Return why there is no file, and the remedy."""
    from huggingface_hub.errors import OfflineModeIsEnabled

    folder = parts_folder()
    if isinstance(error, OfflineModeIsEnabled):
        return (
            f"{TAEHV_NAME} is not here, and HF_HUB_OFFLINE forbids downloads. Unset it, or put the file into {folder}."
        )
    if isinstance(error, OSError) and error.errno in DISK_ERRORS:
        return f"{folder} cannot be written: {error.strerror}. INFROPE_CACHE names another folder."
    return (
        f"{TAEHV_NAME} cannot be downloaded from {TAEHV_URL}: {first_line(error)}. Run the command again to continue, "
        f"download it by other means into {folder}, or pass decoder= its path."
    )
