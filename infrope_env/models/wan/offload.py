"""CPU offload: generator, decoder and encoder share a GPU that has no room for all. Idle weights stay in host memory.

Weights never change, so they are copied in one direction only, to the device.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from infrope_env.pixels.codec import DecoderState, Encoder
from infrope_env.pixels.taehv import TAEHV
from infrope_env.pixels.wan_vae import WanVAE

BUFFER_BYTES = 2**28  # the allocator of pinned memory rounds every buffer up to a power of two
ALIGNMENT = 256

logger = logging.getLogger(__name__)


class HostMemory:
    """Memory of the host, pinned beside a GPU, in which tensors lie packed into few buffers.

    Attributes:
        device: The device that tensors are copied to.
        to_device_bytes: Bytes copied to the device so far.
        to_host_bytes: Bytes copied from the device so far.
    """

    def __init__(self, device: torch.device) -> None:
        self.device, self.to_device_bytes, self.to_host_bytes = device, 0, 0
        self._pin = device.type == "cuda"

    def pack(self, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return copies with the same values and strides, which are views of shared buffers."""
        groups: list[list[Tensor]] = []
        room = 0
        for tensor in tensors:
            room -= _aligned(tensor.nbytes)
            if room < 0:
                groups.append([])
                room = BUFFER_BYTES - _aligned(tensor.nbytes)
            groups[-1].append(tensor)
        return tuple(copy for group in groups for copy in self._fill_buffer(group))

    def to_device(self, tensors: Iterable[Tensor]) -> tuple[Tensor, ...]:
        """Return copies on the device; a buffer that tensors share is copied once, as a whole."""
        copies: dict[int, Tensor] = {}
        moved = []
        for tensor in tensors:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in copies:
                buffer = torch.empty(0, dtype=torch.uint8, device=tensor.device).set_(storage)
                copies[storage.data_ptr()] = buffer.to(self.device, non_blocking=True)
                self.to_device_bytes += buffer.nbytes
            moved.append(_view(copies[storage.data_ptr()], tensor, int(tensor.storage_offset())))
        return tuple(moved)

    def to_host(self, tensors: Sequence[Tensor], packed: Sequence[Tensor] | None) -> tuple[Tensor, ...]:
        """Copy tensors from the device over earlier packed ones of the same shapes, or pack them."""
        self.to_host_bytes += sum(tensor.nbytes for tensor in tensors)
        if packed is None or (self._pin and not all(tensor.is_pinned() for tensor in packed)):
            return self.pack(tensors)
        for host, tensor in zip(packed, tensors, strict=True):
            host.copy_(tensor, non_blocking=True)
        return tuple(packed)

    def _fill_buffer(self, tensors: Sequence[Tensor]) -> Iterator[Tensor]:
        size = sum(_aligned(tensor.nbytes) for tensor in tensors)
        buffer, offset = torch.empty(size, dtype=torch.uint8, pin_memory=self._pin), 0
        for tensor in tensors:
            yield _view(buffer, torch.empty_like(tensor, device="meta"), offset // tensor.itemsize).copy_(tensor)
            offset += _aligned(tensor.nbytes)


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _view(buffer: Tensor, like: Tensor, offset: int) -> Tensor:
    """Return a view of a buffer of bytes with the dtype, shape and strides of a tensor."""
    return buffer.view(like.dtype).as_strided(like.size(), like.stride(), offset)


class OffloadedModule:
    """Networks whose weights are on the device only while they compute."""

    def __init__(self, networks: Iterable[nn.Module], memory: HostMemory) -> None:
        """Copy the weights to host memory, where that copy stays."""
        self._memory = memory
        self._parameters = [parameter for network in networks for parameter in network.parameters()]
        self._host = memory.pack([parameter.data for parameter in self._parameters])

    @torch.inference_mode(False)
    def to_device(self) -> None:
        """Copy the weights to the device."""
        for parameter, data in zip(self._parameters, self._memory.to_device(self._host), strict=True):
            parameter.data = data

    @torch.inference_mode(False)
    def to_cpu(self) -> None:
        """Point the parameters at host memory again, which frees the copy on the device."""
        for parameter, host in zip(self._parameters, self._host, strict=True):
            parameter.data = host


class OffloadedGenerator(OffloadedModule):
    """The generator, which is on the device except while another network computes."""

    def __init__(self, generator: nn.Module, device: torch.device) -> None:
        """Copy the weights to host memory too."""
        self.memory = HostMemory(device)
        super().__init__([generator], self.memory)

    @contextmanager
    def away(self) -> Iterator[None]:
        """Free the device of the generator; an error brings it back too."""
        try:
            self.to_cpu()
            yield
        finally:
            self.to_device()


class OffloadedDecoder:
    """A decoder that swaps places with the generator while it computes; with the full VAE, an encoder that does.

    Attributes:
        decoder: The decoder itself.
        state_device: Device of the decoder state between blocks.
    """

    def __init__(self, decoder: TAEHV | WanVAE, generator: OffloadedGenerator, keep_state: bool = False) -> None:
        """Join a decoder and the generator.

        Args:
            decoder: The decoder, on the device.
            generator: The generator.
            keep_state: Leave the decoder state on the device, where there is room for it, instead of copying it both
                ways in every block.
        """
        self.decoder, self.frames_per_latent = decoder, decoder.frames_per_latent
        self._generator, self._memory, self._blocks = generator, generator.memory, 0
        device = generator.memory.device
        self.state_device = device if keep_state else torch.device("cpu")
        self._keep_state = keep_state
        decoding, encoding = halves(decoder)
        self._decoding, self._encoding = (OffloadedModule(half, self._memory) for half in (decoding, encoding))
        self._decoding.to_cpu()
        self._encoding.to_cpu()

    def decode(self, latents: Tensor, state: DecoderState | None) -> tuple[Tensor, DecoderState]:
        """Decode one block, see `Decoder.decode`; frames are returned on the CPU, the state on `state_device`."""
        before = self._memory.to_device_bytes, self._memory.to_host_bytes
        with self._turn(self._decoding):
            frames, after = self._decode(latents, state)
        self._blocks += 1
        if self._blocks == 2:  # the first block of play that has a state
            sent, returned = self._memory.to_device_bytes - before[0], self._memory.to_host_bytes - before[1]
            logger.info("offload copies %.2f GB to the GPU and %.2f GB back for a block", sent / 1e9, returned / 1e9)
        return frames, after

    def encode(self, frames: Tensor) -> Tensor:
        """Encode frames, see `Encoder.encode`, with the full VAE."""
        assert isinstance(self.decoder, WanVAE)
        with self._turn(self._encoding):
            return self.decoder.encode(frames)

    def _decode(self, latents: Tensor, state: DecoderState | None) -> tuple[Tensor, DecoderState]:
        """Decode on the device, which holds nothing of it afterwards but a kept state."""
        given = state if state is None or self._keep_state else self._memory.to_device(state)
        frames, after = self.decoder.decode(latents, given)
        if not self._keep_state:
            after = self._memory.to_host(after, state)
        self._memory.to_host_bytes += frames.nbytes
        return frames.cpu(), after  # waits for the copies of the state

    @contextmanager
    def _turn(self, module: OffloadedModule) -> Iterator[None]:
        """Put a part of the codec in the generator's place."""
        with self._generator.away():
            try:
                module.to_device()
                yield
            finally:
                module.to_cpu()


class OffloadedEncoder:
    """An encoder that is loaded for each picture, in the generator's place."""

    def __init__(self, load: Callable[[], Encoder], generator: OffloadedGenerator) -> None:
        self._load, self._generator = load, generator

    def encode(self, frames: Tensor) -> Tensor:
        """Load the encoder and encode frames, see `Encoder.encode`."""
        with self._generator.away():
            return self._load().encode(frames)


def halves(decoder: TAEHV | WanVAE) -> tuple[list[nn.Module], list[nn.Module]]:
    """Return the networks that decode, and those that encode."""
    if isinstance(decoder, WanVAE):
        network = decoder.network
        return [network.decoder, network.post_quant_conv], [network.encoder, network.quant_conv]
    return [decoder], []
