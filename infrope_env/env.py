"""The Gymnasium environment: joins actions, prompts, rollout and decoder behind reset, step, render and close.

Wiring only. What an action means is in control/, how a block is made in dynamics/, how it becomes pixels in pixels/.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
import torch
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box, Discrete
from torch import Tensor

from infrope_env.config import Window
from infrope_env.control.actions import ActionSet, Steering, Transition
from infrope_env.dynamics.rollout import Rollout
from infrope_env.env_state import ActionIndex, EnvState, Frames, PromptRequest, StateOrigin
from infrope_env.models.resolve import load_model
from infrope_env.pixels.codec import DecoderState
from infrope_env.pixels.picture import load_picture, still
from infrope_env.player.key_codes import key_code
from infrope_env.reward import compute_reward, find_reward
from infrope_env.text.prompt_cache import PromptCache

if TYPE_CHECKING:
    from infrope_env.player.window import DisplayWindow

FRAMES_PER_SECOND = 16
RENDER_MODES = ("rgb_array", "rgb_array_list", "human")
NAME_OPTIONS = ("subject", "scene", "motion", "prompt")
START_OPTIONS = (*NAME_OPTIONS, "image")


class InfinityRopeEnv(gymnasium.Env[Frames, int]):
    """An endless world that a player steers; one step is one block of pixel frames.

    Attributes:
        model: the loaded weights, shared with every other environment of the process.
        action_set: the words and keys of the world.
        action_names: by action.
        steering: what the player has asked for.
        asked: the `set_prompt` call that waits for the next block, if any.
        block_shape: of an observation, t H W 3.
        newest: observation and info of the newest block, not to be changed; None before the first reset, and after a
            reset or step that was stopped half way.
        timings: seconds the newest block took: text_s, denoise_s, commit_s, decode_s, total_s.
        seed_used: noise seed of the current rollout.
        names_used: names and text that it was reset with, by option.
        latents: clean latents of the newest block, b f c h w.
        picture: what the current rollout began from, at the frame's size, H W 3; None when it began from noise.
    """

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
        compile: bool = False,
        decode: bool = True,
    ) -> None:
        """Load the world, or find it loaded.

        Args:
            render_mode: one of metadata["render_modes"]; None cannot render.
            actions: a bundled action set's name, the path of a TOML file, or the TOML structure itself.
            weights: a bundled world's name or the path of a world folder; "wan", the name of a released generator, its
                file, or a folder of released files (wan/files.py); None is "pocket".
            decoder: None takes the world's own; Wan has "taew2_1" (fast, taken where it is) and "wan_vae" (exact).
            device: "cpu", "cuda", "cuda:1"; None takes the GPU where there is one.
            dtype: "float32", "bfloat16" or "float16"; None takes what is fast on the device.
            max_blocks: blocks, the first included, after which an episode is truncated; None never.
            window: changes to the world's own window: fields of `config.Window`, or `size`.
            reward: dotted name of a callable (frames, info) -> float or (float, terminated).
            text_device: where Wan's text encoder runs: "auto" (the GPU if it fits), "cpu", "cuda", or "refuse", which
                never loads it and refuses prompts that were not used before.
            text_dtype: of Wan's text encoder: "bfloat16", "int8" or "float32".
            offload: of Wan: generator and decoder take turns on the GPU, for one environment at a time.
            compile: compile transformer and decoder for every shape of play, now: minutes the first time. The bytes of
                a compiled world are not those of one that is not.
            decode: False skips decoding: observations are zeros of the right shape, and `latents` hold the block.

        Raises:
            ValueError: an argument cannot work; WeightsError, a ValueError, when it is the weights.
        """
        _check(render_mode, max_blocks)
        self.render_mode, self.max_blocks = render_mode, max_blocks
        self._reward = None if reward is None else find_reward(reward)
        self.action_set = ActionSet.from_dict(actions) if isinstance(actions, Mapping) else ActionSet.load(actions)
        self.action_names = self.action_set.names
        self.model = load_model(
            weights,
            prompts=self.action_set.prompts(),
            decoder=decoder,
            device=device,
            dtype=dtype,
            text_device=text_device,
            text_dtype=text_dtype,
            offload=offload,
        )
        self.window = Window.parse(window, default=self.model.window)
        self._prompt_cache = PromptCache(self.model.text_encoder, self.model.prompt_folder, device=self.model.device)
        self._rollout, self._decodes = self.make_rollout(), decode
        if compile:
            from infrope_env.models.compile import compile_world

            compile_world(self.model, self._rollout)
        self.block_shape = (self.model.decoder.frames_per_latent * self.window.block, *self.model.frame_size, 3)
        self.observation_space = Box(0, 255, self.block_shape, np.uint8)
        self.action_space = Discrete(len(self.action_names))  # type: ignore[assignment]  # of NumPy integers, or ints
        self.steering = self.action_set.start()
        self.asked: PromptRequest | None = None
        self.timings: dict[str, float] = {}
        self.seed_used = 0
        self.names_used: dict[str, str] = {}
        self.picture: Frames | None = None
        self._memory: DecoderState | None = None
        self.newest: tuple[Frames, dict[str, Any]] | None = None
        self._unrendered: list[Frames] = []
        self._player_window: DisplayWindow | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Frames, dict[str, Any]]:
        """Start a rollout; makes block 0.

        Args:
            seed: of the noise and of `np_random`; without one, the noise seed is drawn from `np_random`.
            options: "subject", "scene", "motion" by name, or "prompt", which wins over them. "image", the path of a
                picture or a uint8 array, H W 3: block 0 is that picture standing still, scaled and cropped to the
                frame, as the decoder shows it; the words should say what is in it, for play goes on from there.

        Returns:
            observation: t H W 3. A causal decoder gives 4 f - 3 frames first: they stand at the end.
            info: of block 0, and "seed".

        Raises:
            ValueError: an unknown option or name, a prompt that the text encoder cannot read, a picture that is none,
                or one for a world without an encoder.
        """
        names, image = _checked_options(options)
        steering = self.action_set.start(**names)
        self._prompt_cache.embedding(steering.prompt)  # raises before anything has changed
        self.picture = None if image is None else self._fitted(image)
        super().reset(seed=seed)
        self.seed_used = int(self.np_random.integers(2**31)) if seed is None else int(seed)
        self.names_used = names
        frames = self._make_block(steering, Transition.START)
        return self._present(frames, self._describe(frames, Transition.START, None) | {"seed": self.seed_used})

    def step(self, action: int) -> tuple[Frames, float, bool, bool, dict[str, Any]]:
        """Make the next block under an action.

        Returns:
            observation: t H W 3, a fresh array.
            reward: 0.0 without a reward function.
            terminated: only a reward function can end an episode; the world is endless.
            truncated: `max_blocks` blocks have been made.
            info: what the block shows and how it followed from the one before.

        Raises:
            ResetNeeded: before the first reset, and after a block that was stopped half way.
            ValueError: no such action.
        """
        _, info = self._require_reset("step")
        if not self.action_space.contains(action):
            names = ", ".join(f"{index} {name}" for index, name in enumerate(self.action_names))
            raise ValueError(f"expected an action from 0 to {len(self.action_names) - 1} ({names}), got {action!r}")
        steering, transition = self._steer(int(action), shown_prompt=info["prompt"])
        frames = self._make_block(steering, transition)
        observation, info = self._present(frames, self._describe(frames, transition, ActionIndex(action)))
        reward, terminated = compute_reward(self._reward, observation, info)
        truncated = self.max_blocks is not None and self._rollout.next_block >= self.max_blocks
        return observation, reward, terminated, truncated, info

    def render(self) -> Frames | list[Frames] | None:  # type: ignore[override]
        """The newest pixel frame, or all since the last call, or, for a human, nothing: they have seen it already."""
        observation, _ = self._require_reset("render")
        if self.render_mode == "rgb_array":
            return observation[-1].copy()
        if self.render_mode == "rgb_array_list":
            clips, self._unrendered = self._unrendered, []
            return [frame.copy() for clip in clips for frame in clip]
        if self.render_mode is None:
            gymnasium.logger.warn("render() shows nothing: the environment was made without a render_mode.")
        return None

    def close(self) -> None:
        """Close the window, if there is one; calling it again does nothing."""
        if self._player_window is not None:
            self._player_window.close()
            self._player_window = None

    def get_keys_to_action(self) -> dict[tuple[int, ...], int]:
        """Every key binding as `gymnasium.utils.play` wants it: pygame key codes. `action_set` has the names."""
        bindings = self.action_set.keys_to_action()
        return {tuple(key_code(name) for name in names): action for names, action in bindings.items()}

    def encode_prompts(self, texts: Iterable[str]) -> None:
        """Encode prompts ahead, so that no block waits for one and a mistake is told before the first.

        Raises:
            ValueError: the text encoder cannot read one of them.
        """
        self._prompt_cache.encode_all(texts)

    def set_prompt(self, text: str, cut: bool = False) -> None:
        """Put free text in force from the next step on, until an action changes the motion or the scene.

        A subject or scene of the action set that the text mentions is the one that actions go on from. A text that
        takes the place of one that was never shown takes nothing over from it.

        Raises:
            ResetNeeded: before the first reset.
            ValueError: the text encoder cannot read the text; nothing has changed.
        """
        _, info = self._require_reset("set_prompt")
        self._prompt_cache.embedding(text)
        shown = replace(self.steering, subject=info["subject"], scene=info["scene"])
        self.steering, _ = self.action_set.set_prompt(shown, text, cut)
        self.asked = PromptRequest(text, cut)

    def save_state(self) -> EnvState:
        """Copy everything the future depends on; from here on, actions can be played twice."""
        clip, info = self._require_reset("save_state")
        return EnvState(
            origin=self.origin,
            rollout=self._rollout.save(),
            memory=None if self._memory is None else _cloned(self._memory),
            steering=self.steering,
            asked=self.asked,
            clip=clip.copy(),
            info=dict(info),
            seed_used=self.seed_used,
            names_used=self.names_used,
            np_random=deepcopy(self.np_random),
            np_random_seed=self.np_random_seed,
            picture=self.picture,
        )

    def restore_state(self, state: EnvState) -> tuple[Frames, dict[str, Any]]:
        """Go back to a saved state, which stays usable; returns observation and info of its newest block.

        Raises:
            ValueError: it was saved under other weights, on another kind of device, under another dtype, window or
                action set.
        """
        if state.origin != self.origin:
            expected = "weights, device, dtype, window and action set"
            raise ValueError(f"expected a state of the same {expected} as this environment's")
        self._rollout.restore(state.rollout)
        self._memory = None if state.memory is None else _cloned(state.memory)
        self.steering, self.asked = state.steering, state.asked
        self.seed_used, self.names_used, self.picture = state.seed_used, state.names_used, state.picture
        self._np_random, self._np_random_seed = deepcopy(state.np_random), state.np_random_seed
        return self._present(state.clip[-state.info["num_frames"] :], dict(state.info))

    @property
    def origin(self) -> StateOrigin:
        """Weights, device, dtype, window and action set that a state must share to be restored here."""
        weights = tuple(sorted(self.model.sha256.values()))
        return StateOrigin(weights, self.model.device.type, self.model.dtype, self.window, self.action_set)

    def make_rollout(self) -> Rollout:
        """Return the rollout to play; override it for experiments."""
        return Rollout(self.model.transformer, self.window, self.model.sampler)

    def _steer(self, action: int, shown_prompt: str) -> tuple[Steering, Transition]:
        """What an action asks for, and how that follows from the newest block: text may be waiting to be shown."""
        steering, transition = self.action_set.steer(self.steering, action)
        cut_asked = self.asked is not None and self.asked.cut
        if transition is Transition.CUT or cut_asked:
            return steering, Transition.CUT
        return steering, Transition.CONTINUE if steering.prompt == shown_prompt else Transition.SWITCH

    def _make_block(self, steering: Steering, transition: Transition) -> Frames:
        """Valid pixel frames of the next block. An unreadable prompt raises before anything has changed.

        Stopped later (a key press, a full GPU), rollout and decoder may disagree: only a reset or a restore helps.
        """
        started = time.perf_counter()
        embedding = self._prompt_cache.embedding(steering.prompt)
        encoded = time.perf_counter()
        self.newest = None
        if transition is Transition.START:
            self._rollout.reset(self.seed_used)
            self._memory = None
        if transition is Transition.START and self.picture is not None:
            latents = self._remember(self.picture, embedding)
        else:
            latents = self._rollout.advance(embedding, transition).latents
        self.latents = latents
        advanced = time.perf_counter()
        frames = self._decode(latents)
        ended = time.perf_counter()
        parts = {"text_s": encoded - started, **self._rollout.timings, "decode_s": ended - advanced}
        self.timings = parts | {"total_s": ended - started}
        self.steering, self.asked = steering, None
        return frames

    def _fitted(self, image: object) -> Frames:
        if self.model.encoder is None:
            lacking = f"The world {self.model.name!r} has no encoder: it cannot begin from an image."
            raise ValueError(f"{lacking} {self.model.encoder_hint}".rstrip())
        return load_picture(image, self.model.frame_size)

    @torch.inference_mode()
    def _remember(self, picture: Frames, embedding: Tensor) -> Tensor:
        """Take the picture as the first block, as if it had been generated; its latents, b f c h w."""
        assert self.model.encoder is not None
        count = 1 + self.model.decoder.frames_per_latent * (self.window.block - 1)
        latents = self.model.encoder.encode(still(picture, count)).to(self.model.device, self.model.dtype)
        self._rollout.observe(latents, embedding)
        return latents

    @torch.inference_mode()
    def _decode(self, latents: Tensor) -> Frames:
        """Latents b f c h w to pixel frames t H W 3 of the one rollout."""
        if not self._decodes:
            missing = self.model.decoder.frames_per_latent - 1 if self._rollout.next_block == 1 else 0
            return np.zeros((self.block_shape[0] - missing, *self.block_shape[1:]), np.uint8)
        frames, self._memory = self.model.decoder.decode(latents, self._memory)
        return frames[0].cpu().numpy()

    def _describe(self, frames: Frames, transition: Transition, action: ActionIndex | None) -> dict[str, Any]:
        """The info of the block just made: nothing in it depends on anything but weights, seed and actions."""
        return {
            "block": self._rollout.next_block - 1,
            "num_frames": len(frames),
            "action": action,
            "subject": self.steering.subject,
            "scene": self.steering.scene,
            "motion": self.steering.motion,
            "prompt": self.steering.prompt,
            "transition": transition.value,
        }

    def _present(self, frames: Frames, info: dict[str, Any]) -> tuple[Frames, dict[str, Any]]:
        """Make a block the newest one and show or keep its frames; returns fresh copies of observation and info."""
        missing = self.block_shape[0] - len(frames)  # only in the first block
        observation = np.concatenate([np.repeat(frames[:1], missing, axis=0), frames])
        self.newest = observation, info
        if self.render_mode == "rgb_array_list":
            self._unrendered.append(frames)
        if self.render_mode == "human":
            self._open_window().play_frames(frames, FRAMES_PER_SECOND)
        return observation.copy(), dict(info)

    def _open_window(self) -> DisplayWindow:
        if self._player_window is None:
            from infrope_env.player.window import DisplayWindow

            self._player_window = DisplayWindow(self.model.frame_size, title=f"infrope: {self.model.name}")
        return self._player_window

    def _require_reset(self, wanted: str) -> tuple[Frames, dict[str, Any]]:
        if self.newest is None:
            reason = "there is no world yet, or its last block was stopped half way"
            raise ResetNeeded(f"Cannot call {wanted}() before reset(): {reason}. Call reset() first.")
        return self.newest


def _check(render_mode: str | None, max_blocks: int | None) -> None:
    if render_mode is not None and render_mode not in RENDER_MODES:
        raise ValueError(f"expected render_mode to be None or one of {', '.join(RENDER_MODES)}, got {render_mode!r}")
    if max_blocks is not None and (not isinstance(max_blocks, int) or max_blocks < 2):
        raise ValueError(f"expected max_blocks to be at least 2 (reset makes the first block), got {max_blocks!r}")


def _checked_options(options: Mapping[str, Any] | None) -> tuple[dict[str, str], object | None]:
    """Names and text, and apart from them the image."""
    for key, value in (options or {}).items():
        if key not in START_OPTIONS:
            raise ValueError(f"expected reset options to be among {', '.join(START_OPTIONS)}, got {key!r}")
        if key in NAME_OPTIONS and not isinstance(value, str):
            raise ValueError(f"expected reset option {key!r} to be a string, got {value!r}")
    names = {key: value for key, value in (options or {}).items() if key in NAME_OPTIONS}
    return names, (options or {}).get("image")


def _cloned(memory: DecoderState) -> DecoderState:
    return tuple(tensor.clone() for tensor in memory)
