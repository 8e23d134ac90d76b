"""Generator and decoder take turns on a GPU that has no room for both; who waits lies in the computer's own memory.

Each turn copies the weights once, towards the GPU: they never change, so there is nothing to bring back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from infrope_env.pixels.codec import Decoder, DecoderState, Encoder


class Guest:
    """A network that is on the device only while it works."""

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        """Take a network; its weights are copied to the processor's memory and stay there for good."""
        self.network, self.device = network, device
        pin = device.type == "cuda"
        self._home = [p.data.cpu().pin_memory() if pin else p.data.cpu() for p in network.parameters()]

    @torch.inference_mode(False)
    def come(self) -> None:
        """Onto the device."""
        for parameter, home in zip(self.network.parameters(), self._home, strict=True):
            parameter.data = home.to(self.device, non_blocking=True)

    @torch.inference_mode(False)
    def leave(self) -> None:
        """Off the device; what was there is free for others."""
        for parameter, home in zip(self.network.parameters(), self._home, strict=True):
            parameter.data = home


class OffloadedDecoder:
    """A decoder for whose work the generator makes room. Its memory waits in the computer's own, like its weights."""

    def __init__(self, decoder: Decoder, network: nn.Module, generator: nn.Module, device: torch.device) -> None:
        """Join a decoder, its network, and the generator, which stays on the device between blocks."""
        self.decoder, self.frames_per_latent = decoder, decoder.frames_per_latent
        self._device = device
        self._network, self._generator = Guest(network, device), Guest(generator, device)
        self._network.leave()

    def decode(self, latents: Tensor, memory: DecoderState | None) -> tuple[Tensor, DecoderState]:
        """See `Decoder.decode`; the memory comes and goes on the processor."""
        with self._turn():
            here = None if memory is None else _moved(memory, self._device)
            frames, after = self.decoder.decode(latents, here)
            return frames, _moved(after, torch.device("cpu"))

    def encode(self, frames: Tensor) -> Tensor:
        """See `Encoder.encode`; for a decoder that is its own encoder."""
        encoder: Encoder = self.decoder  # type: ignore[assignment]
        with self._turn():
            return encoder.encode(frames)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """The decoder's; whatever happens in it, the generator is back afterwards."""
        self._generator.leave()
        self._network.come()
        try:
            yield
        finally:
            self._network.leave()
            self._generator.come()


def _moved(memory: DecoderState, device: torch.device) -> DecoderState:
    return tuple(tensor.to(device) for tensor in memory)
