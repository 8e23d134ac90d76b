"""A compiled world meets every shape before play and none after; what it computes stays the same."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from infrope_env.config import Window
from infrope_env.control.actions import Transition
from infrope_env.dynamics.coordinates import lay_out
from infrope_env.dynamics.rollout import Rollout
from infrope_env.models.compile import compile_model, paths_to_context_lengths
from infrope_env.models.world_folder import WorldModel, _load, load_world
from infrope_env.recording.run_info import RunInfo

START, CONTINUE, SWITCH, CUT = Transition.START, Transition.CONTINUE, Transition.SWITCH, Transition.CUT
PLAY = (START, CONTINUE, CONTINUE, SWITCH, SWITCH, CONTINUE, CUT, CUT, CONTINUE, CONTINUE, CONTINUE)


@pytest.fixture
def world(tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorldModel]:
    """A world of its own: compiling changes it in place."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "code"))
    _load.cache_clear()
    yield load_world(tiny_weights, device="cpu", dtype="float32")
    _load.cache_clear()
    torch._dynamo.reset()


def play(world: WorldModel, rollout: Rollout, seed: int) -> list[torch.Tensor]:
    """Pixel frames of every transition there is, after a reset."""
    text = world.text_encoder(["a fox walks to the right in a city"]).detach()
    other = world.text_encoder(["a frog waves hello in a desert"]).detach()
    rollout.reset(seed)
    memory, clips = None, []
    with torch.inference_mode():
        for transition in PLAY:
            text, other = (other, text) if transition is SWITCH else (text, other)
            frames, memory = world.decoder.decode(rollout.advance(text, transition).latents, memory)
            clips.append(frames)
    return clips


def test_the_default_window_has_three_context_lengths() -> None:
    assert paths_to_context_lengths(Window()) == {0: (START,), 3: (START, CONTINUE), 2: (START, SWITCH)}


@pytest.mark.parametrize("size", [5, 6, 9, 12, 21])
@pytest.mark.parametrize("kept", [1, 2])
def test_no_play_sees_a_context_length_that_was_not_foreseen(size: int, kept: int) -> None:
    window = Window.from_size(size, flush_context=kept)
    lengths = paths_to_context_lengths(window)
    random, cached = torch.Generator().manual_seed(size), 0
    for _ in range(2000):
        chosen = (CONTINUE, CONTINUE, SWITCH, CUT)[int(torch.randint(4, (), generator=random))]
        seen = len(lay_out(tuple(range(cached)), chosen if cached else START, window).slots)
        assert seen in lengths
        cached = seen + window.block


def compiled_agrees(world: WorldModel, backend: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Compile; then nothing is compiled again, whatever is played, and pixels are those of the plain world."""
    rollout = Rollout(world.transformer, world.window, world.sampler)
    plain = play(world, rollout, seed=3)
    torch._dynamo.utils.counters.clear()
    made = RunInfo.of(world)
    compile_model(world, rollout, backend)
    (told,) = made.differences(RunInfo.of(world))
    assert told == "Different machine or setting: compiled was False in the recording and is True now."
    assert "compiling for 3 context lengths" in capsys.readouterr().err
    before = dict(torch._dynamo.utils.counters["stats"])
    assert before["unique_graphs"] == 3 + 2  # layers share theirs; a decoder has one for its first block
    fast = play(world, rollout, seed=3)
    play(world, Rollout(world.transformer, world.window, world.sampler), seed=4)  # another environment's
    assert dict(torch._dynamo.utils.counters["stats"]) == before
    for slow_clip, fast_clip in zip(plain, fast, strict=True):
        assert (slow_clip.int() - fast_clip.int()).abs().max() <= 1  # of 255


def test_flush_cut_and_reset_compile_nothing_new(world: WorldModel, capsys: pytest.CaptureFixture[str]) -> None:
    compiled_agrees(world, "eager", capsys)


@pytest.mark.slow
def test_compiled_code_computes_the_same(world: WorldModel, capsys: pytest.CaptureFixture[str]) -> None:
    compiled_agrees(world, "inductor", capsys)
