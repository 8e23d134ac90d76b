"""card.json of a world folder: the sizes of its networks and the digests of its files. Reads JSON, opens no weights."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar, get_args, get_origin, get_type_hints

from infrope_env.config import ModelConfig, Sampler, Window
from infrope_env.errors import WeightsError, shown
from infrope_env.pixels.conv_decoder import ConvDecoderConfig
from infrope_env.pixels.patch_codec import PatchCodecConfig
from infrope_env.pixels.taehv import TAEHVConfig
from infrope_env.text.encoder import PocketTextConfig

MOST_DEPTH = 20
"""Levels of objects and lists inside each other."""
MOST_SIZE = 1 << 16
MOST_LAYERS = 256
MOST_ENTRIES = 100
"""Entries of a list, so also the sampler's steps."""
MOST_BLOCK_VALUES = 1_000_000_000
"""Values of the pixel frames of a block."""

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
    decoder: PatchCodecConfig | ConvDecoderConfig | TAEHVConfig
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
        except RecursionError as error:
            raise WeightsError(f"{source}: not valid: nested too deeply.") from error
        except ValueError as error:  # broken JSON, or a number of thousands of digits
            raise WeightsError(f"{source}: not valid JSON: {error}.") from error
        if not isinstance(entries, dict):
            raise WeightsError(f"{source}: expected an object, got {type(entries).__name__}.")
        if _deeper_than(entries, MOST_DEPTH):
            raise WeightsError(f"{source}: not valid: more than {MOST_DEPTH} levels deep.")
        parts: dict[str, type] = {"model": ModelConfig, "decoder": PatchCodecConfig, "text_encoder": PocketTextConfig}
        parts |= {"window": Window, "sampler": Sampler}
        if isinstance(decoder := entries.get("decoder"), dict):
            kinds = {"decoder_widths": TAEHVConfig, "hidden_width": ConvDecoderConfig}
            parts["decoder"] = next((kind for key, kind in kinds.items() if key in decoder), PatchCodecConfig)
        for key in parts.keys() & entries.keys():
            entries[key] = _build(parts[key], entries[key], f"{source}: {key}")
        card = _build(cls, entries, str(source))
        if problem := card._problem():
            raise WeightsError(f"{source}: {problem}.")
        return card

    def _problem(self) -> str | None:
        """Return what keeps the parts from fitting each other, or None."""
        for name in self.files:
            if name in ("", ".", "..") or set(name) & set("/\\:\0"):
                return f"files: expected names of files in the folder, got {shown(name)}"
        for name, part in (("text_dim", self.text_encoder), ("latent_channels", self.decoder)):
            if getattr(part, name) != (wanted := getattr(self.model, name)):
                return f"expected {name} to be the model's {wanted} everywhere, got {getattr(part, name)}"
        places = self.decoder.latent_size if isinstance(self.decoder, ConvDecoderConfig) else self.model.latent_size
        if places != self.model.latent_size:
            return f"expected the decoder's latent_size to be the model's {self.model.latent_size}, got {places}"
        height, width = self.frame_size
        frames = 4 * self.window.block
        if not 0 < 3 * height * width * frames <= MOST_BLOCK_VALUES:
            return f"expected a block of 1 to {MOST_BLOCK_VALUES} values, got {frames} frames of {width} x {height}"
        return None

    @property
    def frame_size(self) -> tuple[int, int]:
        """Height and width of a pixel frame."""
        height, width = (side * self.decoder.space_factor for side in self.model.latent_size)
        return height, width


def _build(kind: type[T], entries: object, where: str) -> T:
    """Make a dataclass from a JSON object, with lists as tuples."""
    if not isinstance(entries, dict):
        raise WeightsError(f"{where}: expected an object, got {shown(entries)}.")
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for key in sorted(entries.keys() - fields.keys()):
        raise WeightsError(f"{where}: unknown entry {shown(key)}, expected {', '.join(fields)}.")
    absent = dataclasses.MISSING
    required = [name for name, f in fields.items() if f.default is absent and f.default_factory is absent]
    if missing := [name for name in required if name not in entries]:
        raise WeightsError(f"{where}: missing {', '.join(missing)}.")
    for key, form in get_type_hints(kind).items():
        if key in entries and (problem := _mismatch(entries[key], form, key)):
            raise WeightsError(f"{where}: expected {key} to be {problem}, got {shown(entries[key])}.")
    try:
        return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in entries.items()})
    except (TypeError, ValueError) as error:
        raise WeightsError(f"{where}: {error}.") from error


def _mismatch(value: object, form: object, key: str) -> str | None:
    """Return what a value of card.json is expected to be, as a phrase; None when it is that."""
    origin, arguments = get_origin(form), get_args(form)
    most = MOST_LAYERS if key == "num_layers" else MOST_SIZE
    if form is int or (key == "patch" and isinstance(value, int)):
        is_fit = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most
        return None if is_fit else f"a whole number from 0 to {most}"
    if form is float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return None if is_number and abs(value) <= most and math.isfinite(value) else "a number"  # type: ignore[arg-type]
    if form is str or origin is Literal:
        return None if isinstance(value, str) else "a string"
    if form is bool:
        return None if isinstance(value, bool) else "true or false"
    if origin is tuple:
        if not isinstance(value, list) or len(value) > MOST_ENTRIES:
            return f"a list of at most {MOST_ENTRIES} entries"
        if arguments[-1] is not ... and len(value) != len(arguments):
            return f"a list of {len(arguments)} entries"
        return next((f"a list, each entry {wrong}" for v in value if (wrong := _mismatch(v, arguments[0], key))), None)
    if origin is dict:
        is_table = isinstance(value, dict) and (
            arguments[1] is object or all(isinstance(v, str) for v in value.values())
        )
        return None if is_table else "an object" if arguments[1] is object else "an object of strings"
    return None  # a part, which is built already


def _deeper_than(value: object, levels: int) -> bool:
    """Return whether objects and lists are nested in more than that many levels."""
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_deeper_than(each, levels - 1) for each in inner)
