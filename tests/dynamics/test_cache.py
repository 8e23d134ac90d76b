"""The cache stores frames by id; the buffers hold the visible ones for a block, with rotated keys."""

import pytest
import torch

from infrope_env.dynamics.cache import CacheShape, ContextBuffers, KeyValueCache
from infrope_env.dynamics.coordinates import Layout
from infrope_env.dynamics.rope import RotaryTable, rotate

SHAPE = CacheShape(layers=2, batch=1, heads=2, slots=6, tokens_per_frame=4, head_dim=12)
CPU = torch.device("cpu")
TABLE = RotaryTable(SHAPE.head_dim, rows=2, cols=2)


@pytest.fixture
def cache() -> KeyValueCache:
    return KeyValueCache(SHAPE, CPU, torch.float32)


def _frames(ids: range) -> torch.Tensor:
    """Return keys that equal the frame's id everywhere, layers b heads (frames n) head_dim."""
    values = torch.tensor(ids).float().repeat_interleave(SHAPE.tokens_per_frame)[:, None]
    return values.expand(SHAPE.layers, SHAPE.batch, SHAPE.heads, -1, SHAPE.head_dim)


def _store(cache: KeyValueCache, ids: range) -> None:
    cache.store(ids, _frames(ids), -_frames(ids))


def test_slots_hold_the_frames_that_were_stored_in_them(cache):
    _store(cache, range(3))
    cache.keep((0, 2))
    _store(cache, range(3, 6))
    assert cache.frame_ids == (0, 2, 3, 4, 5)
    for frame, slot in zip(cache.frame_ids, cache.slots, strict=True):
        assert (cache.keys[:, :, :, slot] == frame).all()
        assert (cache.values[:, :, :, slot] == -frame).all()


def test_dropping_frames_copies_nothing_and_frees_their_slots(cache):
    _store(cache, range(6))
    before = cache.keys.clone()
    cache.keep((0, 4, 5))
    assert torch.equal(cache.keys, before)
    _store(cache, range(6, 9))
    assert sorted(cache.slots) == list(range(6))


def test_a_full_cache_refuses_another_frame(cache):
    _store(cache, range(6))
    with pytest.raises(ValueError):
        _store(cache, range(6, 7))


def test_contexts_hold_the_visible_keys_rotated_and_their_values(cache):
    cache.store(range(6), torch.randn(2, 1, 2, 24, 12), torch.randn(2, 1, 2, 24, 12))
    buffers = ContextBuffers(SHAPE, block=3, device=CPU, dtype=torch.float32)
    contexts = buffers.gather(cache, Layout(slots=(0, 4, 5), context=(0, 7, 9), block=(10, 11, 12)), TABLE)
    for index, context in enumerate(contexts):
        assert context.keys.shape == context.values.shape == (1, 2, 6 * 4, 12)
        for place, (frame, coordinate) in enumerate(((0, 0), (4, 7), (5, 9))):
            tokens = slice(place * 4, place * 4 + 4)
            expected = rotate(cache.keys[index, :, :, frame], TABLE.at((coordinate,)))
            assert torch.equal(context.keys[:, :, tokens], expected)
            assert torch.equal(context.values[:, :, tokens], cache.values[index, :, :, frame])


def test_a_block_writes_its_keys_rotated_behind_the_context_and_unrotated_for_the_commit(cache):
    buffers = ContextBuffers(SHAPE, block=3, device=CPU, dtype=torch.float32)
    contexts = buffers.gather(cache, Layout((), (), (45, 46, 47)), TABLE)
    key, value = torch.randn(2, 1, 2, 12, 12).unbind()
    contexts[1].write_kv(key, value)
    assert torch.equal(contexts[1].keys, rotate(key, TABLE.at((45, 46, 47))))
    assert torch.equal(buffers.fresh_keys[1], key)
    assert torch.equal(buffers.fresh_values[1], value)


def test_a_shorter_context_hides_what_a_longer_one_gathered(cache):
    _store(cache, range(6))
    buffers = ContextBuffers(SHAPE, block=3, device=CPU, dtype=torch.float32)
    buffers.gather(cache, Layout((0, 4, 5), (0, 1, 2), (3, 4, 5)), TABLE)
    (context, _) = buffers.gather(cache, Layout((0,), (0,), (1, 2, 3)), TABLE)
    assert context.keys.shape[2] == context.values.shape[2] == 4 * SHAPE.tokens_per_frame


def test_gathering_and_writing_to_a_context_leave_the_cache_unchanged(cache):
    _store(cache, range(6))
    keys, slots = cache.keys.clone(), cache.slots
    buffers = ContextBuffers(SHAPE, block=3, device=CPU, dtype=torch.float32)
    buffers.gather(cache, Layout((0,), (0,), (1, 2, 3)), TABLE)[0].write_kv(*torch.ones(2, 1, 2, 12, 12).unbind())
    assert torch.equal(cache.keys, keys)
    assert cache.slots == slots
