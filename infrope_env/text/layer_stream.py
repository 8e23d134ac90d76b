"""The weights of a deep network, one layer at a time.

The files stay mapped. While one layer computes, a thread reads the next one into host memory, which is pinned where a
GPU computes. Memory holds two layers, however deep the network is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

Layer = Mapping[str, Tensor]
SLOTS = 2  # layers in host memory: one computes or travels, one is read


class LayerStream:
    """Layers that are read again at every iteration.

    Attributes:
        layers: Weights of every layer, mapped from disk; all layers have the same names and shapes.
        device: Where the weights are needed.
        dtype: Dtype in which they are needed.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        device: torch.device,
        dtype: torch.dtype,
        *,
        prepare: Callable[[str, Tensor], Tensor] = lambda name, weight: weight,
        host_dtype: torch.dtype | None = None,
    ) -> None:
        """Describe the stream; nothing is read yet.

        Args:
            layers: See the attribute.
            device: See the attribute.
            dtype: See the attribute.
            prepare: Function of a name and a weight as it is stored, which returns the weight to use.
            host_dtype: Dtype in which weights travel to a device that is not the CPU. Default `dtype`.
        """
        self.layers, self.device, self.dtype = layers, device, dtype
        self._prepare = prepare
        self._host_dtype = dtype if host_dtype is None or device.type == "cpu" else host_dtype

    @property
    def host_bytes(self) -> int:
        """Bytes of host memory that an iteration takes."""
        return min(SLOTS, len(self.layers)) * self._layer_numbers * self._host_dtype.itemsize

    @property
    def device_bytes(self) -> int:
        """Bytes on a device that is not the CPU: one layer, and its largest weight while it travels."""
        largest = max(weight.numel() for weight in self.layers[0].values())
        return self._layer_numbers * self.dtype.itemsize + largest * self._host_dtype.itemsize

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        """Yield the weights of every layer in order, each until the next one is asked for."""
        slots = [self._empty_layer("cpu", self._host_dtype) for _ in range(min(SLOTS, len(self.layers)))]
        arrived: list[torch.cuda.Event | None] = [None] * len(slots)
        on_device = None if self.device.type == "cpu" else self._empty_layer(self.device, self.dtype)
        with ThreadPoolExecutor(1, "infrope weights") as reader:
            coming = reader.submit(self._read, 0, slots[0], None)
            for index in range(len(self.layers)):
                slot = coming.result()
                if index + 1 < len(self.layers):
                    free = (index + 1) % len(slots)
                    coming = reader.submit(self._read, index + 1, slots[free], arrived[free])
                if on_device is not None:
                    arrived[index % len(slots)] = self._send(slot, on_device)
                yield slot if on_device is None else on_device

    @property
    def _layer_numbers(self) -> int:
        return sum(weight.numel() for weight in self.layers[0].values())

    def _empty_layer(self, device: torch.device | str, dtype: torch.dtype) -> dict[str, Tensor]:
        pin = self.device.type == "cuda" and device == "cpu"
        return {
            name: torch.empty(weight.shape, dtype=dtype, device=device, pin_memory=pin)
            for name, weight in self.layers[0].items()
        }

    def _read(self, index: int, slot: dict[str, Tensor], arrived: torch.cuda.Event | None) -> dict[str, Tensor]:
        """Fill a slot with a layer, after the layer that it held has arrived on the device."""
        if arrived is not None:
            arrived.synchronize()
        for name, weight in self.layers[index].items():
            slot[name].copy_(self._prepare(name, weight))
        return slot

    def _send(self, slot: dict[str, Tensor], on_device: dict[str, Tensor]) -> torch.cuda.Event | None:
        """Copy a layer to the device; return the event of its arrival where the copy is asynchronous."""
        for name, weight in slot.items():
            on_device[name].copy_(weight.to(self.device, non_blocking=True))
        if self.device.type != "cuda":
            return None
        event = torch.cuda.Event()
        event.record(torch.cuda.current_stream(self.device))
        return event
