from pathlib import Path

import pytest

from infrope_env.models.wan import pins


@pytest.fixture(autouse=True)
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point the hub's client and this package at empty caches, so that no real one is touched."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("INFROPE_CACHE", str(tmp_path / "infrope"))
    return tmp_path / "hub"


@pytest.fixture(autouse=True)
def no_pins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what is known of the released files: those of the tests are small and differ."""
    monkeypatch.setattr(pins, "REVISIONS", {})
    monkeypatch.setattr(pins, "FILES", {})
