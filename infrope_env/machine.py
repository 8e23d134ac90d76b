"""Facts about this machine: memory, room on disks, packages. Imports torch in one function.

None stands for what the system does not tell.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from importlib import metadata
from pathlib import Path

MEMINFO = Path("/proc/meminfo")
CPUINFO = Path("/proc/cpuinfo")
CGROUP = Path("/sys/fs/cgroup")  # limits of a container, version 2


def free_memory() -> int | None:
    """Return the bytes of host memory that a new process can take, within the limit of a container."""
    free = _meminfo("MemAvailable")
    if free is None:
        return total_memory()  # macOS and Windows give memory back from caches as it is needed
    limit, used = _number(CGROUP / "memory.max"), _number(CGROUP / "memory.current")
    return free if limit is None or used is None else min(free, limit - used)


def total_memory() -> int | None:
    """Return the bytes of host memory."""
    if sys.platform == "win32":
        return _windows_memory()
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None


def processor_vendor() -> str | None:
    """Return the vendor of an x86 processor as it names itself, "GenuineIntel" or "AuthenticAMD"."""
    if sys.platform == "win32":
        return os.environ.get("PROCESSOR_IDENTIFIER", "").rpartition(", ")[2] or None
    try:
        lines = CPUINFO.read_text().splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("vendor_id")), None)


def free_disk(folder: Path) -> int:
    """Return the free bytes of the disk of a folder, which may not exist yet."""
    return shutil.disk_usage(next(path for path in (folder, *folder.absolute().parents) if path.is_dir())).free


def is_writable(folder: Path) -> bool:
    """Return whether a folder can be written in, or made."""
    return os.access(next(path for path in (folder, *folder.absolute().parents) if path.exists()), os.W_OK)


def version_of(package: str) -> str | None:
    """Return the version of an installed package, which is not imported."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def has_unused_gpu() -> bool:
    """Return whether NVIDIA's driver is installed here while torch was built without CUDA."""
    import torch

    return torch.version.cuda is None and torch.version.hip is None and shutil.which("nvidia-smi") is not None


def _meminfo(name: str) -> int | None:
    """Return an entry of Linux's table in bytes."""
    try:
        rows = [line.split() for line in MEMINFO.read_text().splitlines()]
    except OSError:
        return None
    return next((int(row[1]) * 1024 for row in rows if row and row[0] == f"{name}:"), None)


def _number(file: Path) -> int | None:
    """Return the number in a file; None without one, or where it says "max"."""
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


def _windows_memory() -> int | None:
    kilobytes = ctypes.c_ulonglong()
    asked = ctypes.windll.kernel32.GetPhysicallyInstalledSystemMemory(ctypes.byref(kilobytes))  # type: ignore[attr-defined,unused-ignore]
    return kilobytes.value * 1024 if asked else None
