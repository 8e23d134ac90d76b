"""Text encoders that are loaded on demand, or whose files are missing."""

from pathlib import Path

import pytest
import torch

from infrope_env.errors import WeightsError
from infrope_env.text.encoder import TextEncoderAbsent
from infrope_env.text.lazy import AbsentTextEncoder, LazyTextEncoder, pick_device
from infrope_env.text.prompt_cache import PromptCache
from infrope_env.text.umt5 import UMT5TextEncoder
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


def test_the_gpu_is_taken_when_the_weights_and_more_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda: (12_000, 24_000))
    assert (pick_device(9_900), pick_device(10_100)) == ("cuda", "cpu")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert pick_device(0) == "cpu"


def test_the_prompt_cache_releases_the_encoder_and_serves_without_it(twin: Path, tmp_path: Path) -> None:
    lazy, progress = LazyTextEncoder(twin), []
    prompt_cache = PromptCache(lazy, tmp_path / "prompts")
    prompt_cache.encode_all([PROMPT, "the forest", PROMPT], report=lambda done, total: progress.append((done, total)))
    assert progress == [(0, 2), (1, 2), (2, 2)] and not lazy.loaded
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
