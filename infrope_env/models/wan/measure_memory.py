"""Measures Wan's GPU memory at full size without a GPU: `python -m infrope_env.models.wan.measure_memory`.

Networks run on torch's meta device, whose tensors have sizes but no content. Every tensor that is alive is counted, so
a peak is exact except for what a kernel allocates within itself (cuDNN's workspaces, for example). `memory.py` keeps
the results.
"""

from __future__ import annotations

import argparse
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from infrope_env.config import WAN_1_3B, WAN_14B, ModelConfig, Sampler, Window
from infrope_env.control.actions import Transition
from infrope_env.dynamics.rollout import Rollout
from infrope_env.dynamics.transformer import CausalWanTransformer
from infrope_env.models.wan.memory import DecoderMemory
from infrope_env.models.wan.offload import halves
from infrope_env.pixels.taehv import TAEHV
from infrope_env.pixels.wan_vae import WanVAE, lay_out_for_gpu

META = torch.device("meta")
PICTURE_FRAMES = 9
LAYERS = 2
CASES = (
    (WAN_1_3B, Window()),
    (WAN_1_3B, Window.from_size(6, block=1)),
    (WAN_1_3B, Window.from_size(12, sink=3)),
    (WAN_14B, Window()),
)
"""Generators and windows whose working memory is compared with the formula of `memory.py`."""


class LiveBytes(TorchDispatchMode):
    """Bytes of all tensors on one kind of device that are made while the mode is on and are still alive.

    Attributes:
        now: Bytes at present.
        peak: Most bytes at once since the last `mark`.
    """

    def __init__(self, device_type: str = "meta") -> None:
        super().__init__()
        self.now, self.peak = 0, 0
        self._device_type = device_type
        self._sizes: dict[int, int] = {}  # by address of the storage

    def mark(self) -> int:
        """Forget the peak, and return the bytes at present."""
        self.peak = self.now
        return self.now

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation and count the storages of its results that are new."""
        result = func(*args, **(kwargs or {}))
        for tensor in tree_iter(result):
            if isinstance(tensor, Tensor) and tensor.device.type == self._device_type:
                self._add(tensor.untyped_storage())
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        if storage._cdata not in self._sizes:
            self._sizes[storage._cdata] = storage.nbytes()
            weakref.finalize(storage, self._remove, storage._cdata)
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)

    def _remove(self, address: int) -> None:
        self.now -= self._sizes.pop(address)


def working_bytes(config: ModelConfig, window: Window, steps: tuple[int, ...] = Sampler().steps) -> int:
    """Return the most bytes that blocks take beyond weights, cache, window and text, with the cache full.

    Layers reuse each other's bytes, so two of them give the peak of all; the rotation of cached keys, of which many
    layers share a call, is bounded by `dynamics.cache.ROTATED_AT_ONCE`.
    """
    live = LiveBytes()
    with live:
        with META:
            network = CausalWanTransformer(replace(config, num_layers=LAYERS)).to(torch.bfloat16)
        rollout = Rollout(network.requires_grad_(False), window, Sampler(steps=steps))
        embedding = torch.empty(1, config.text_len, config.text_dim, dtype=torch.bfloat16, device=META)
        rollout.advance(embedding, Transition.START)
        at_rest = live.mark()
        for _ in range(-(-window.size // window.block)):
            rollout.advance(embedding, Transition.CONTINUE)
    return live.peak - at_rest


def fast_decoder() -> TAEHV:
    """Return taew2_1's network as it runs on a GPU, on the meta device."""
    with META:
        decoder = TAEHV()
    decoder.encoder = nn.Sequential()
    return decoder.to(torch.float16, memory_format=torch.channels_last)  # type: ignore[call-overload]


def full_vae() -> WanVAE:
    """Return the full VAE as it runs on a GPU, on the meta device."""
    from diffusers import AutoencoderKLWan

    with META:
        network = AutoencoderKLWan().half()
    return WanVAE(lay_out_for_gpu(network))


DECODERS: dict[str, Callable[[], TAEHV | WanVAE]] = {"taew2_1": fast_decoder, "wan_vae": full_vae}


@torch.inference_mode()
def measure_decoder(make: Callable[[], TAEHV | WanVAE], config: ModelConfig = WAN_1_3B) -> DecoderMemory:
    """Return the memory of a decoder while it decodes blocks after the first."""
    live = LiveBytes()
    with live:
        decoder = make()
        weights = live.now
        latents = torch.empty(1, 3, config.latent_channels, *config.latent_size, device=META)
        _, state = decoder.decode(latents, None)
        before = live.mark()
        _, state = decoder.decode(latents, state)
    kept = sum(tensor.nbytes for tensor in state)
    networks, _ = halves(decoder)
    decoding_weights = sum(parameter.nbytes for network in networks for parameter in network.parameters())
    return DecoderMemory(weights, decoding_weights, kept, live.peak - before)


@torch.inference_mode()
def measure_encoder(config: ModelConfig = WAN_1_3B) -> int:
    """Return the most bytes that the full VAE takes, weights included, while it encodes a picture."""
    live = LiveBytes()
    with live:
        encoder = full_vae()
        encoder.encode(torch.empty(1, PICTURE_FRAMES, 3, *(8 * side for side in config.latent_size)))
    return live.peak


def main() -> None:
    """Print every number that `memory.py` keeps."""
    argparse.ArgumentParser(description="Measure Wan's GPU memory at full size, without a GPU.").parse_args()
    for name, make in DECODERS.items():
        print(f"{name}: {measure_decoder(make)}")
    print(f"encoder: {measure_encoder():_}")
    for config, window in CASES:
        tokens = window.block * config.tokens_per_frame
        found = working_bytes(config, window)
        print(f"{config.dim} {window.size} {window.block}: {found:_}, {found / tokens:.1f} bytes for each token")


if __name__ == "__main__":
    main()
