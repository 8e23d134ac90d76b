"""The order of attention's kernels is explicit on Hopper, PyTorch's elsewhere, and the one taken has a name."""

from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from infrope_env.dynamics import attention
from infrope_env.dynamics.attention import HOPPER_ORDER, attention_order, attention_taken
from infrope_env.dynamics.rollout import Rollout
from tests.dynamics.small_engine import CONTINUE, START, play, small_model

CPU = torch.device("cpu")


def inputs() -> list[Tensor]:
    return [torch.randn(1, 2, n, 16, generator=torch.Generator().manual_seed(n)) for n in (6, 12, 12)]


def test_a_cpu_takes_what_pytorch_chooses() -> None:
    assert isinstance(attention_order(CPU), nullcontext)
    assert attention_taken(*inputs()) == "flash"
    with sdpa_kernel(SDPBackend.MATH):
        assert attention_taken(*inputs()) == "math"


def test_hopper_has_an_order_of_its_own_during_passes_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of a GPU changes nothing on a CPU, so here it can be observed without one."""
    before, during = torch._C._get_sdp_priority_order(), []
    expected = play(Rollout(small_model()), [START, CONTINUE])
    attend = F.scaled_dot_product_attention

    def watched(*arguments: Tensor) -> Tensor:
        during.append(torch._C._get_sdp_priority_order())
        return attend(*arguments)

    monkeypatch.setattr(attention, "_is_hopper", lambda device: True)
    monkeypatch.setattr(F, "scaled_dot_product_attention", watched)
    assert torch.equal(play(Rollout(small_model()), [START, CONTINUE]), expected)
    first = [int(backend.value) for backend in HOPPER_ORDER]
    assert during and all(order[: len(first)] == first for order in during)
    assert torch._C._get_sdp_priority_order() == before
