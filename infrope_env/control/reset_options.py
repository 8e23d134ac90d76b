"""The validated options of `reset`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infrope_env.control.mentions import is_text
from infrope_env.errors import shown

TEXT_OPTIONS = ("subject", "scene", "motion", "prompt", "variation")
OPTIONS = (*TEXT_OPTIONS, "image")


@dataclass(frozen=True)
class ResetOptions:
    """The start of a rollout.

    Attributes:
        texts: Names of subject, scene and motion, prompt and variation, those that were given, by option.
        image: Picture to start from: a path or an array; None starts from noise.
    """

    texts: dict[str, str]
    image: object | None

    @classmethod
    def parse(cls, options: Mapping[str, Any] | None) -> ResetOptions:
        """Check the options of `reset`.

        Raises:
            TypeError: They are no table.
            ValueError: An option is unknown, or its value is not a string of Unicode characters.
        """
        if options is not None and not isinstance(options, Mapping):
            raise TypeError(f"expected reset options to be a dict, got {shown(options)}")
        given = dict(options or {})
        for key, value in given.items():
            if key not in OPTIONS:
                raise ValueError(f"expected reset options to be among {', '.join(OPTIONS)}, got {shown(key)}")
            if key in TEXT_OPTIONS and not is_text(value):
                raise ValueError(f"expected reset option {key!r} to be a string, got {shown(value)}")
        return cls({key: value for key, value in given.items() if key in TEXT_OPTIONS}, given.get("image"))

    def over(self, texts: Mapping[str, str]) -> ResetOptions:
        """Return these options over the texts with which every episode starts.

        A text among these options replaces the prompt of `texts`, which would hide it.
        """
        kept = {key: text for key, text in texts.items() if key != "prompt" or not self.texts}
        return ResetOptions(kept | self.texts, self.image)


def start_texts(**texts: str | None) -> dict[str, str]:
    """Return the texts of a start that are not None; ValueError as in `ResetOptions.parse`."""
    return ResetOptions.parse({key: text for key, text in texts.items() if text is not None}).texts
