"""A compiled model meets every shape before play and none after, and is a model of its own."""

import logging
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from infrope_env.config import Window
from infrope_env.control.actions import Transition
from infrope_env.dynamics.coordinates import lay_out
from infrope_env.dynamics.graphs import GraphedNetwork
from infrope_env.dynamics.rollout import Rollout
from infrope_env.env import InfinityRopeEnv
from infrope_env.models import compile as compile_module
from infrope_env.models.compile import can_compile, compile_model, network_of, paths_to_context_lengths
from infrope_env.models.options import LoadOptions
from infrope_env.models.resolve import load_model
from infrope_env.models.world_folder import _load
from infrope_env.models.world_model import WorldModel
from infrope_env.recording.run_info import RunInfo

START, CONTINUE, SWITCH, CUT = Transition.START, Transition.CONTINUE, Transition.SWITCH, Transition.CUT
PLAY = (START, CONTINUE, CONTINUE, SWITCH, SWITCH, CONTINUE, CUT, CUT, CONTINUE, CONTINUE, CONTINUE)


OPTIONS = LoadOptions(device="cpu", dtype="float32")


@pytest.fixture
def model(tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorldModel]:
    """A model that no other test has compiled."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "code"))
    monkeypatch.setattr(compile_module, "missing_for_compiling", lambda device: None)  # other backends need nothing
    _load.cache_clear()
    yield load_model(tiny_weights, LoadOptions(device="cpu", dtype="float32", compile=True))
    _load.cache_clear()
    torch._dynamo.reset()


def play(model: WorldModel, rollout: Rollout, seed: int) -> list[torch.Tensor]:
    """Pixel frames of every transition there is, after a reset."""
    text = model.text_encoder(["a fox walks to the right in a city"]).detach()
    other = model.text_encoder(["a frog waves hello in a desert"]).detach()
    rollout.reset(seed)
    state, blocks = None, []
    with torch.inference_mode():
        for transition in PLAY:
            text, other = (other, text) if transition is SWITCH else (text, other)
            frames, state = model.decoder.decode(rollout.advance(text, transition).latents, state)
            blocks.append(frames)
    return blocks


def test_the_default_window_has_three_context_lengths() -> None:
    assert paths_to_context_lengths(Window()) == {0: (START,), 3: (START, CONTINUE), 2: (START, SWITCH)}


@pytest.mark.parametrize("size", [5, 6, 9, 12, 21])
@pytest.mark.parametrize("kept", [1, 2])
def test_no_play_meets_an_unforeseen_context_length(size: int, kept: int) -> None:
    window = Window.from_size(size, flush_context=kept)
    lengths = paths_to_context_lengths(window)
    random, cached = torch.Generator().manual_seed(size), 0
    for _ in range(2000):
        chosen = (CONTINUE, CONTINUE, SWITCH, CUT)[int(torch.randint(4, (), generator=random))]
        seen = len(lay_out(tuple(range(cached)), chosen if cached else START, window).slots)
        assert seen in lengths
        cached = seen + window.block


def compiled_agrees(model: WorldModel, backend: str, caplog: pytest.LogCaptureFixture) -> None:
    """Compile; afterwards nothing is compiled again, whatever is played, and pixels are those before it."""
    caplog.set_level(logging.INFO)
    rollout = Rollout(model.transformer, model.window, model.sampler)
    plain = play(model, rollout, seed=3)
    torch._dynamo.utils.counters.clear()
    compile_model(model, rollout, backend)
    assert "compiling for 3 context lengths" in caplog.text and "compiled in" in caplog.text
    before = dict(torch._dynamo.utils.counters["stats"])
    assert before["unique_graphs"] == 3 + 2  # layers share theirs; a decoder has one for its first block
    fast = play(model, rollout, seed=3)
    play(model, Rollout(model.transformer, model.window, model.sampler), seed=4)  # another environment's
    assert dict(torch._dynamo.utils.counters["stats"]) == before
    for slow_frames, fast_frames in zip(plain, fast, strict=True):
        assert (slow_frames.int() - fast_frames.int()).abs().max() <= 1  # of 255


def test_flush_cut_and_reset_compile_nothing_new(model: WorldModel, caplog: pytest.LogCaptureFixture) -> None:
    compiled_agrees(model, "eager", caplog)


@pytest.mark.slow
def test_compiled_code_computes_the_same(model: WorldModel, caplog: pytest.LogCaptureFixture) -> None:
    compiled_agrees(model, "inductor", caplog)


def test_a_compiled_model_is_another_one_with_its_own_network(model: WorldModel, tiny_weights: Path) -> None:
    plain = load_model(tiny_weights, OPTIONS)
    assert (plain.compiled, model.compiled) == (False, True)
    assert model.transformer is not plain.transformer and model.decoder is not plain.decoder
    assert model.sha256 == plain.sha256
    (difference,) = RunInfo.of(plain).differences(RunInfo.of(model))
    assert difference == ("Different machine or setting: compiled was False in the recording and is True now.")


def test_a_shared_model_is_not_compiled(tiny_weights: Path) -> None:
    plain = load_model(tiny_weights, OPTIONS)
    with pytest.raises(ValueError, match="to be loaded with compile=True"):
        compile_model(plain, Rollout(plain.transformer, plain.window, plain.sampler), "eager")


@pytest.mark.parametrize(
    ("lacking", "device", "sentence"),
    [
        ("program", "cpu", "compiling for 'cpu' needs a compiler for C++ ("),
        ("headers", "cpu", "compiling for 'cpu' needs Python's headers (Python.h in "),
        ("triton", "cuda", "compiling for 'cuda' needs Triton (pip install triton), which is not here."),
        ("program", "cuda", "compiling for 'cuda' needs a compiler for C ("),
    ],
)
def test_what_compiling_lacks_is_one_sentence(
    lacking: str, device: str, sentence: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(compile_module.shutil, "which", lambda name: None if lacking == "program" else name)
    monkeypatch.setattr(compile_module, "find_spec", lambda name: None if lacking == "triton" else name)
    monkeypatch.setattr(compile_module.sysconfig, "get_path", lambda name: "/nowhere")
    assert not can_compile(torch.device(device))
    assert f"playing uncompiled: {sentence}" in caplog.text


def test_without_a_compiler_it_plays_uncompiled_and_the_run_info_says_so(
    tiny_weights: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(compile_module.shutil, "which", lambda name: None)
    env = InfinityRopeEnv(weights=str(tiny_weights), device="cpu", dtype="float32", compile=True)
    env.reset(seed=1)
    assert not RunInfo.of(env.model).compiled and env.model is load_model(tiny_weights, OPTIONS)
    assert caplog.text.count("playing uncompiled") == 1


def inexact(graph: torch.fx.GraphModule, inputs: list[Any]) -> Callable[..., Any]:
    """Compile to code whose results are a tenth too large, so that compiled pixels always differ from plain ones."""

    def run(*arguments: Any) -> tuple[Any, ...]:
        return tuple(1.1 * x if x.is_floating_point() else x for x in graph(*arguments))

    return run


@pytest.mark.usefixtures("model")
def test_compiling_leaves_the_bytes_of_an_environment_made_without_it(
    tiny_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infrope_env.env.compile_model", partial(compile_model, backend=inexact))
    arguments: dict[str, Any] = {"weights": str(tiny_weights), "device": "cpu", "dtype": "float32"}

    def pixels(env: InfinityRopeEnv) -> list[bytes]:
        return [env.reset(seed=3)[0].tobytes(), *(env.step(action)[0].tobytes() for action in (2, 3, 7))]

    plain = InfinityRopeEnv(**arguments)
    before = pixels(plain)
    compiled = InfinityRopeEnv(compile=True, **arguments)
    assert pixels(compiled) != before
    assert pixels(plain) == before == pixels(InfinityRopeEnv(**arguments))
    assert (RunInfo.of(plain.model).compiled, RunInfo.of(compiled.model).compiled) == (False, True)


@pytest.mark.usefixtures("model")
def test_graphs_play_the_bytes_of_compiled_code(
    tiny_weights: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("infrope_env.env.compile_model", partial(compile_model, backend=inexact))
    arguments: dict[str, Any] = {"weights": str(tiny_weights), "device": "cpu", "dtype": "float32"}
    played = []
    for compile in (True, "graphs"):
        env = InfinityRopeEnv(compile=compile, **arguments)
        played.append([env.reset(seed=3)[0], *(env.step(action)[0] for action in (2, 3, 7, 7))])
        is_graphed = isinstance(env._rollout.network, GraphedNetwork)
        assert (is_graphed, env.model.compiled) == (compile == "graphs", True)
    assert all((a == b).all() for a, b in zip(*played, strict=True))
    assert "playing without CUDA graphs, which need a GPU: device is 'cpu'" in caplog.text


def test_graphs_of_weights_that_move_are_refused(tiny_weights: Path) -> None:
    plain = load_model(tiny_weights, OPTIONS)
    with pytest.raises(ValueError, match="compile='graphs' needs weights that stay on the GPU: leave offload out"):
        network_of(plain, "graphs", offload=True)
    assert network_of(plain, True, offload=True) is network_of(plain, False, offload=False) is plain.transformer
