"""card.json of a world folder: the sizes of its networks and the digests of its files. Reads JSON, opens no weights."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from infrope_env.config import ModelConfig, Sampler, Window
from infrope_env.errors import WeightsError
from infrope_env.pixels.patch_codec import PatchCodecConfig
from infrope_env.pixels.taehv import TAEHVConfig
from infrope_env.text.encoder import PocketTextConfig

T = TypeVar("T")


@dataclass(frozen=True)
class Card:
    """The content of card.json.

    Attributes:
        files: Sha256 of every other file of the folder, by its name.
        training: Notes on how the weights were made, of any form.
    """

    name: str
    model: ModelConfig
    decoder: PatchCodecConfig | TAEHVConfig
    text_encoder: PocketTextConfig
    window: Window = field(default_factory=Window)
    sampler: Sampler = field(default_factory=Sampler)
    files: dict[str, str] = field(default_factory=dict)
    training: dict[str, object] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str, source: Path) -> Card:
        """Read the text of card.json; WeightsError names `source` and the entry that does not fit."""
        try:
            entries = json.loads(text)
        except json.JSONDecodeError as error:
            raise WeightsError(f"{source}: not valid JSON: {error}.") from error
        if not isinstance(entries, dict):
            raise WeightsError(f"{source}: expected an object, got {type(entries).__name__}.")
        parts: dict[str, type] = {"model": ModelConfig, "decoder": PatchCodecConfig, "text_encoder": PocketTextConfig}
        parts |= {"window": Window, "sampler": Sampler}
        if isinstance(decoder := entries.get("decoder"), dict) and "decoder_widths" in decoder:
            parts["decoder"] = TAEHVConfig
        for key in parts.keys() & entries.keys():
            entries[key] = _build(parts[key], entries[key], f"{source}: {key}")
        return _build(cls, entries, str(source))

    @property
    def frame_size(self) -> tuple[int, int]:
        """Height and width of a pixel frame."""
        height, width = (side * self.decoder.space_factor for side in self.model.latent_size)
        return height, width


def _build(kind: type[T], entries: object, where: str) -> T:
    """Make a dataclass from a JSON object, with lists as tuples."""
    if not isinstance(entries, dict):
        raise WeightsError(f"{where}: expected an object, got {entries!r}.")
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for key in sorted(entries.keys() - fields.keys()):
        raise WeightsError(f"{where}: unknown entry {key!r}, expected {', '.join(fields)}.")
    try:
        return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in entries.items()})
    except (TypeError, ValueError) as error:
        raise WeightsError(f"{where}: {error}.") from error
