"""The Gymnasium environment: joins actions, prompts, rollout and decoder behind reset, step, render and close.

Wiring only: control/ turns an action into a prompt and a transition, dynamics/ makes the block, pixels/ decodes it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box, Discrete
from gymnasium.utils.seeding import np_random
from torch import Tensor

from infrope_env.config import Window
from infrope_env.control.actions import ActionSet, Steering, Transition
from infrope_env.control.frames import Frames, fill_block, valid_frames
from infrope_env.control.reset_options import ResetOptions, start_texts
from infrope_env.dynamics.attention_mass import AttentionProbe
from infrope_env.dynamics.context_strip import ContextStrip
from infrope_env.dynamics.rollout import Rollout
from infrope_env.env_render import FRAMES_PER_SECOND, RENDER_MODES, Renderer, check_render_mode
from infrope_env.env_state import (
    RESET,
    Action,
    EnvState,
    PromptRequest,
    StateOrigin,
    describe_block,
    new_block_id,
    strip_of_block,
)
from infrope_env.forked import limit_threads
from infrope_env.models.background_code import BACKGROUND, BackgroundCode
from infrope_env.models.block_codec import BlockCodec
from infrope_env.models.compile import GRAPHS, compile_model, network_of
from infrope_env.models.options import LoadOptions
from infrope_env.models.resolve import load_model
from infrope_env.player.key_codes import key_code
from infrope_env.reward import compute_reward, find_reward

logger = logging.getLogger(__name__)


class InfinityRopeEnv(gymnasium.Env[Frames, Action]):
    """An endless video world that a player steers; one step makes one block of pixel frames.

    An environment serves one thread at a time; several of one model serve a thread each. A call that Ctrl-C ends has
    done nothing, or made its block, or left none: then `newest` is None, and a reset or a restored state is needed.

    Attributes:
        model: The loaded weights, shared by the environments of a process.
        window: Sizes and rules of the attention window.
        action_set: Words and keys of the world.
        action_names: Name of every action, by index.
        steering: Subject, scene, motion and prompt in force.
        pending_prompt: The `set_prompt` call that the next block will apply; None if there is none.
        block_shape: Shape of an observation, t H W 3.
        decode: Whether observations are decoded; otherwise they are zeros.
        newest: Observation and info of the newest block, read-only; None before the first reset, and after a reset or
            step that was interrupted.
        restores, block_id: Number of states restored so far; identity of the newest block, which a saved state carries.
        strip: Frames that the newest block attended to, with attention mass while that is measured; None before the
            first block and after a restored state.
        timings: Seconds that the newest block took: text_s, denoise_s, commit_s, decode_s, total_s. The commit pass is
            that of the block before, and 0 where that was made earlier.
        seed_used: Seed of the current rollout's noise.
        start: Names and prompt with which every episode starts, unless a reset has others; changes hold from the next.
        names_used: Names and prompt with which the current rollout was reset, by option.
        picture: Picture from which the current rollout started, at the frame size, H W 3; None if from noise.
        background_code: Code of compile="background"; None under other values and on a GPU.
        use_code: Whether the next blocks are made by that code; None means as soon as it is there.
        newest_is_compiled: Whether compiled code made the newest block.
    """

    batch = 1  # rollouts that are made in one forward pass
    metadata: dict[str, Any] = {"render_modes": list(RENDER_MODES), "render_fps": FRAMES_PER_SECOND}  # noqa: RUF012

    def __init__(
        self,
        render_mode: str | None = None,
        actions: str | Mapping[str, object] = "pocket",
        weights: str | None = None,
        decoder: str | None = None,
        device: str | None = None,
        dtype: str | None = None,
        max_blocks: int | None = None,
        window: Mapping[str, object] | int | None = None,
        reward: str | None = None,
        text_device: str | None = None,
        text_dtype: str | None = None,
        offload: bool = False,
        compile: bool | str = False,
        decode: bool = True,
        subject: str | None = None,
        scene: str | None = None,
        motion: str | None = None,
        prompt: str | None = None,
        variation: str | None = None,
        lora: str | None = None,
        sampler: Mapping[str, object] | Sequence[int] | str | None = None,
        steps: int | None = None,
        precision: str | None = None,
        memory: str | None = None,
    ) -> None:
        """Load the model, or take it from the cache of loaded models.

        Args:
            render_mode: One of metadata["render_modes"]; None disables rendering.
            actions: Name of a bundled action set, path of a TOML file, or the TOML structure itself.
            weights: A bundled model, a world folder, "wan", a released generator's name or file, or a folder of them.
            decoder: Name of the decoder; None means the model's own. Wan has "taew2_1" (fast) and "wan_vae" (exact).
            device: "cpu", "cuda" or "cuda:1"; None means the GPU where there is one.
            dtype: "float32", "bfloat16" or "float16"; None means a dtype that is fast on the device.
            max_blocks: Blocks, the first included, after which an episode is truncated; None never truncates.
            window: Size of the attention window in latent frames, or fields of `config.Window` to change.
            reward: Dotted name of a callable (frames, info) -> float or (float, terminated).
            text_device: Of Wan's text encoder: "auto" (the GPU if it fits), "cpu", "cuda", "refuse" (no new prompts).
            text_dtype: Precision of the weights of Wan's text encoder: "bfloat16", "int8" or "float32".
            offload: Move Wan's generator and decoder to the GPU in turns, for one environment at a time.
            compile: True compiles transformer and decoder before the first block: minutes the first time, and other
                bytes. "graphs" replays the compiled passes as CUDA graphs too, on a GPU. "background", on a CPU, plays
                at once and goes over to compiled code between two blocks, when a process of low priority has compiled
                it, or from block 0 where the cache folder has it.
            decode: False skips decoding: observations are zeros of the same shape, `latents` are the same.
            subject: Name of the subject at the start of every episode, unless a reset has it among its options.
            scene: Name of the scene at the start, likewise.
            motion: Name of the motion at the start, likewise.
            prompt: Prompt at the start, which replaces that of the names, unless a reset has any text option.
            variation: Words that the prompts of the names share, unless a reset has them among its options; None draws
                them from the seed of every episode, where the action set has any.
            lora: File or folder of a LoRA that is merged into Wan's generator.
            sampler: Denoising steps, as a list or "1000,500", or fields of `config.Sampler` to change.
            steps: Number of denoising steps, 1 to 4, chosen from the sampler's; fewer are faster.
            precision: "int8" computes a world folder's generator in 8-bit integers, on a CPU, with the extra "int8":
                faster on processors without bfloat16, and slightly other pixels. "fp8" multiplies in 8-bit floats, on
                a GPU that has them. "float", the default, does neither.
            memory: Policy for frames that have left the context: "sink", "deep_sink", "rolling_sink", "ema",
                "ema_sink" or "jitter", the field of `window` by that name; None means the window's own.

        Raises:
            ValueError: An argument has no valid value; WeightsError, a ValueError, when it is the weights.
        """
        check_render_mode(render_mode)
        if max_blocks is not None and (not isinstance(max_blocks, int) or max_blocks < 2):
            raise ValueError(f"expected max_blocks to be at least 2 (reset makes the first block), got {max_blocks!r}")
        if compile not in (False, True, GRAPHS, BACKGROUND):
            raise ValueError(f"expected compile to be False, True, {GRAPHS!r} or {BACKGROUND!r}, got {compile!r}")
        self.render_mode, self.max_blocks, self.decode = render_mode, max_blocks, decode
        self._reward = None if reward is None else find_reward(reward)
        self.action_set = ActionSet.from_dict(actions) if isinstance(actions, Mapping) else ActionSet.load(actions)
        self.action_names = self.action_set.names
        self.start = start_texts(subject=subject, scene=scene, motion=motion, prompt=prompt, variation=variation)
        self.steering = self.action_set.start(**self.start, seed=None)
        limit_threads()
        compiles = compile in (True, GRAPHS)
        options = LoadOptions(
            decoder, device, dtype, text_device, text_dtype, offload, compiles, lora, sampler, steps, precision
        )
        self.model = load_model(weights, options, (self.steering.prompt, *self.action_set.prompts()))
        self.window = Window.parse(window, self.model.window, memory)
        self._prompt_cache = self.model.make_prompt_cache()
        self.encode_prompts(() if prompt is None else (prompt,))
        self._rollout = self.make_rollout()
        self._rollout.network = self._network = network_of(self.model, compile, offload)
        if self.model.compiled:
            compile_model(self.model, self._rollout)
        self.background_code: BackgroundCode | None = None
        if compile == BACKGROUND and self.model.device.type == "cpu" and self.model.precision == "float":
            self.background_code = BackgroundCode(self.model, self.window.block, weights, options)
        self.use_code: bool | None = None
        self.newest_is_compiled = False
        self._codec = BlockCodec(self.model, self.window.block, decode)
        self.block_shape = self._codec.block_shape
        self.observation_space = Box(0, 255, self.block_shape, np.uint8)
        self.action_space = Discrete(len(self.action_names))
        self.pending_prompt: PromptRequest | None = None
        self.newest: tuple[Frames, dict[str, Any]] | None = None
        self.strip: ContextStrip | None = None
        self._attention_needed_by = set[object]()
        self.restores, self.block_id, self.seed_used = 0, "", 0
        self.timings, self.names_used = dict[str, float](), dict[str, str]()
        self.picture: Frames | None = None
        self._renderer = Renderer(self.model.frame_size, title=f"infrope: {self.model.name}")

    def make_rollout(self) -> Rollout:
        """Return a rollout of the model under the window; experiments override this."""
        return Rollout(self.model.transformer, self.window, self.model.sampler)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Frames, dict[str, Any]]:
        """Start a rollout and make block 0.

        Args:
            seed: Seed of the noise and of `np_random`; None draws the noise seed from `np_random`.
            options: Names of "subject", "scene" and "motion", or a "prompt", which replaces the prompt of the names.
                "variation", words that the prompts of the names share, are drawn from the seed by default, where the
                action set has any; "" has none. "image", the path of a picture or a uint8 array H W 3, makes block 0 a
                still of that picture, scaled and cropped to the frame; the prompt should describe it, because play
                continues from both.

        Returns:
            observation: Block 0, t H W 3. Its valid frames, 4 f - 3 from a causal decoder, are the last ones.
            info: Info of block 0; its "action" is RESET, -1.

        Raises:
            ValueError: An option or name is unknown, the text encoder cannot read the prompt, the image is not a
                picture, or the model has no encoder for one.
        """
        limit_threads()
        start, steering, picture = self.plan_reset(options, seed)
        self._renderer.begin_episode(self.render_mode)
        self.newest, self.picture = None, picture
        super().reset(seed=seed)
        self.seed_used = int(self.np_random.integers(2**31)) if seed is None else int(seed)
        self.names_used = start.texts
        return self._advance(steering, Transition.START, RESET)

    def step(self, action: Action) -> tuple[Frames, float, bool, bool, dict[str, Any]]:
        """Make the next block under an action.

        Returns:
            observation: t H W 3, a fresh array.
            reward: 0.0 without a reward function.
            terminated: True only if a reward function ends the episode; the world is endless.
            truncated: Whether `max_blocks` blocks have been made, or the player closed the window of "human".
            info: Info of the block, with the keys of every block.

        Raises:
            ResetNeeded: Before the first reset, and after an interrupted block.
            ValueError: There is no such action.
        """
        steering, transition = self.plan_step(action)
        observation, info = self._advance(steering, transition, int(action))
        reward, terminated = compute_reward(self._reward, observation, info)
        is_last = self.max_blocks is not None and self._rollout.next_block >= self.max_blocks
        return observation, reward, terminated, is_last or self._renderer.window_closed, info

    def plan_reset(
        self, options: Mapping[str, Any] | None, seed: int | None
    ) -> tuple[ResetOptions, Steering, Frames | None]:
        """Return what `reset` would start with, and its picture; errors as in `reset`, and nothing changes."""
        start = ResetOptions.parse(options).over(self.start)
        steering = self.action_set.start(**start.texts, seed=self.next_seed(seed))
        self.embed(steering.prompt)
        return start, steering, None if start.image is None else self._codec.load_picture(start.image)

    def next_seed(self, seed: int | None) -> int:
        """Return the noise seed of a reset with this seed; without one, that which `np_random` will draw."""
        np_random(seed)
        return int(deepcopy(self.np_random).integers(2**31)) if seed is None else int(seed)

    def plan_step(self, action: Action) -> tuple[Steering, Transition]:
        """Return what `step` would steer to, and its transition; errors as in `step`, and nothing changes."""
        _, shown = self._require_reset("step")
        if not self.action_space.contains(action):
            names = ", ".join(f"{index} {name}" for index, name in enumerate(self.action_names))
            raise ValueError(f"expected an action from 0 to {len(self.action_names) - 1} ({names}), got {action!r}")
        cut_requested = self.pending_prompt is not None and self.pending_prompt.cut
        return self.action_set.steer(
            self.steering, int(action), shown_prompt=shown["prompt"], cut_requested=cut_requested
        )

    def render(self) -> Frames | list[Frames] | None:  # type: ignore[override]
        """Return the newest pixel frame ("rgb_array") or all since the last call ("rgb_array_list"); otherwise None."""
        observation, _ = self._require_reset("render")
        return self._renderer.render(observation, self.render_mode)

    def close(self) -> None:
        """Show the newest block to its end, close the window and stop encoding and compiling.

        The next block opens another window.
        """
        self._renderer.close()
        self._prompt_cache.stop_background()
        if self.background_code is not None:
            self.background_code.stop()

    def get_keys_to_action(self) -> dict[tuple[int, ...], int]:
        """Return the action of every key binding in pygame's key codes, as `gymnasium.utils.play` expects it."""
        bindings = self.action_set.keys_to_action()
        return {tuple(key_code(name) for name in names): action for names, action in bindings.items()}

    def encode_prompts(self, texts: Iterable[str]) -> None:
        """Encode prompts ahead of play, so that encoding delays no block and errors are raised before the first one.

        Raises:
            ValueError: The text encoder cannot read one of them.
        """
        limit_threads()
        self._prompt_cache.encode_all(texts)

    @property
    def may_be_compiled(self) -> bool:
        """Whether compiled code makes blocks, or may do so when it is there."""
        return self.model.compiled or (self.background_code is not None and self.background_code.possible)

    def commit(self) -> None:
        """Run the commit pass of the newest block if it is due, and draw the next block's noise.

        The next step is faster by the time of both; its block is the same.

        Raises:
            ResetNeeded: Before the first reset.
        """
        self._require_reset("commit")
        self._rollout.commit()
        self._rollout.draw_ahead()

    def commit_early(self) -> None:
        """Do the work of `commit` on a GPU, where it is only queued: it runs while the caller chooses an action."""
        self._rollout.commit()
        self._rollout.draw_ahead()

    def embed(self, text: str) -> Tensor:
        """Return the embedding of a prompt, 1 text_len text_dim; ValueError if the text encoder cannot read it."""
        return self._prompt_cache.embedding(text)

    def set_prompt(self, text: str, cut: bool = False) -> None:
        """Put free text in force from the next block on, until an action changes the motion or the scene.

        A subject or scene of the action set that the text mentions becomes the current one. If no block has shown the
        text set before, its subject and scene are discarded with it. The action of the motion in force keeps the text.

        Raises:
            ResetNeeded: Before the first reset.
            ValueError: The text encoder cannot read the text; nothing has changed.
        """
        _, shown = self._require_reset("set_prompt")
        self.embed(text)
        names_shown = replace(self.steering, subject=shown["subject"], scene=shown["scene"])
        steering, request = self.action_set.set_prompt(names_shown, text), PromptRequest(text, cut)
        self.steering, self.pending_prompt = steering, request  # in one line, so that Ctrl-C does not part them

    @property
    def latents(self) -> Tensor:
        """Clean latents of the newest block, b f c h w, read-only; ResetNeeded before the first reset."""
        self._require_reset("latents")
        return self._latents

    @property
    def origin(self) -> StateOrigin:
        """Settings under which this environment saves and restores states."""
        return StateOrigin.of(self.model, self.window, self.action_set, self.decode)

    @property
    def state_bytes(self) -> int:
        """Bytes of host memory that a saved state takes, but for a few: those of its keys and values."""
        return self._rollout.cache.keys.nbytes + self._rollout.cache.values.nbytes

    def save_state(self) -> EnvState:
        """Return a copy, in host memory, of all that the future depends on; ResetNeeded before the first reset."""
        observation, info = self._require_reset("save_state")
        return EnvState(
            origin=self.origin,
            rollout=self._rollout.save(),
            decoder_state=self._codec.save(),
            steering=self.steering,
            pending_prompt=self.pending_prompt,
            observation=observation.copy(),
            info=dict(info),
            latents=self._latents.to("cpu", copy=True),
            seed_used=self.seed_used,
            names_used=self.names_used,
            np_random=deepcopy(self.np_random),
            np_random_seed=self.np_random_seed,
            picture=self.picture,
            block_id=self.block_id,
        )

    def require_origin(self, state: EnvState) -> None:
        """Raise ValueError if a state was saved under another `origin`."""
        if state.origin != self.origin:
            raise ValueError(
                "expected a state of the same weights, steps, device, dtype, precision, window, actions and decode"
            )

    def restore_state(self, state: EnvState) -> tuple[Frames, dict[str, Any]]:
        """Go back to a saved state, which stays usable; return observation and info of its newest block.

        Raises:
            ValueError: It was saved under another `origin`.
        """
        limit_threads()
        self.require_origin(state)
        before, self.newest = self.newest, None
        try:
            self._rollout.restore(state.rollout)
        except ValueError:  # a state that does not fit has changed nothing
            self.newest = before
            raise
        self._codec.restore(state.decoder_state)
        self._latents, self.strip = state.latents.to(self.model.device, copy=True), None
        self.steering, self.pending_prompt = state.steering, state.pending_prompt
        self.seed_used, self.names_used, self.picture = state.seed_used, state.names_used, state.picture
        self._np_random, self._np_random_seed = deepcopy(state.np_random), state.np_random_seed
        self.restores, self.block_id = self.restores + 1, state.block_id
        self.newest = state.observation.copy(), dict(state.info)
        return self._present(valid_frames(*self.newest))

    def _advance(self, steering: Steering, transition: Transition, action: int) -> tuple[Frames, dict[str, Any]]:
        """Make the next block the newest one, while "human" shows the one before it; return copies of it."""

        def make() -> Frames:
            frames = self._make_block(steering, transition)
            block, seed = self._rollout.next_block - 1, self.seed_used
            info = describe_block(block, len(frames), action, steering, transition, seed)
            self.newest = fill_block(frames, self.block_shape[0]), info
            return frames

        return self._present(self._renderer.while_shown(self.render_mode, make))

    def _make_block(self, steering: Steering, transition: Transition) -> Frames:
        """Return the valid pixel frames of the next block. An unreadable prompt raises before anything has changed.

        A block interrupted later (by Ctrl-C, by a full GPU) leaves `newest` None until a reset or a restore.
        """
        started = time.perf_counter()
        embedding = self.embed(steering.prompt)
        encoded = time.perf_counter()
        self.newest = made = None
        is_compiled = self._choose_network()
        if transition is Transition.START:
            self._rollout.reset(self.seed_used)
            self._codec.reset()
        if transition is Transition.START and self.picture is not None:
            self._latents = self._codec.encode_still(self.picture)
            self._rollout.prefill(self._latents, embedding)
        else:
            made = self._rollout.generate(embedding, transition)
            self._latents = made.latents
        advanced = time.perf_counter()
        frames = self._codec.decode(self._latents)
        ended = time.perf_counter()
        self.strip = strip_of_block(made, self.window, self._rollout.context_hook)
        parts = {"text_s": encoded - started, **self._rollout.timings, "decode_s": ended - advanced}
        self.timings = parts | {"total_s": ended - started}
        if self.model.device.type == "cuda":
            self.commit_early()
        self.steering, self.pending_prompt, self.block_id = steering, None, new_block_id()
        self.newest_is_compiled = is_compiled
        if self.background_code is not None and self.use_code is None:
            self.background_code.start()  # here, so that the first block is not later for it
        if transition in (Transition.START, Transition.CUT):
            self._prompt_cache.encode_in_background(self.action_set.prompts_nearest_first(steering))
        return frames

    def measure_attention(self, on: bool, needed_by: object = "inspector") -> None:
        """Measure the attention mass of every block from the next one on; no byte of a block changes.

        Args:
            on: Whether the masses are needed.
            needed_by: The part that needs them, or does no longer; measuring stops when no part does.

        Raises:
            ValueError: Compiled layers or 8-bit numbers compute the blocks, which would be others while measured.
        """
        if on and (self.model.compiled or self.model.precision != "float"):
            raise ValueError("attention is measured neither in layers compiled by `compile` nor in 8-bit `precision`")
        before = bool(self._attention_needed_by)
        (self._attention_needed_by.add if on else self._attention_needed_by.discard)(needed_by)
        if bool(self._attention_needed_by) != before:
            self._rollout.context_hook = AttentionProbe() if on else None

    def _choose_network(self) -> bool:
        """Give the rollout the network that makes the next block; return whether it is compiled code."""
        code = None if self.background_code is None else self.background_code.network
        if self.use_code is False:
            code = None
        if self.use_code is None and code is not None and self._rollout.network is not code:
            logger.info("compiled code from block %d on", self._rollout.next_block)
        self._rollout.network = self._network if code is None else code
        return self.model.compiled or code is not None

    def _present(self, frames: Frames) -> tuple[Frames, dict[str, Any]]:
        """Render the newest block, whose valid frames these are; return fresh copies of observation and info."""
        assert self.newest is not None
        self._renderer.add_block(frames, self.render_mode)
        observation, info = self.newest
        return observation.copy(), dict(info)

    def _require_reset(self, wanted: str) -> tuple[Frames, dict[str, Any]]:
        """Return observation and info of the newest block; ResetNeeded when there is none."""
        if self.newest is None:
            reason = "there is no rollout yet, or its last block was interrupted. Call reset() first."
            raise ResetNeeded(f"Cannot call {wanted}() before reset(): {reason}")
        limit_threads()
        return self.newest
