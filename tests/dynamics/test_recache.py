"""The baseline "recache": the visible frames are encoded again under the new prompt, and nothing else changes."""

import pytest
import torch
from torch import Tensor

from infrope_env.config import Window
from infrope_env.dynamics.coordinates import lay_out
from infrope_env.dynamics.rollout import Rollout
from infrope_env.dynamics.rope import RotaryTable, rotate
from tests.dynamics.small_engine import CONTINUE, CUT, SMALL_MODEL, START, SWITCH, play, prompt, small_model

N = SMALL_MODEL.tokens_per_frame
WINDOWS = [
    Window(on_switch="recache"),
    Window.from_size(12, on_switch="recache"),
    Window.from_size(11, sink=2, on_switch="recache", coordinates="onset"),
    Window(on_switch="recache", coordinates="absolute"),
]


class BlockCausalAttention:
    """Attention of all visible frames in one pass: each sees the frames of its own block and of earlier ones."""

    def __init__(self, frames: tuple[int, ...], coordinates: tuple[int, ...], block: int) -> None:
        owner = torch.tensor(frames).div(block, rounding_mode="floor").repeat_interleave(N)
        self.mask = torch.where(owner[:, None] >= owner[None, :], 0.0, -torch.inf).double()
        table = RotaryTable(SMALL_MODEL.head_dim, SMALL_MODEL.rows, SMALL_MODEL.cols)
        self.rotation = table.at(coordinates)

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attend with tensors b heads n d."""
        self.write_kv(key, value)
        scores = rotate(query, self.rotation) @ rotate(key, self.rotation).mT / SMALL_MODEL.head_dim**0.5
        return (scores + self.mask).softmax(-1) @ value

    def write_kv(self, key: Tensor, value: Tensor) -> None:
        """Store keys and values for the comparison."""
        self.key, self.value = key, value


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("blocks", [1, 2, 6])
@torch.inference_mode()
def test_the_cache_equals_one_masked_pass_under_the_new_prompt(window: Window, blocks: int) -> None:
    model = small_model(torch.float64)
    rollout = Rollout(model, window)
    past = [rollout.advance(prompt(0).double(), START if n == 0 else CONTINUE).latents for n in range(blocks)]
    layout = lay_out(rollout.cache.frame_ids, SWITCH, window)
    visible = tuple(rollout.cache.frame_ids[slot] for slot in layout.slots)
    old = _cached(rollout, visible)
    rollout.advance(prompt(1).double(), SWITCH)

    contexts = [BlockCausalAttention(visible, layout.context, window.block) for _ in range(SMALL_MODEL.num_layers)]
    latents = torch.cat(past, dim=1)[:, list(visible)]
    model.update_cache(latents, model.modulate(torch.tensor([0.0])), model.project_text(prompt(1).double()), contexts)
    keys, values = _cached(rollout, visible)
    assert not torch.allclose(keys[1], old[0][1], atol=1e-3)
    for layer, context in enumerate(contexts):
        assert torch.allclose(keys[layer], context.key, atol=1e-5)
        assert torch.allclose(values[layer], context.value, atol=1e-5)


def _cached(rollout: Rollout, frames: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Return keys and values of cached frames, each layers b heads (frames n) head_dim."""
    slots = [rollout.cache.slot_of[frame] for frame in frames]
    return rollout.cache.keys[:, :, :, slots].flatten(3, 4), rollout.cache.values[:, :, :, slots].flatten(3, 4)


def test_without_a_prompt_change_recache_changes_nothing() -> None:
    model, story = small_model(), [START, CONTINUE, CONTINUE, CUT, CONTINUE]
    assert torch.equal(play(Rollout(model, WINDOWS[0]), story), play(Rollout(model), story))


def test_recache_differs_from_keeping_the_old_cache() -> None:
    model, story = small_model(), [START, CONTINUE, CONTINUE, SWITCH]
    recached, kept = play(Rollout(model, WINDOWS[0]), story), play(Rollout(model, Window(on_switch="none")), story)
    assert torch.equal(recached[:, :9], kept[:, :9])
    assert not torch.allclose(recached[:, 9:], kept[:, 9:], atol=1e-3)


def test_a_saved_state_holds_the_latents_of_the_cached_frames() -> None:
    rollout = Rollout(small_model(), WINDOWS[1])
    play(rollout, [START, CONTINUE, SWITCH, CONTINUE])
    state = rollout.save()
    assert tuple(state.latents) == rollout.cache.frame_ids
    first = play(rollout, [SWITCH, CONTINUE], first_prompt=3)
    rollout.restore(state)
    assert torch.equal(play(rollout, [SWITCH, CONTINUE], first_prompt=3), first)


def test_a_state_without_latents_is_refused() -> None:
    model = small_model()
    plain, rollout = Rollout(model), Rollout(model, WINDOWS[0])
    play(plain, [START, CONTINUE])
    assert not plain.save().latents
    with pytest.raises(ValueError, match="expected a state with latents"):
        rollout.restore(plain.save())


def test_an_interrupted_block_leaves_the_rollout_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model()
    rollout, undisturbed = Rollout(model, WINDOWS[0]), Rollout(model, WINDOWS[0])
    for each in (rollout, undisturbed):
        play(each, [START, CONTINUE, CONTINUE])
    with monkeypatch.context() as patch:
        patch.setattr(model, "forward", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            rollout.advance(prompt(9), SWITCH)
    assert torch.equal(play(rollout, [CONTINUE, SWITCH]), play(undisturbed, [CONTINUE, SWITCH]))


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
