"""Any world by its name or path: a world folder, or Wan in its released files. Knows which is meant, no more."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from infrope_env.errors import WeightsError
from infrope_env.models import world_folder as world_folders
from infrope_env.models.options import LoadOptions
from infrope_env.models.wan.locate import is_wan
from infrope_env.models.world_folder import WorldModel


def load_model(
    weights: str | Path | None,
    options: LoadOptions = LoadOptions(),  # noqa: B008  (frozen)
    prompts: Iterable[str] = (),
) -> WorldModel:
    """Load a model, once per process for the same files and options.

    Args:
        weights: a bundled world's name, a world folder, or what `wan.files.WanFiles.find` takes; None is "pocket".
        options: how it is loaded.
        prompts: that a large text encoder is to encode before the generator takes its room.

    Raises:
        WeightsError: weights are missing, damaged, or do not fit, or the world has no such setting.
        ValueError: there is no such device or dtype.
    """
    settings = dataclasses.asdict(options)
    del settings["compile"]
    if is_wan(None if weights is None else str(weights)):
        from infrope_env.models.wan.load import load_wan

        return load_wan(str(weights), prompts=prompts, **settings)
    for name in ("text_device", "text_dtype", "offload"):
        if value := settings[name]:
            raise WeightsError(f"{name}={value!r} is for Wan: the parts of the world {str(weights)!r} are small.")
    return world_folders.load_world(weights, decoder=options.decoder, device=options.device, dtype=options.dtype)
