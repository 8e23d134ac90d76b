"""Weights of a recording, found by the name of a model that comes with the package or by digest, never by a path in it.

A recording may come from a stranger. The path of weights in it is not opened; the caller passes a path.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from infrope_env.errors import WeightsError
from infrope_env.models.wan.catalog import ALIAS, CHECKPOINTS
from infrope_env.models.wan.parts import TAEHV_NAME, WAN_VAE
from infrope_env.models.world_folder import BUNDLED, CARD, load_card
from infrope_env.models.world_model import WorldModel
from infrope_env.recording.files import ReplayError

DECODERS = (TAEHV_NAME, WAN_VAE)

LORA = "lora/"
"""Start of the name of a LoRA's file among the weights of a recording."""

_used: dict[frozenset[str], str] = {}  # path of weights that this process has loaded, by their digests
_used_loras: dict[frozenset[str], str] = {}  # path of a LoRA, by its digest


def remember(weights: object, lora: object, model: WorldModel) -> None:
    """Note the paths from which the program has loaded a model, so that a recording finds them by their digests."""
    if isinstance(weights, str | Path) and (given := _absolute(str(weights))):
        _used[frozenset(model.sha256.values())] = given
    if isinstance(lora, str | Path) and (given := _absolute(str(lora))):
        _used_loras[_lora_digests(model.sha256)] = given


def find_weights(name: str | None, digests: Mapping[str, str]) -> str | None:
    """Return the weights argument for a replay.

    Args:
        name: The recorded argument; None is the id's own model.
        digests: The recorded sha256 of every weights file.

    Raises:
        ReplayError: The recording names a path, and no known model has these digests.
    """
    if name is None or name in (ALIAS, *(row.name for row in CHECKPOINTS)):
        return name
    bundled = {card.parent.name: card.parent for card in sorted(BUNDLED.glob(f"*/{CARD}"))}
    if name in bundled:
        # A file or folder of that name in the working directory would come first.
        return str(bundled[name]) if Path(name).exists() else name
    wanted = frozenset(digests.values())
    if wanted in _used:
        return _used[wanted]
    for known, folder in bundled.items():
        if _digests(folder) == wanted:
            return str(folder) if Path(known).exists() else known
    raise ReplayError(
        f"This recording was made with the weights {name!r}, which is no model that comes with this package: "
        "a path in a recording is not opened. Pass --weights."
    )


def find_lora(name: str | None, digests: Mapping[str, str]) -> str | None:
    """Return the LoRA argument for a replay; ReplayError when no LoRA with the recorded digest has been loaded."""
    if name is None:
        return None
    if found := _used_loras.get(_lora_digests(digests)):
        return found
    raise ReplayError(
        f"This recording was made with the LoRA {name!r}: a path in a recording is not opened. Pass --lora."
    )


def find_decoder(name: str | None) -> str | None:
    """Return the decoder argument for a replay; ReplayError when the recording names a path."""
    if name is None or name in DECODERS:
        return name
    raise ReplayError(f"This recording was made with the decoder {name!r}: expected one of {', '.join(DECODERS)}.")


def _absolute(weights: str) -> str | None:
    """Return a path as an absolute one, with the name before its "@" if it has one; None where nothing is there."""
    for start in ("", f"{weights.partition('@')[0]}@"):
        path = Path(weights.removeprefix(start)).expanduser()
        if weights.startswith(start) and path.exists():
            return f"{start}{path.resolve()}"
    return None


def _lora_digests(digests: Mapping[str, str]) -> frozenset[str]:
    return frozenset(digest for file, digest in digests.items() if file.startswith(LORA))


def _digests(folder: Path) -> frozenset[str] | None:
    try:
        return frozenset(load_card(folder).files.values())
    except WeightsError:
        return None
