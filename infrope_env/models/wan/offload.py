"""CPU offload: generator and decoder share a GPU that has no room for both. Idle weights stay in pinned host memory.

Weights never change, so they are copied in one direction only, to the device.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from infrope_env.pixels.codec import DecoderState
from infrope_env.pixels.taehv import TAEHV
from infrope_env.pixels.wan_vae import WanVAE


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

    def __init__(self, decoder: TAEHV | WanVAE, generator: nn.Module, device: torch.device) -> None:
        """Join a decoder and the generator, which is on the device between blocks."""
        self.decoder, self.frames_per_latent, self._device = decoder, decoder.frames_per_latent, device
        network = decoder if isinstance(decoder, TAEHV) else decoder.network
        self._network, self._generator = OffloadedModule(network, device), OffloadedModule(generator, device)
        self._network.to_cpu()

    def decode(self, latents: Tensor, state: DecoderState | None) -> tuple[Tensor, DecoderState]:
        """Decode one block, see `Decoder.decode`; the decoder state is taken and returned on the CPU."""
        with self._on_device():
            moved = None if state is None else tuple(tensor.to(self._device) for tensor in state)
            frames, after = self.decoder.decode(latents, moved)
            return frames, tuple(tensor.cpu() for tensor in after)

    def encode(self, frames: Tensor) -> Tensor:
        """Encode frames, see `Encoder.encode`, with the full VAE."""
        assert isinstance(self.decoder, WanVAE)
        with self._on_device():
            return self.decoder.encode(frames)

    @contextmanager
    def _on_device(self) -> Iterator[None]:
        """Put the decoder in the generator's place; an error brings the generator back too."""
        try:
            self._generator.to_cpu()
            self._network.to_device()
            yield
        finally:
            self._network.to_cpu()
            self._generator.to_device()
