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
    """Three numbers per text, and a list of what was asked for."""

    text_len, text_dim = 2, 3

    def __init__(self, fingerprint: str = "one", dtype: torch.dtype = torch.float32) -> None:
        self.fingerprint, self.dtype, self.asked = fingerprint, dtype, []

    def __call__(self, texts: list[str]) -> torch.Tensor:
        self.asked += texts
        rows = torch.zeros(len(texts), 2, 3, dtype=self.dtype)
        for i, text in enumerate(texts):
            rows[i, 0] = torch.tensor([len(text), len(self.fingerprint), 0.5], dtype=self.dtype)
        return rows


def test_a_text_is_encoded_once():
    bank = PromptCache(encoder := CountingEncoder())
    first = bank["a fox"]
    assert first.shape == (1, 2, 3)
    assert bank["a fox"] is first and bank.embedding("a fox") is first
    assert encoder.asked == ["a fox"]


def test_encoding_ahead_asks_one_by_one_and_never_again():
    bank = PromptCache(encoder := CountingEncoder())
    bank.encode_all(["a", "b", "a"])
    bank["b"]
    assert encoder.asked == ["a", "b"]


def test_memory_is_bounded_and_forgets_what_was_used_longest_ago():
    bank = PromptCache(encoder := CountingEncoder(), capacity=2)
    for text in ("a", "b", "a", "c", "a", "b"):
        bank[text]
    assert len(bank) == 2
    assert encoder.asked == ["a", "b", "c", "b"]


def test_the_disk_serves_the_next_process(tmp_path):
    kept = PromptCache(CountingEncoder(dtype=torch.bfloat16), tmp_path / "new" / "folder")["a fox"]
    later = PromptCache(encoder := CountingEncoder(dtype=torch.bfloat16), tmp_path / "new" / "folder")["a fox"]
    assert later.equal(kept) and later.dtype is torch.bfloat16
    assert encoder.asked == []


def test_another_encoder_never_reads_these_embeddings(tmp_path):
    PromptCache(CountingEncoder("one"), tmp_path)["a fox"]
    PromptCache(other := CountingEncoder("other"), tmp_path)["a fox"]
    assert other.asked == ["a fox"]
    assert len(list(tmp_path.glob("*/*.safetensors"))) == 2


@pytest.mark.parametrize("damage", ["empty", "cut short", "one bit", "no safetensors", "another shape"])
def test_a_damaged_file_is_encoded_again_and_mended(tmp_path, damage):
    PromptCache(CountingEncoder(), tmp_path)["a fox"]
    (file,) = tmp_path.glob("*/*.safetensors")
    data = file.read_bytes()
    if damage == "another shape":
        wide = CountingEncoder()
        wide.text_len = 5
        assert PromptCache(wide, tmp_path)["a fox"] is not None
        assert wide.asked == ["a fox"]
        return
    flipped = data[:-3] + bytes([data[-3] ^ 1]) + data[-2:]
    file.write_bytes({"empty": b"", "cut short": data[:-4], "one bit": flipped, "no safetensors": b"x" * 99}[damage])
    again = PromptCache(encoder := CountingEncoder(), tmp_path)["a fox"]
    assert encoder.asked == ["a fox"]
    assert again.equal(CountingEncoder()(["a fox"]))
    assert file.read_bytes() == data


def test_nothing_is_left_beside_the_kept_files(tmp_path):
    PromptCache(CountingEncoder(), tmp_path).encode_all(["a", "b", "c"])
    assert {file.suffix for file in tmp_path.glob("*/*")} == {".safetensors"}
    assert len(list(tmp_path.glob("*/*"))) == 3


def test_a_folder_that_cannot_be_written_warns_and_play_goes_on(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(UserWarning, match="was not kept in"):
        embedding = PromptCache(CountingEncoder(), tmp_path / "file")["a fox"]
    assert embedding.shape == (1, 2, 3)


def test_a_write_that_fails_leaves_no_half_file(tmp_path, monkeypatch):
    def refuse(*names):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", refuse)
    with pytest.warns(UserWarning, match="No space left on device"):
        PromptCache(CountingEncoder(), tmp_path)["a fox"]
    assert list(tmp_path.glob("*/*")) == []


def test_embeddings_are_handed_out_on_the_device_asked_for(tmp_path):
    PromptCache(CountingEncoder(), tmp_path)["a fox"]
    for folder in (None, tmp_path):
        assert PromptCache(CountingEncoder(), folder, device="meta")["a fox"].device.type == "meta"


def test_a_refused_text_is_not_remembered():
    encoder = PocketTextEncoder.from_words(["a fox"], PocketTextConfig(16, 1, 2, 4, 8))
    bank = PromptCache(encoder)
    for _ in range(2):
        with pytest.raises(ValueError, match="dragon"):
            bank["a dragon"]
    assert len(bank) == 0


def test_a_bank_without_room_is_refused():
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
    assert encoder.asked == []
    assert [process.exitcode for process in processes] == [0, 0]


class LargeEncoder(CountingEncoder):
    """One that can be let go, and counts how often it was."""

    released = 0

    def release(self) -> None:
        self.released += 1


def test_a_large_encoder_is_let_go_after_its_work_and_not_for_nothing(tmp_path):
    bank = PromptCache(encoder := LargeEncoder(), tmp_path)
    bank.encode_all(["a", "b"])
    assert encoder.released == 1
    bank.encode_all(["a", "b"])
    bank["a"]
    PromptCache(encoder, tmp_path)["b"]
    assert encoder.released == 1
    bank["c"]
    assert encoder.released == 2
    PromptCache(kept := LargeEncoder(), keep_encoder=True)["a"]
    assert kept.released == 0


def test_a_large_encoder_is_let_go_when_a_text_is_refused():
    with pytest.raises(TypeError):
        PromptCache(encoder := LargeEncoder()).encode_all(["a", None])
    assert encoder.released == 1


def test_progress_is_told_before_and_after_each_text_that_must_be_encoded(tmp_path):
    bank, told = PromptCache(CountingEncoder(), tmp_path), []
    bank["b"]
    bank.encode_all(["a", "b", "c", "a"], report=lambda done, total: told.append((done, total)))
    assert told == [(0, 2), (1, 2), (2, 2)]
    bank.encode_all(["a", "b"], report=lambda *_: pytest.fail("nothing to encode"))


def test_a_file_says_what_it_is_and_holds_no_zero_rows(tmp_path):
    PromptCache(CountingEncoder("one"), tmp_path)["a fox"]
    (file,) = tmp_path.glob("*/*.safetensors")
    with safe_open(file, framework="pt") as content:
        notes, rows = json.loads(content.metadata()["infrope"]), content.get_tensor("embedding")
    assert (notes["text"], notes["fingerprint"], notes["text_len"]) == ("a fox", "one", 2)
    assert rows.shape == (1, 3)


def test_an_embedding_of_zeros_only_comes_back(tmp_path):
    def nothing(texts):
        return torch.zeros(len(texts), 2, 3)

    nothing.fingerprint, nothing.text_len, nothing.text_dim = "nothing", 2, 3
    PromptCache(nothing, tmp_path)[""]
    kept = PromptCache(encoder := CountingEncoder("nothing"), tmp_path)[""]
    assert kept.shape == (1, 2, 3) and kept.eq(0).all() and encoder.asked == []


def test_the_encoders_of_a_folder_are_known_by_what_they_left(tmp_path):
    for age, name in ((20, "one"), (10, "other")):
        PromptCache(CountingEncoder(name), tmp_path)["a fox"]
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    assert stored_encoders(tmp_path) == (EncoderId("other", 2, 3), EncoderId("one", 2, 3))
    (file,) = (tmp_path / "other").iterdir()
    file.write_bytes(b"damaged")
    assert stored_encoders(tmp_path) == (EncoderId("one", 2, 3),)
    assert stored_encoders(tmp_path / "nowhere") == ()


def test_embeddings_are_kept_in_the_user_s_cache_or_where_the_variable_says(monkeypatch):
    monkeypatch.delenv("INFROPE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert default_folder() == Path("/cache/infrope/prompts")
    monkeypatch.setenv("INFROPE_CACHE", "/elsewhere")
    assert default_folder() == Path("/elsewhere/prompts")
    monkeypatch.setenv("INFROPE_CACHE", "~/mine")
    assert default_folder() == Path.home() / "mine" / "prompts"
