"""The pixel side of one rollout: decodes its blocks in a stream and encodes the picture that it starts from."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from infrope_env.control.frames import Frames
from infrope_env.models.wan.offload import OffloadedDecoder
from infrope_env.models.world_model import WorldModel
from infrope_env.pixels.codec import DecoderState
from infrope_env.pixels.picture import load_picture, static_video

INTERRUPTED: DecoderState = (torch.empty(0),)
"""State while a block is decoded, and after a decode that failed: decoders overwrite the state that they are given."""


class BlockCodec:
    """Decoder and encoder of a model, with the decoder's state for one rollout.

    Attributes:
        block_shape: Shape of a block's pixel frames, t H W 3.
    """

    def __init__(self, model: WorldModel, block: int, decode: bool = True) -> None:
        """Prepare for the first block of `block` latent frames; without `decode`, decoded frames are zeros."""
        self._model, self._decode = model, decode
        self._state: DecoderState | None = None  # None before the first block
        self._dropped = model.decoder.frames_per_latent - 1  # frames that a causal decoder lacks in the first block
        self.block_shape = (model.decoder.frames_per_latent * block, *model.frame_size, 3)

    def reset(self) -> None:
        """Forget the decoder's state: the next block is the first of a rollout."""
        self._state = None

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Frames:
        """Return the valid pixel frames of the next block: b f c h w -> t H W 3."""
        if self._decode:
            state, self._state = self._state, INTERRUPTED
            if state is INTERRUPTED:
                raise RuntimeError("The last block was not decoded to its end. Reset, or restore a state.")
            frames, self._state = self._model.decoder.decode(latents, state)
            return frames[0].cpu().numpy()
        frames_in_block, *frame_shape = self.block_shape
        valid = frames_in_block - (self._dropped if self._state is None else 0)
        self._state = ()
        return np.zeros((valid, *frame_shape), np.uint8)

    def save(self) -> DecoderState:
        """Return a copy of the decoder's state after the newest block, in host memory."""
        assert self._state is not None
        return tuple(tensor.to("cpu", copy=True) for tensor in self._state)

    def restore(self, state: DecoderState) -> None:
        """Continue from a copy of a saved state."""
        decoder = self._model.decoder
        device = decoder.state_device if isinstance(decoder, OffloadedDecoder) else self._model.device
        self._state = tuple(tensor.to(device, copy=True) for tensor in state)

    def load_picture(self, image: object) -> Frames:
        """Return the picture of a path or a uint8 array, scaled and cropped to H W 3; ValueError without an encoder."""
        if self._model.encoder is None:
            missing = f"The model {self._model.name!r} has no encoder: it cannot start from an image."
            raise ValueError(f"{missing} {self._model.encoder_hint}".rstrip())
        return load_picture(image, self._model.frame_size)

    @torch.inference_mode()
    def encode_still(self, picture: Frames) -> Tensor:
        """Return the latents of a first block that shows a still picture: H W 3 -> b f c h w."""
        assert self._model.encoder is not None
        video = static_video(picture, self.block_shape[0] - self._dropped)
        return self._model.encoder.encode(video).to(self._model.device, self._model.dtype)
