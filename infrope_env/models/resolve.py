"""Any world by its name or path: a world folder, or Wan in its released files. Knows which is meant, no more."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from infrope_env.errors import WeightsError
from infrope_env.models import world_folder as world_folders
from infrope_env.models.wan.locate import is_wan
from infrope_env.models.world_folder import WorldModel


def load_model(
    weights: str | Path | None = None,
    *,
    prompts: Iterable[str] = (),
    decoder: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
    text_device: str | None = None,
    text_dtype: str | None = None,
    offload: bool = False,
) -> WorldModel:
    """Load a world, once per process for the same files and settings.

    Args:
        weights: a bundled world's name, a world folder, or what `wan.files.WanFiles.find` takes; None is "pocket".
        prompts: that a large text encoder is to encode before the generator takes its room.
        decoder: None takes the world's own, or Wan's fast one.
        device: "cpu", "cuda" or "cuda:1"; None takes the GPU where there is one.
        dtype: "float32", "bfloat16" or "float16"; None takes what is fast on the device.
        text_device: where Wan's text encoder runs, see `wan.prompts.find_text_encoder`.
        text_dtype: what it computes in.
        offload: whether Wan's generator and decoder take turns on the device.

    Raises:
        WeightsError: weights are missing, damaged, or do not fit, or the world has no such setting.
        ValueError: there is no such device or dtype.
    """
    if is_wan(None if weights is None else str(weights)):
        from infrope_env.models.wan.load import load_wan

        return load_wan(
            str(weights),
            prompts=prompts,
            decoder=decoder,
            device=device,
            dtype=dtype,
            text_device=text_device,
            text_dtype=text_dtype,
            offload=offload,
        )
    for name, value in (("text_device", text_device), ("text_dtype", text_dtype), ("offload", offload)):
        if value:
            raise WeightsError(f"{name}={value!r} is for Wan: the parts of the world {str(weights)!r} are small.")
    return world_folders.load_world(weights, decoder=decoder, device=device, dtype=dtype)
