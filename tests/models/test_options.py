"""Devices and dtypes are checked when a model is loaded; each refusal and each substitute is one sentence."""

import logging
from contextlib import nullcontext

import pytest
import torch

from infrope_env.models.options import LoadOptions, fast_dtype

CUDA = torch.device("cuda")


@pytest.mark.parametrize(
    ("device", "sentence"),
    [
        ("mps", r"need float64, which 'mps' lacks\. Pass device='cpu'\."),
        ("mps:0", r"which 'mps:0' lacks"),
        ("xpu", r"expected device to be 'cpu', 'cuda' or 'cuda:1', got 'xpu'"),
        ("toaster", r"expected device to be 'cpu', 'cuda' or 'cuda:1', got 'toaster'"),
    ],
)
def test_a_device_that_cannot_compute_it_is_refused(device: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        LoadOptions(device=device).device_and_dtype()


def pretend_gpu(monkeypatch: pytest.MonkeyPatch, bfloat16: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "device", lambda _: nullcontext())
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "GeForce RTX 2080")
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: bfloat16 or including_emulation
    )


def test_a_gpu_without_bfloat16_computes_in_float16_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    pretend_gpu(monkeypatch, bfloat16=False)
    assert LoadOptions().device_and_dtype() == (CUDA, torch.float16)
    assert caplog.messages == ["GeForce RTX 2080 has no bfloat16 of its own: computing in float16."]
    caplog.clear()
    assert LoadOptions(dtype="bfloat16").device_and_dtype() == (CUDA, torch.bfloat16)
    assert caplog.messages == ["GeForce RTX 2080 emulates bfloat16, which is slow. Pass dtype='float16'."]


def test_a_gpu_with_bfloat16_computes_in_it(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    pretend_gpu(monkeypatch, bfloat16=True)
    assert LoadOptions().device_and_dtype() == (CUDA, torch.bfloat16)
    assert fast_dtype(CUDA) is torch.bfloat16 and not caplog.messages
