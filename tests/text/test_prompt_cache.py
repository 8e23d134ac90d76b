"""Every text is encoded once: embeddings stay in memory and on disk, whole and checked."""

import json
import multiprocessing
import os
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from infrope_env.text.encoder import PocketTextConfig, PocketTextEncoder
from infrope_env.text.prompt_cache import PromptCache
from infrope_env.text.prompt_files import EncoderId, default_folder, stored_encoders


class CountingEncoder:
    """Encoder that gives three numbers per text, and lists the texts it encoded."""

    text_len, text_dim = 2, 3

    def __init__(self, fingerprint: str = "one", dtype: torch.dtype = torch.float32) -> None:
        self.fingerprint, self.dtype, self.encoded = fingerprint, dtype, []

    def __call__(self, texts: list[str]) -> torch.Tensor:
        self.encoded += texts
        rows = torch.zeros(len(texts), 2, 3, dtype=self.dtype)
        for i, text in enumerate(texts):
            rows[i, 0] = torch.tensor([len(text), len(self.fingerprint), 0.5], dtype=self.dtype)
        return rows


def test_a_text_is_encoded_once():
    cache = PromptCache(encoder := CountingEncoder())
    first = cache["a fox"]
    assert first.shape == (1, 2, 3)
    assert cache["a fox"] is first and cache.embedding("a fox") is first
    assert encoder.encoded == ["a fox"]


def test_encoding_ahead_encodes_every_text_once():
    cache = PromptCache(encoder := CountingEncoder())
    cache.encode_all(["a", "b", "a"])
    cache["b"]
    assert encoder.encoded == ["a", "b"]


def test_memory_is_bounded_and_drops_the_least_recently_used():
    cache = PromptCache(encoder := CountingEncoder(), capacity=2)
    for text in ("a", "b", "a", "c", "a", "b"):
        cache[text]
    assert len(cache) == 2
    assert encoder.encoded == ["a", "b", "c", "b"]


def test_the_next_process_reads_the_embedding_from_disk(tmp_path):
    kept = PromptCache(CountingEncoder(dtype=torch.bfloat16), tmp_path / "new" / "folder")["a fox"]
    later = PromptCache(encoder := CountingEncoder(dtype=torch.bfloat16), tmp_path / "new" / "folder")["a fox"]
    assert later.equal(kept) and later.dtype is torch.bfloat16
    assert encoder.encoded == []


def test_another_encoder_never_reads_these_embeddings(tmp_path):
    PromptCache(CountingEncoder("one"), tmp_path)["a fox"]
    PromptCache(other := CountingEncoder("other"), tmp_path)["a fox"]
    assert other.encoded == ["a fox"]
    assert len(list(tmp_path.glob("*/*.safetensors"))) == 2


@pytest.mark.parametrize("damage", ["empty", "cut short", "one bit", "no safetensors", "another shape"])
def test_a_damaged_file_is_encoded_and_written_again(tmp_path, damage):
    PromptCache(CountingEncoder(), tmp_path)["a fox"]
    (file,) = tmp_path.glob("*/*.safetensors")
    data = file.read_bytes()
    if damage == "another shape":
        wide = CountingEncoder()
        wide.text_len = 5
        assert PromptCache(wide, tmp_path)["a fox"] is not None
        assert wide.encoded == ["a fox"]
        return
    flipped = data[:-3] + bytes([data[-3] ^ 1]) + data[-2:]
    file.write_bytes({"empty": b"", "cut short": data[:-4], "one bit": flipped, "no safetensors": b"x" * 99}[damage])
    again = PromptCache(encoder := CountingEncoder(), tmp_path)["a fox"]
    assert encoder.encoded == ["a fox"]
    assert again.equal(CountingEncoder()(["a fox"]))
    assert file.read_bytes() == data


def test_no_temporary_files_are_left(tmp_path):
    PromptCache(CountingEncoder(), tmp_path).encode_all(["a", "b", "c"])
    assert {file.suffix for file in tmp_path.glob("*/*")} == {".safetensors"}
    assert len(list(tmp_path.glob("*/*"))) == 3


def test_a_folder_that_cannot_be_written_gives_a_warning_and_the_embedding(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(UserWarning, match="was not kept in"):
        embedding = PromptCache(CountingEncoder(), tmp_path / "file")["a fox"]
    assert embedding.shape == (1, 2, 3)


def test_a_failed_write_leaves_no_file(tmp_path, monkeypatch):
    def refuse(*names):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", refuse)
    with pytest.warns(UserWarning, match="No space left on device"):
        PromptCache(CountingEncoder(), tmp_path)["a fox"]
    assert list(tmp_path.glob("*/*")) == []


def test_embeddings_are_in_host_memory_pinned_where_a_gpu_plays(tmp_path, monkeypatch):
    pinned = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: pinned.append(tensor.device.type) or tensor)
    PromptCache(CountingEncoder(), tmp_path)["a fox"]
    assert pinned == []
    for folder in (None, tmp_path):
        cache = PromptCache(CountingEncoder(), folder, pin=True)
        assert cache["a fox"] is cache["a fox"] and cache["a fox"].device.type == "cpu"
    assert pinned == ["cpu", "cpu"]  # once per text and cache: no block after the first pays for it


def test_a_refused_text_is_not_cached():
    encoder = PocketTextEncoder.from_words(["a fox"], PocketTextConfig(16, 1, 2, 4, 8))
    cache = PromptCache(encoder)
    for _ in range(2):
        with pytest.raises(ValueError, match="dragon"):
            cache["a dragon"]
    assert len(cache) == 0


def test_a_capacity_of_zero_is_refused():
    with pytest.raises(ValueError, match="capacity to be at least 1, got 0"):
        PromptCache(CountingEncoder(), capacity=0)


def fill(folder) -> None:
    PromptCache(CountingEncoder(), folder).encode_all([f"text {i}" for i in range(20)])


def test_two_processes_may_fill_one_folder(tmp_path):
    processes = [multiprocessing.get_context("fork").Process(target=fill, args=(tmp_path,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    PromptCache(encoder := CountingEncoder(), tmp_path).encode_all([f"text {i}" for i in range(20)])
    assert encoder.encoded == []
    assert [process.exitcode for process in processes] == [0, 0]


class LargeEncoder(CountingEncoder):
    """Encoder that can be released, and counts how often it was."""

    released = 0

    def release(self) -> None:
        self.released += 1


def test_an_encoder_is_released_after_new_texts_only(tmp_path):
    cache = PromptCache(encoder := LargeEncoder(), tmp_path)
    cache.encode_all(["a", "b"])
    assert encoder.released == 1
    cache.encode_all(["a", "b"])
    cache["a"]
    PromptCache(encoder, tmp_path)["b"]
    assert encoder.released == 1
    cache["c"]
    assert encoder.released == 2
    PromptCache(kept := LargeEncoder(), keep_encoder=True)["a"]
    assert kept.released == 0


def test_an_encoder_is_released_when_a_text_is_refused():
    with pytest.raises(TypeError):
        PromptCache(encoder := LargeEncoder()).encode_all(["a", None])
    assert encoder.released == 1


def test_progress_is_reported_before_each_new_text_and_after_the_last(tmp_path):
    cache, reports = PromptCache(CountingEncoder(), tmp_path), []
    cache["b"]
    cache.encode_all(["a", "b", "c", "a"], report=lambda done, total: reports.append((done, total)))
    assert reports == [(0, 2), (1, 2), (2, 2)]
    cache.encode_all(["a", "b"], report=lambda *_: pytest.fail("nothing to encode"))


def test_a_file_has_its_metadata_and_no_trailing_zero_rows(tmp_path):
    PromptCache(CountingEncoder("one"), tmp_path)["a fox"]
    (file,) = tmp_path.glob("*/*.safetensors")
    with safe_open(file, framework="pt") as content:
        metadata, rows = json.loads(content.metadata()["infrope"]), content.get_tensor("embedding")
    assert (metadata["text"], metadata["fingerprint"], metadata["text_len"]) == ("a fox", "one", 2)
    assert rows.shape == (1, 3)


def test_an_embedding_of_zeros_is_stored_and_read(tmp_path):
    def zeros(texts):
        return torch.zeros(len(texts), 2, 3)

    zeros.fingerprint, zeros.text_len, zeros.text_dim = "zeros", 2, 3
    PromptCache(zeros, tmp_path)[""]
    kept = PromptCache(encoder := CountingEncoder("zeros"), tmp_path)[""]
    assert kept.shape == (1, 2, 3) and kept.eq(0).all() and encoder.encoded == []


def test_the_encoders_of_a_folder_are_read_from_its_embeddings(tmp_path):
    for age, name in ((20, "one"), (10, "other")):
        PromptCache(CountingEncoder(name), tmp_path)["a fox"]
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    assert stored_encoders(tmp_path) == (EncoderId("other", 2, 3), EncoderId("one", 2, 3))
    (file,) = (tmp_path / "other").iterdir()
    file.write_bytes(b"damaged")
    assert stored_encoders(tmp_path) == (EncoderId("one", 2, 3),)
    assert stored_encoders(tmp_path / "nowhere") == ()


def test_the_default_folder_is_in_the_users_cache(monkeypatch):
    monkeypatch.delenv("INFROPE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert default_folder() == Path("/cache/infrope/prompts")
    monkeypatch.setenv("INFROPE_CACHE", "/elsewhere")
    assert default_folder() == Path("/elsewhere/prompts")
    monkeypatch.setenv("INFROPE_CACHE", "~/mine")
    assert default_folder() == Path.home() / "mine" / "prompts"
