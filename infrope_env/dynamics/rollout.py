"""How the world advances by one block: lay out, keep, denoise, commit, move on.

The only writer of the cache, and only its commit pass lasts. Knows embeddings and transitions, not prompts or pixels.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from infrope_env.config import ROTARY_TABLE_LENGTH, Sampler, Window
from infrope_env.control.actions import Transition
from infrope_env.dynamics.cache import CacheShape, ContextBuffers, KeyValueCache, LayerContext
from infrope_env.dynamics.coordinates import Layout, lay_out, re_encoding
from infrope_env.dynamics.rope import RotaryTable
from infrope_env.dynamics.schedule import Schedule, add_noise, read_clean
from infrope_env.dynamics.state import GeneratedBlock, RolloutState
from infrope_env.dynamics.transformer import AttentionContext, CausalWanTransformer, TextKV, TimeModulation

NoiseSource = Callable[[int, int, tuple[int, ...]], Tensor]
"""(seed, block index, shape) to standard normal noise; axis 0 is the denoising step."""

LayoutRule = Callable[[tuple[int, ...], Transition, Window], Layout]
"""(cached frame ids, transition, window) to the next block's layout; `coordinates.lay_out` is the one for play."""

ContextHook = Callable[[Layout, tuple[int, ...], list[LayerContext]], Sequence[AttentionContext]]
"""(layout, ids of the visible cached frames, contexts by layer) to the contexts that the transformer is given."""


def seeded_noise(seed: int, block: int, shape: tuple[int, ...]) -> Tensor:
    """Noise that depends on nothing but seed and block, drawn on the CPU: float32."""
    entropy = int(np.random.SeedSequence((seed, block)).generate_state(1, np.uint64)[0] >> np.uint64(1))
    return torch.randn(shape, generator=torch.Generator().manual_seed(entropy))


class Rollout:
    """One endless autoregressive rollout.

    Attributes:
        next_block: index of the block that `advance` will make; observed ones count.
        timings: seconds that the last block's parts took: denoise_s (with what "recache" encodes again), commit_s.
    """

    def __init__(
        self,
        model: CausalWanTransformer,
        window: Window | None = None,
        sampler: Sampler | None = None,
        noise: NoiseSource = seeded_noise,
        *,
        rotary_length: int = ROTARY_TABLE_LENGTH,
        layout_rule: LayoutRule = lay_out,
        context_hook: ContextHook | None = None,
    ) -> None:
        """Allocate the cache for one row and start over with seed 0.

        Args:
            model: the generator; shared, never changed.
            window: sizes and rules; the defaults when omitted.
            sampler: denoising steps; the defaults when omitted.
            noise: source of the noise.
            rotary_length: coordinates in the rotary table; longer than the official 1024 for experiments.
            layout_rule: chooses visible frames and coordinates; replaced in experiments only.
            context_hook: wraps the contexts of every block, for example to record attention weights.
        """
        self.model, self.window, self.noise = model, window or Window(), noise
        self.schedule = Schedule.of(sampler or Sampler())
        parameter = model.head.modulation
        self.device, self.dtype = parameter.device, parameter.dtype
        self._lay_out, self._context_hook = layout_rule, context_hook
        config = model.config
        self._table = RotaryTable(config.head_dim, config.rows, config.cols, self.device, rotary_length)
        self.timings: dict[str, float] = {}
        self._text: tuple[Tensor, TextKV] | None = None
        self._latents: dict[int, Tensor] = {}  # of the cached frames, for "recache" alone
        self._allocate(batch=1)
        self.reset(seed=0)

    @torch.inference_mode()
    def reset(self, seed: int, batch: int = 1) -> None:
        """Forget everything and start over, with the weights as they are now; memory is reused if batch stays."""
        self._make_room(batch)
        self._modulations, self._text = self._modulate_all(), None
        self.cache.keep(())
        self._latents = {}
        self.seed, self.next_block, self.next_frame = seed, 0, 0

    @torch.inference_mode()
    def advance(self, embedding: Tensor, transition: Transition) -> GeneratedBlock:
        """Make the next block.

        Args:
            embedding: the prompt in force, b text_len text_dim.
            transition: how it follows from the block before; a SWITCH flushes, a CUT flushes and cuts.

        Raises:
            ValueError: for an embedding of another shape, or a coordinate outside the rotary table. Whatever stops a
                block before its end, the rollout stays as it was and can go on.
        """
        text = self._project(embedding)
        started = time.perf_counter()
        past = self._past(text, transition)
        layout, contexts = self._look_back(transition, past)
        latents = self._denoise(text, contexts)
        denoised = time.perf_counter()
        self._commit(latents, text, contexts, layout, past)
        self.timings = {"denoise_s": denoised - started, "commit_s": time.perf_counter() - denoised}
        self.next_block += 1
        return GeneratedBlock(self.next_block - 1, latents, transition, layout)

    @torch.inference_mode()
    def observe(self, latents: Tensor, embedding: Tensor) -> None:
        """Take given clean latent frames (b f c h w, f a multiple of the block) as if they had just been generated.

        They count as blocks: the next one that is generated has the noise of its place after them.

        Raises:
            ValueError: for another shape; nothing has been taken then.
        """
        self._check_latents(latents)
        started = time.perf_counter()
        for frames in latents.to(self.device, self.dtype).split(self.window.block, dim=1):
            layout, contexts = self._look_back(Transition.CONTINUE, self.cache)
            self._commit(frames, self._project(embedding), contexts, layout, self.cache)
            self.next_block += 1
        self.timings = {"denoise_s": 0.0, "commit_s": time.perf_counter() - started}

    @torch.inference_mode()
    def save(self) -> RolloutState:
        """Copy all that the future depends on."""
        keys, values = self.cache.keys.clone(), self.cache.values.clone()
        return RolloutState(
            keys, values, self.cache.slot_of, self.next_frame, self.next_block, self.seed, dict(self._latents)
        )

    @torch.inference_mode()
    def restore(self, state: RolloutState) -> None:
        """Go back to a saved state; the state stays usable.

        Raises:
            ValueError: for a state of a rollout with another model or window, or without the latents "recache" needs.
        """
        batch = state.keys.shape[1]
        expected = self._cache_shape(batch).axes
        if state.keys.shape != expected:
            raise ValueError(
                f"expected the state of a rollout with this model and window, keys of shape {expected}, "
                f"got {tuple(state.keys.shape)}"
            )
        if self._keeps_latents and not state.slot_of.keys() <= state.latents.keys():
            raise ValueError("expected a state with latents, as a rollout with on_switch='recache' saves it")
        self._make_room(batch)
        self.cache.copy_from(state.keys, state.values, state.slot_of)
        self._latents = dict(state.latents) if self._keeps_latents else {}
        self.seed = state.seed
        self.next_frame, self.next_block = state.next_frame, state.next_block

    @property
    def _keeps_latents(self) -> bool:
        return self.window.on_switch == "recache"

    def _past(self, text: TextKV, transition: Transition) -> KeyValueCache:
        """What the next block looks back on: the cache, or under "recache" what it sees of it in a new prompt's light.

        Changes nothing that lasts.
        """
        if transition is not Transition.SWITCH or not self._keeps_latents:
            return self.cache
        layout = self._lay_out(self.cache.frame_ids, transition, self.window)
        visible = tuple(self.cache.frame_ids[slot] for slot in layout.slots)
        renewed = KeyValueCache(self.cache.shape, self.device, self.dtype)
        for frames, piece in re_encoding(visible, layout.context, self.window.block):
            contexts = self._attention.gather(renewed, piece, self._table)
            latents = torch.stack([self._latents[frame] for frame in frames], dim=1)
            self.model.update_cache(latents, self._modulations[-1], text, contexts)
            renewed.store(frames, self._attention.fresh_keys, self._attention.fresh_values)
        return renewed

    def _look_back(self, transition: Transition, past: KeyValueCache) -> tuple[Layout, Sequence[AttentionContext]]:
        """Lay out the next block and rotate the keys it sees. Changes nothing that lasts."""
        layout = self._lay_out(past.frame_ids, transition, self.window)
        contexts = self._attention.gather(past, layout, self._table)
        if self._context_hook is None:
            return layout, contexts
        return layout, self._context_hook(layout, tuple(past.frame_ids[slot] for slot in layout.slots), contexts)

    def _denoise(self, text: TextKV, contexts: Sequence[AttentionContext]) -> Tensor:
        """From noise to clean latents, b f c h w, in as many passes as the schedule has steps."""
        noise = self._block_noise()
        noisy = noise[0]
        for step, (sigma, modulation) in enumerate(zip(self.schedule.sigmas, self._modulations[:-1], strict=True)):
            output = self.model(noisy, modulation, text, contexts)
            clean = read_clean(self.model.config.prediction, output, noisy, sigma)
            if step + 1 < len(noise):
                noisy = add_noise(clean, noise[step + 1], self.schedule.sigmas[step + 1])
        return clean

    def _commit(
        self, latents: Tensor, text: TextKV, contexts: Sequence[AttentionContext], layout: Layout, past: KeyValueCache
    ) -> None:
        """One more pass on the clean block; what it did not see is forgotten, its keys and values are remembered."""
        self.model.update_cache(latents, self._modulations[-1], text, contexts)
        if past is not self.cache:
            self.cache.copy_from(past.keys, past.values, past.slot_of)
        self.cache.keep(layout.slots)
        frames = range(self.next_frame, self.next_frame + self.window.block)
        self.cache.store(frames, self._attention.fresh_keys, self._attention.fresh_values)
        self.next_frame += self.window.block
        if self._keeps_latents:
            self._latents |= dict(zip(frames, latents.unbind(1), strict=True))
            self._latents = {frame: self._latents[frame] for frame in self.cache.frame_ids}

    def _block_noise(self) -> Tensor:
        config = self.model.config
        latent = (self.cache.shape.batch, self.window.block, config.latent_channels, *config.latent_size)
        noise = self.noise(self.seed, self.next_block, (len(self.schedule.sigmas), *latent))
        noise = noise.to(self.dtype)
        if self.device.type == "cuda":
            noise = noise.pin_memory()  # a copy from pageable memory would wait for the GPU
        return noise.to(self.device, non_blocking=True)

    def _project(self, embedding: Tensor) -> TextKV:
        """Text keys and values, computed once per prompt: again when another tensor comes."""
        if self._text is None or self._text[0] is not embedding:
            config = self.model.config
            _check_shape("embedding", embedding, (self.cache.shape.batch, config.text_len, config.text_dim))
            self._text = embedding, self.model.project_text(embedding.to(self.device, self.dtype))
        return self._text[1]

    def _modulate_all(self) -> list[TimeModulation]:
        """One modulation per denoising step and, last, the commit pass's at timestep 0."""
        timesteps = torch.tensor([*self.schedule.timesteps, 0.0], device=self.device)
        return [self.model.modulate(timestep) for timestep in timesteps.split(1)]

    def _check_latents(self, latents: Tensor) -> None:
        config, block = self.model.config, self.window.block
        frames = latents.shape[1] if latents.ndim == 5 else 0
        whole_blocks = max(block, frames - frames % block)
        _check_shape(
            "latents", latents, (self.cache.shape.batch, whole_blocks, config.latent_channels, *config.latent_size)
        )

    def _cache_shape(self, batch: int) -> CacheShape:
        c = self.model.config
        return CacheShape(c.num_layers, batch, c.num_heads, self.window.size, c.tokens_per_frame, c.head_dim)

    def _make_room(self, batch: int) -> None:
        if self.cache.shape.batch != batch:
            self._allocate(batch)

    def _allocate(self, batch: int) -> None:
        self._text = None
        shape = self._cache_shape(batch)
        self.cache = KeyValueCache(shape, self.device, self.dtype)
        self._attention = ContextBuffers(shape, self.window.block, self.device, self.dtype)


def _check_shape(name: str, tensor: Tensor, expected: tuple[int, ...]) -> None:
    if tensor.shape != expected:
        raise ValueError(f"expected {name} of shape {expected}, got {tuple(tensor.shape)}")
