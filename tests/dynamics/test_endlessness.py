"""A rollout has no end: its memory does not grow, and no block waits for a number from the device."""

import gc
import tracemalloc

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from infrope_env.config import Sampler
from infrope_env.dynamics.rollout import Rollout
from tests.dynamics.small_engine import CONTINUE, CUT, START, SWITCH, prompt, small_model


@pytest.fixture(scope="module")
def model():
    return small_model()


def test_300_blocks_need_no_more_memory_than_30(model):
    rollout, embedding = Rollout(model, sampler=Sampler((1000,))), prompt(0)
    addresses = _addresses(rollout)
    tracemalloc.start()
    try:
        sizes = []
        for index in range(300):
            rollout.advance(embedding, (CONTINUE, SWITCH, CUT)[index % 3])
            if index in (30, 299):
                sizes.append((_tensor_bytes(), _own_bytes()))
    finally:
        tracemalloc.stop()
    (tensors, python), (tensors_later, python_later) = sizes
    assert tensors_later <= tensors
    assert python_later - python < 50_000
    assert _addresses(rollout) == addresses


def _addresses(rollout: Rollout) -> list[int]:
    return [tensor.data_ptr() for tensor in (rollout.cache.keys, rollout.cache.values, rollout._buffers._keys)]


def _own_bytes() -> int:
    """Return the bytes that the package's own lines hold; other tests' threads may allocate meanwhile."""
    own = tracemalloc.Filter(True, "*/infrope_env/*")
    return sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces([own]).traces)


def _tensor_bytes() -> int:
    gc.collect()
    return sum(x.numel() * x.element_size() for x in gc.get_objects() if type(x) is torch.Tensor)


class ForbidDeviceReads(TorchDispatchMode):
    """Dispatch mode that fails when a number is read back from the device."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert func not in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.item.default), func
        return func(*args, **(kwargs or {}))


def test_a_block_never_waits_for_a_number_from_the_device(model):
    rollout = Rollout(model)
    with ForbidDeviceReads():
        for transition in (START, CONTINUE, SWITCH, CONTINUE, CUT, CONTINUE):
            rollout.advance(prompt(0), transition)
        with pytest.raises(AssertionError):
            torch.ones(1).item()
