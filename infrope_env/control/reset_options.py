"""The validated options of `reset`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TEXT_OPTIONS = ("subject", "scene", "motion", "prompt")
OPTIONS = (*TEXT_OPTIONS, "image")


@dataclass(frozen=True)
class ResetOptions:
    """The start of a rollout.

    Attributes:
        texts: Names of subject, scene and motion and the prompt, those that were given, by option.
        image: Picture to start from: a path or an array; None starts from noise.
    """

    texts: dict[str, str]
    image: object | None

    @classmethod
    def parse(cls, options: Mapping[str, Any] | None) -> ResetOptions:
        """Check the options of `reset`; ValueError for an unknown option or a name that is not a string."""
        given = dict(options or {})
        for key, value in given.items():
            if key not in OPTIONS:
                raise ValueError(f"expected reset options to be among {', '.join(OPTIONS)}, got {key!r}")
            if key in TEXT_OPTIONS and not isinstance(value, str):
                raise ValueError(f"expected reset option {key!r} to be a string, got {value!r}")
        return cls({key: value for key, value in given.items() if key in TEXT_OPTIONS}, given.get("image"))
