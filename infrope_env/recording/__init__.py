"""Rollouts on disk: written, read back, replayed."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from infrope_env.recording.replay import replay, verify

__all__ = ["replay", "verify"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = getattr(import_module("infrope_env.recording.replay"), name)
    return globals()[name]
