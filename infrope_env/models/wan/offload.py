"""CPU offload: generator and decoder share a GPU that has no room for both. Idle weights stay in pinned host memory.

Weights never change, so they are copied in one direction only, to the device.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from infrope_env.pixels.codec import Decoder, DecoderState, Encoder


class OffloadedModule:
    """A network whose weights are on the device only while it computes."""

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        """Copy the weights to host memory, where that copy stays."""
        self.network, self.device = network, device
        pin = device.type == "cuda"
        self._host = [p.data.cpu().pin_memory() if pin else p.data.cpu() for p in network.parameters()]

    @torch.inference_mode(False)
    def to_device(self) -> None:
        """Copy the weights to the device."""
        for parameter, host in zip(self.network.parameters(), self._host, strict=True):
            parameter.data = host.to(self.device, non_blocking=True)

    @torch.inference_mode(False)
    def to_cpu(self) -> None:
        """Point the parameters at host memory again, which frees the copy on the device."""
        for parameter, host in zip(self.network.parameters(), self._host, strict=True):
            parameter.data = host


class OffloadedDecoder:
    """A decoder that swaps places with the generator while it computes. Its state stays in host memory too."""

    def __init__(self, decoder: Decoder, network: nn.Module, generator: nn.Module, device: torch.device) -> None:
        """Join a decoder, its network, and the generator, which is on the device between blocks."""
        self.decoder, self.frames_per_latent = decoder, decoder.frames_per_latent
        self._device = device
        self._network, self._generator = OffloadedModule(network, device), OffloadedModule(generator, device)
        self._network.to_cpu()

    def decode(self, latents: Tensor, state: DecoderState | None) -> tuple[Tensor, DecoderState]:
        """Decode one block, see `Decoder.decode`; the decoder state is taken and returned on the CPU."""
        with self._on_device():
            frames, after = self.decoder.decode(latents, None if state is None else _moved(state, self._device))
            return frames, _moved(after, torch.device("cpu"))

    def encode(self, frames: Tensor) -> Tensor:
        """Encode frames, see `Encoder.encode`, with a decoder that is its own encoder."""
        encoder: Encoder = self.decoder  # type: ignore[assignment]
        with self._on_device():
            return encoder.encode(frames)

    @contextmanager
    def _on_device(self) -> Iterator[None]:
        """Put the decoder in the generator's place; an error brings the generator back too."""
        self._generator.to_cpu()
        self._network.to_device()
        try:
            yield
        finally:
            self._network.to_cpu()
            self._generator.to_device()


def _moved(state: DecoderState, device: torch.device) -> DecoderState:
    return tuple(tensor.to(device) for tensor in state)
