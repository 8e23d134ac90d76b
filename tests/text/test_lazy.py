"""Text encoders that are loaded on demand, or whose files are missing."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from infrope_env.errors import WeightsError
from infrope_env.models.wan.memory import TEXT_BYTES
from infrope_env.text.encoder import TextEncoderAbsent
from infrope_env.text.lazy import IN_PLAY_BYTES, AbsentTextEncoder, LazyTextEncoder, gpu_bytes_needed
from infrope_env.text.prompt_cache import PromptCache
from infrope_env.text.turns import EncodingStopped, interrupt
from infrope_env.text.umt5 import UMT5TextEncoder
from infrope_env.text.umt5_files import UMT5Sizes
from tests.text.tiny_umt5 import PROMPT, copy_folder

MAPS = Path("/proc/self/maps")


def test_a_lazy_encoder_has_its_identity_before_it_is_loaded(twin: Path, encoder: UMT5TextEncoder) -> None:
    lazy = LazyTextEncoder(twin, dtype="float32")
    assert (lazy.text_len, lazy.text_dim, lazy.fingerprint) == (512, 16, encoder.fingerprint)
    assert not lazy.loaded
    assert lazy([PROMPT]).equal(encoder([PROMPT])) and lazy.loaded
    lazy.release()
    assert not lazy.loaded
    assert lazy([PROMPT]).equal(encoder([PROMPT]))


@pytest.mark.skipif(not MAPS.exists(), reason="only Linux says what is mapped")
@pytest.mark.parametrize("layout", ["twin", "original"])
def test_weights_on_the_cpu_are_mapped_from_disk_and_released_ones_are_gone(
    layout: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    lazy = LazyTextEncoder(copy_folder(request.getfixturevalue(layout), tmp_path), dtype="float32")
    assert str(tmp_path) not in MAPS.read_text()
    lazy([PROMPT])
    assert str(tmp_path) in MAPS.read_text()
    lazy.release()
    assert str(tmp_path) not in MAPS.read_text()


def test_the_gpu_is_taken_when_a_layer_and_a_batch_and_more_fit(twin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lazy = LazyTextEncoder(twin)
    needed = gpu_bytes_needed(lazy._sizes)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    for free, device, batch in ((1.3 * needed, "cuda", 64), (1.1 * needed, "cpu", 4)):
        monkeypatch.setattr("torch.cuda.mem_get_info", lambda _, free=free: (free, 1e12))
        assert (lazy._pick_device(), lazy.batch_size, lazy.on_gpu) == (device, batch, device == "cuda")
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda _: (1.1 * needed + IN_PLAY_BYTES, 1e12))
    assert (lazy._pick_device(), lazy._pick_device(IN_PLAY_BYTES)) == ("cuda", "cpu")  # the generator keeps its memory
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert not lazy.on_gpu and not LazyTextEncoder(twin, device="cpu").on_gpu


def test_umt5_xxl_needs_two_gb_of_a_gpu() -> None:
    xxl = UMT5Sizes(256384, 4096, 64, 10240, 24, 64, 32)
    assert gpu_bytes_needed(xxl) == pytest.approx(TEXT_BYTES, rel=0.03)
    layer = 4 * (4 * 4096 * 4096 + 3 * 4096 * 10240)
    assert gpu_bytes_needed(xxl) - gpu_bytes_needed(xxl, 0) == 64 * 512 * 4096 * 4 and gpu_bytes_needed(xxl, 0) > layer


def test_a_gpu_that_is_full_after_all_leaves_the_text_to_the_cpu(
    twin: Path, encoder: UMT5TextEncoder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lazy, encode = LazyTextEncoder(twin, dtype="float32"), LazyTextEncoder._encode

    def full(self: LazyTextEncoder, texts: list[str], device: str, report: Callable[[float], None]) -> Tensor:
        if device == "cuda":
            raise torch.OutOfMemoryError
        return encode(self, texts, device, report)

    monkeypatch.setattr(LazyTextEncoder, "_encode", full)
    monkeypatch.setattr(LazyTextEncoder, "_fits", lambda *_: True)
    assert lazy([PROMPT]).equal(encoder([PROMPT])) and "encoding on the CPU" in caplog.text
    with pytest.raises(torch.OutOfMemoryError):
        LazyTextEncoder(twin, device="cuda")([PROMPT])


def test_background_encoding_needs_room_beside_the_generator(twin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LazyTextEncoder, "_fits", lambda *_: False)
    with pytest.raises(torch.OutOfMemoryError, match="no room for the text encoder while the world plays"):
        LazyTextEncoder(twin, device="cuda").encode_in_background([PROMPT], lambda: False, lambda _: None)


def test_background_and_foreground_make_the_same_bytes(twin: Path) -> None:
    lazy, seen = LazyTextEncoder(twin), list[float]()
    ahead = lazy.encode_in_background([PROMPT, "snow"], lambda: False, seen.append)
    assert ahead[1].equal(lazy(["snow"])[0]) and not torch.get_num_threads() > 1
    assert seen == sorted(seen) and seen[0] == 0 and 0.8 < seen[-1] < 1
    with pytest.raises(EncodingStopped):
        lazy.encode_in_background([PROMPT], lambda: True, lambda _: None)


def test_every_processor_encodes_whatever_the_number_of_threads_of_play(
    twin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infrope_env.text.lazy.processors", lambda: 3)
    used = set[int]()
    LazyTextEncoder(twin)([PROMPT], lambda _: used.add(torch.get_num_threads()))
    assert used == {3} and torch.get_num_threads() == 1


def test_another_thread_can_end_encoding_at_once(twin: Path) -> None:
    lazy, main, fractions = LazyTextEncoder(twin), threading.current_thread(), list[float]()

    def end(fraction: float) -> None:
        fractions.append(fraction)
        interrupt(main)

    with pytest.raises(EncodingStopped):
        lazy([PROMPT], end)
    assert len(fractions) == 1 and lazy([PROMPT]).isfinite().all()


@pytest.mark.skipif(os.name != "posix", reason="a signal to the process")
def test_ctrl_c_ends_encoding_at_once_and_the_encoder_stays_usable(twin: Path, encoder: UMT5TextEncoder) -> None:
    lazy, fractions = LazyTextEncoder(twin, dtype="float32"), list[float]()

    def interrupt(fraction: float) -> None:
        if not fractions:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)  # the main thread notices
        fractions.append(fraction)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        with pytest.raises(KeyboardInterrupt):
            lazy([PROMPT], interrupt)
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(fractions) == 1
    assert not any(thread.name == "infrope prompts" and thread.is_alive() for thread in threading.enumerate())
    assert lazy([PROMPT]).equal(encoder([PROMPT]))


def test_the_prompt_cache_releases_the_encoder_and_serves_without_it(twin: Path, tmp_path: Path) -> None:
    lazy, progress = LazyTextEncoder(twin), []
    prompt_cache = PromptCache(lazy, tmp_path / "prompts")
    prompt_cache.encode_all([PROMPT, "the forest", PROMPT], report=lambda done, total: progress.append((done, total)))
    assert progress[0] == (0, 2) and progress[-1] == (2, 2) and progress == sorted(progress) and not lazy.loaded
    later = PromptCache(LazyTextEncoder(twin, device="refuse"), tmp_path / "prompts")
    absent = PromptCache(AbsentTextEncoder.of(tmp_path / "prompts"), tmp_path / "prompts")
    assert later[PROMPT].equal(prompt_cache[PROMPT]) and absent[PROMPT].equal(prompt_cache[PROMPT])
    assert absent[PROMPT].shape == (1, 512, 16) and absent[PROMPT].dtype is torch.bfloat16


def test_a_new_prompt_without_an_encoder_is_refused_with_a_sentence(twin: Path, tmp_path: Path) -> None:
    prompt_cache = PromptCache(LazyTextEncoder(twin, device="refuse"), tmp_path)
    with pytest.raises(
        TextEncoderAbsent, match=r"'a fox' was never encoded before, and the text encoder is switched off"
    ):
        prompt_cache["a fox"]
    PromptCache(LazyTextEncoder(twin), tmp_path)["snow"]
    with pytest.raises(ValueError, match=r"has embeddings but no text encoder\. .* download|of Wan-AI/Wan2\.1-T2V"):
        PromptCache(AbsentTextEncoder.of(tmp_path), tmp_path)["a fox"]


def test_two_stand_ins_for_one_encoder_are_equal(twin: Path, tmp_path: Path) -> None:
    PromptCache(LazyTextEncoder(twin), tmp_path)["snow"]
    assert len({AbsentTextEncoder.of(tmp_path), AbsentTextEncoder.of(tmp_path)}) == 1  # loaded parts are found by it


def test_an_empty_folder_has_no_encoder_to_stand_in_for(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="has no embeddings: prompts must be encoded once"):
        AbsentTextEncoder.of(tmp_path / "nowhere")


def test_a_new_prompt_loads_the_encoder_again_and_it_may_be_kept(twin: Path, tmp_path: Path) -> None:
    for keep in (False, True):
        lazy = LazyTextEncoder(twin)
        PromptCache(lazy, tmp_path, keep_encoder=keep)[f"a fox {keep}"]
        assert lazy.loaded is keep
