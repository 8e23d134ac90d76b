"""Weights travel layer by layer: in order, prepared, and never more than two layers at a time."""

import threading
import time

import pytest
import torch
from torch import Tensor

from infrope_env.text.layer_stream import LayerStream

CPU, META = torch.device("cpu"), torch.device("meta")
LAYERS = [{"weight": torch.full((3, 5), float(i), dtype=torch.bfloat16), "norm": torch.ones(5)} for i in range(5)]


def test_layers_come_in_order_in_the_wanted_dtype() -> None:
    stream = LayerStream(LAYERS, CPU, torch.float32)
    for _ in range(2):  # it can be read again
        seen = [(weights["weight"].dtype, float(weights["weight"].mean())) for weights in stream]
        assert seen == [(torch.float32, float(i)) for i in range(5)]


def test_memory_holds_two_layers_however_many_there_are() -> None:
    stream = LayerStream(LAYERS, CPU, torch.float32)
    assert len({weights["weight"].data_ptr() for weights in stream}) == 2
    assert stream.host_bytes == 2 * 4 * (15 + 5) and LayerStream(LAYERS[:1], CPU, torch.float32).host_bytes == 80


def test_a_layer_stays_as_it_is_until_the_next_one_is_asked_for() -> None:
    for i, weights in enumerate(LayerStream(LAYERS, CPU, torch.float32)):
        time.sleep(0.02)  # the next layer is read meanwhile
        assert weights["weight"].eq(i).all()


def test_every_weight_is_prepared_under_its_name() -> None:
    def double_weights(name: str, weight: Tensor) -> Tensor:
        return 2 * weight if name == "weight" else weight

    stream = LayerStream(LAYERS, CPU, torch.float32, prepare=double_weights)
    assert [(float(w["weight"][0, 0]), float(w["norm"][0])) for w in stream] == [(2.0 * i, 1.0) for i in range(5)]


def test_another_device_has_one_layer_and_receives_it_in_the_stored_dtype(monkeypatch: pytest.MonkeyPatch) -> None:
    travelled: list[torch.dtype] = []
    send = LayerStream._send

    def spy(self: LayerStream, slot: dict[str, Tensor], on_device: dict[str, Tensor]) -> object:
        travelled.append(slot["weight"].dtype)
        return send(self, slot, on_device)

    monkeypatch.setattr(LayerStream, "_send", spy)
    stream = LayerStream(LAYERS, META, torch.float32, host_dtype=torch.bfloat16)
    places = [weights["weight"] for weights in stream]
    assert {(place.device.type, place.dtype) for place in places} == {("meta", torch.float32)}
    assert len({id(place) for place in places}) == 1 and travelled == [torch.bfloat16] * 5
    assert (stream.host_bytes, stream.device_bytes) == (2 * 2 * 20, 4 * 20 + 2 * 15)


def test_a_slot_is_filled_again_only_after_its_layer_has_arrived(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str] = []

    class Arrival:
        def __init__(self, layer: int) -> None:
            self.layer = layer

        def synchronize(self) -> None:
            log.append(f"{self.layer} arrived")

    sent: list[Arrival] = []
    monkeypatch.setattr(LayerStream, "_send", lambda *_: sent.append(Arrival(len(sent))) or sent[-1])
    list(LayerStream(LAYERS, META, torch.float32))
    assert log == ["0 arrived", "1 arrived", "2 arrived"]  # before layers 2, 3 and 4 are read


def test_a_reader_that_gives_up_leaves_no_thread() -> None:
    before = threading.active_count()
    stream = iter(LayerStream(LAYERS, CPU, torch.float32))
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_a_weight_that_cannot_be_read_is_an_error_of_the_reader() -> None:
    def fail(name: str, weight: Tensor) -> Tensor:
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(LayerStream(LAYERS, CPU, torch.float32, prepare=fail))
