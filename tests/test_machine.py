"""Facts about this machine."""

from pathlib import Path

import pytest

from infrope_env import machine


@pytest.fixture
def linux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A system with 8 GiB of free memory, without a container; the folder of its container's limits."""
    (tmp_path / "meminfo").write_text("MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\n")
    monkeypatch.setattr(machine, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    return tmp_path


def test_free_memory_is_what_a_new_process_can_take(linux: Path) -> None:
    assert machine.free_memory() == 8 * 2**30


@pytest.mark.parametrize(("limit", "free"), [("max", 8 * 2**30), (str(3 * 2**30), 2 * 2**30), ("x", 8 * 2**30)])
def test_the_limit_of_a_container_counts(linux: Path, limit: str, free: int) -> None:
    (linux / "memory.max").write_text(limit)
    (linux / "memory.current").write_text(str(2**30))
    assert machine.free_memory() == free


def test_without_a_table_of_free_memory_all_of_it_counts(linux: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (linux / "meminfo").unlink()
    monkeypatch.setattr(machine, "total_memory", lambda: 5)
    assert machine.free_memory() == 5


def test_the_disk_of_a_folder_that_does_not_exist_yet_is_that_of_its_parent(tmp_path: Path) -> None:
    assert machine.free_disk(tmp_path / "a" / "b") > 0 and machine.is_writable(tmp_path / "a" / "b")
    (tmp_path / "file").write_text("")
    assert machine.free_disk(tmp_path / "file" / "below") > 0


def test_a_gpu_that_this_torch_cannot_use_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.version.cuda", None)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    assert machine.has_unused_gpu()
    monkeypatch.setattr("torch.version.cuda", "13.0")
    assert not machine.has_unused_gpu()


def test_a_package_that_is_not_installed_has_no_version() -> None:
    assert machine.version_of("no-such-package-here") is None and machine.version_of("torch")


@pytest.mark.parametrize("vendor", ["GenuineIntel", "AuthenticAMD"])
def test_the_processor_names_its_vendor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vendor: str) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nvendor_id\t: {vendor}\nprocessor\t: 1\nvendor_id\t: x\n")
    monkeypatch.setattr(machine, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(machine.sys, "platform", "linux")
    assert machine.processor_vendor() == vendor
    monkeypatch.setattr(machine.sys, "platform", "win32")
    monkeypatch.setenv("PROCESSOR_IDENTIFIER", f"Intel64 Family 6 Model 143 Stepping 8, {vendor}")
    assert machine.processor_vendor() == vendor


def test_a_processor_that_names_no_vendor_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "CPUINFO", tmp_path / "cpuinfo")
    assert machine.processor_vendor() is None
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nCPU implementer\t: 0x41\n")
    assert machine.processor_vendor() is None
