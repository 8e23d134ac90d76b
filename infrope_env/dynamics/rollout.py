"""The rollout: lay out -> gather -> denoise -> commit, block after block.

`Rollout` alone writes the cache, and only its commit pass does. Its inputs are embeddings and transitions, its outputs
clean latent frames.
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
from infrope_env.dynamics.coordinates import Layout, lay_out, recache_passes
from infrope_env.dynamics.rope import RotaryTable
from infrope_env.dynamics.schedule import Schedule, add_noise, clean_estimate
from infrope_env.dynamics.state import GeneratedBlock, RolloutState
from infrope_env.dynamics.transformer import AttentionContext, CausalWanTransformer, TextKV, TimeModulation

NoiseSource = Callable[[int, int, tuple[int, ...]], Tensor]
"""(seed, block index, shape) to standard normal noise; axis 0 is the denoising step."""

LayoutRule = Callable[[tuple[int, ...], Transition, Window], Layout]
"""(cached frame ids, transition, window) to the next block's layout, as `coordinates.lay_out`."""

ContextHook = Callable[[Layout, tuple[int, ...], list[LayerContext]], Sequence[AttentionContext]]
"""(layout, ids of the visible cached frames, contexts by layer) to the contexts that the transformer gets."""


def seeded_noise(seed: int, block: int, shape: tuple[int, ...]) -> Tensor:
    """Draw float32 noise on the CPU that depends on seed, block index and shape only."""
    entropy = int(np.random.SeedSequence((seed, block)).generate_state(1, np.uint64)[0] >> np.uint64(1))
    return torch.randn(shape, generator=torch.Generator().manual_seed(entropy))


class Rollout:
    """One autoregressive rollout without an end.

    Attributes:
        cache: Keys and values of the cached frames.
        window: Sizes and rules of the attention window.
        seed: Seed of the noise, from the last `reset`.
        next_block: Index of the block that `advance` makes next; prefilled blocks count.
        next_frame: Id of that block's first latent frame.
        timings: Seconds of the last block's parts: denoise_s (including the passes of "recache") and commit_s.
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
        """Allocate the cache for a batch of one and reset with seed 0.

        Args:
            model: Generator; rollouts can share it, because they never change it.
            window: Sizes and rules of the attention window. Default `Window()`.
            sampler: Denoising steps. Default `Sampler()`.
            noise: Source of the noise.
            rotary_length: Number of temporal coordinates in the rotary table. Default 1024, as in the official code. A
                rollout under absolute coordinates ends where the table ends.
            layout_rule: Function that lays out every block, prefilled ones included, in place of `coordinates.lay_out`.
                It is called once per block, under "recache" twice when the prompt changes.
            context_hook: Function that may wrap the contexts of every block, prefilled ones included, for example to
                record attention weights. It is called after the visible keys are rotated and before the first
                denoising pass, but not for the passes that "recache" adds.
        """
        self.model, self.window, self.noise = model, window or Window(), noise
        self.schedule = Schedule.of(sampler or Sampler())
        parameter = model.head.modulation
        self.device, self.dtype = parameter.device, parameter.dtype
        self._layout_rule, self._context_hook = layout_rule, context_hook
        config = model.config
        self._rotary_table = RotaryTable(config.head_dim, config.rows, config.cols, self.device, rotary_length)
        self.timings: dict[str, float] = {}
        self._text: tuple[Tensor, TextKV] | None = None  # the embedding in force, and its keys and values
        self._latents: dict[int, Tensor] = {}  # of the cached frames, kept for "recache" only
        self._allocate(batch=1)
        self.reset(seed=0)

    @torch.inference_mode()
    def reset(self, seed: int, batch: int = 1) -> None:
        """Start over with an empty cache.

        Text projections and timestep modulations are computed again, because training may have changed the weights
        since the last reset.

        Args:
            seed: Seed of the noise.
            batch: Rows of every tensor. The cache is allocated again only when this changes.
        """
        self._resize_batch(batch)
        self._modulations, self._text = self._modulate_all(), None
        self.cache.keep(())
        self._latents = {}
        self.seed, self.next_block, self.next_frame = seed, 0, 0

    @torch.inference_mode()
    def advance(self, embedding: Tensor, transition: Transition) -> GeneratedBlock:
        """Generate the next block. An exception leaves the rollout as it was before the call.

        Args:
            embedding: Embedding of the prompt in force, b text_len text_dim.
            transition: How the block follows the one before it; a SWITCH flushes, a CUT flushes and cuts.

        Raises:
            ValueError: The embedding has another shape, or a coordinate is outside the rotary table.
        """
        text = self._project_text(embedding)
        started = time.perf_counter()
        cache = self._recached(text) if self._recaches and transition is Transition.SWITCH else self.cache
        layout, contexts = self._gather_contexts(cache, transition)
        latents = self._denoise(text, contexts)
        denoised = time.perf_counter()
        self._commit(latents, text, contexts, layout, cache)
        self.timings = {"denoise_s": denoised - started, "commit_s": time.perf_counter() - denoised}
        self.next_block += 1
        return GeneratedBlock(self.next_block - 1, latents, transition, layout)

    @torch.inference_mode()
    def prefill(self, latents: Tensor, embedding: Tensor) -> None:
        """Append given clean latent frames to the rollout as if it had generated them.

        They count as blocks: after one prefilled block, the first generated one has index 1 and the noise of index 1.

        Args:
            latents: Clean latent frames, b f c h w; f is a multiple of the block size.
            embedding: Embedding of their prompt, b text_len text_dim.

        Raises:
            ValueError: A tensor has another shape; then the rollout stays as it was.
        """
        self._check_latents(latents)
        started = time.perf_counter()
        for frames in latents.to(self.device, self.dtype).split(self.window.block, dim=1):
            layout, contexts = self._gather_contexts(self.cache, Transition.CONTINUE)
            self._commit(frames, self._project_text(embedding), contexts, layout, self.cache)
            self.next_block += 1
        self.timings = {"denoise_s": 0.0, "commit_s": time.perf_counter() - started}

    @torch.inference_mode()
    def save(self) -> RolloutState:
        """Return a copy of everything that the future depends on, in host memory."""
        keys, values = (tensor.to("cpu", copy=True) for tensor in (self.cache.keys, self.cache.values))
        latents = {frame: tensor.cpu() for frame, tensor in self._latents.items()}
        return RolloutState(keys, values, self.cache.slot_of, self.next_frame, self.next_block, self.seed, latents)

    @torch.inference_mode()
    def restore(self, state: RolloutState) -> None:
        """Return to a saved state, which can be restored any number of times.

        Raises:
            ValueError: The state is of another model or window size, or lacks the latents that "recache" needs.
        """
        batch = state.keys.shape[1]
        expected = self._cache_shape(batch).axes
        if state.keys.shape != expected:
            raise ValueError(
                f"expected the state of a rollout with this model and window, keys of shape {expected}, "
                f"got {tuple(state.keys.shape)}"
            )
        if self._recaches and not state.slot_of.keys() <= state.latents.keys():
            raise ValueError("expected a state with latents, as a rollout with on_switch='recache' saves it")
        self._resize_batch(batch)
        self.cache.copy_from(state.keys, state.values, state.slot_of)
        self._latents = {}
        if self._recaches:
            self._latents = {frame: tensor.to(self.device) for frame, tensor in state.latents.items()}
        self.seed = state.seed
        self.next_frame, self.next_block = state.next_frame, state.next_block

    @property
    def _recaches(self) -> bool:
        return self.window.on_switch == "recache"

    def _recached(self, text: TextKV) -> KeyValueCache:
        """Return a new cache that holds the visible frames, encoded again under a new prompt."""
        layout = self._layout_rule(self.cache.frame_ids, Transition.SWITCH, self.window)
        visible = tuple(self.cache.frame_ids[slot] for slot in layout.slots)
        recached = KeyValueCache(self.cache.shape, self.device, self.dtype)
        for frames, pass_layout in recache_passes(visible, layout.context, self.window.block):
            contexts = self._buffers.gather(recached, pass_layout, self._rotary_table)
            latents = torch.stack([self._latents[frame] for frame in frames], dim=1)
            self.model.update_cache(latents, self._modulations[-1], text, contexts)
            recached.store(frames, self._buffers.fresh_keys, self._buffers.fresh_values)
        return recached

    def _gather_contexts(
        self, cache: KeyValueCache, transition: Transition
    ) -> tuple[Layout, Sequence[AttentionContext]]:
        """Lay out the next block and rotate the keys that it sees. Writes the buffers only."""
        layout = self._layout_rule(cache.frame_ids, transition, self.window)
        contexts = self._buffers.gather(cache, layout, self._rotary_table)
        if self._context_hook is None:
            return layout, contexts
        return layout, self._context_hook(layout, tuple(cache.frame_ids[slot] for slot in layout.slots), contexts)

    def _denoise(self, text: TextKV, contexts: Sequence[AttentionContext]) -> Tensor:
        """Return the block's clean latents, b f c h w, after one forward pass per step of the schedule."""
        noise = self._draw_noise()
        noisy = noise[0]
        for step, (sigma, modulation) in enumerate(zip(self.schedule.sigmas, self._modulations[:-1], strict=True)):
            output = self.model(noisy, modulation, text, contexts)
            clean = clean_estimate(self.model.config.prediction, output, noisy, sigma)
            if step + 1 < len(noise):
                noisy = add_noise(clean, noise[step + 1], self.schedule.sigmas[step + 1])
        return clean

    def _commit(
        self, latents: Tensor, text: TextKV, contexts: Sequence[AttentionContext], layout: Layout, cache: KeyValueCache
    ) -> None:
        """Run the commit pass on the clean block, then drop the frames that it did not see and store its own."""
        self.model.update_cache(latents, self._modulations[-1], text, contexts)
        if cache is not self.cache:
            self.cache.copy_from(cache.keys, cache.values, cache.slot_of)
        self.cache.keep(layout.slots)
        frames = range(self.next_frame, self.next_frame + self.window.block)
        self.cache.store(frames, self._buffers.fresh_keys, self._buffers.fresh_values)
        self.next_frame += self.window.block
        if self._recaches:
            self._latents |= dict(zip(frames, latents.unbind(1), strict=True))
            self._latents = {frame: self._latents[frame] for frame in self.cache.frame_ids}

    def _draw_noise(self) -> Tensor:
        """Return the noise of every step of the next block, steps b f c h w, on the model's device."""
        config = self.model.config
        latent = (self.cache.shape.batch, self.window.block, config.latent_channels, *config.latent_size)
        noise = self.noise(self.seed, self.next_block, (len(self.schedule.sigmas), *latent))
        noise = noise.to(self.dtype)
        if self.device.type == "cuda":
            noise = noise.pin_memory()  # a copy from pageable memory would wait for the GPU
        return noise.to(self.device, non_blocking=True)

    def _project_text(self, embedding: Tensor) -> TextKV:
        """Return the prompt's cross-attention keys and values; computed only when another tensor is given."""
        if self._text is None or self._text[0] is not embedding:
            config = self.model.config
            _check_shape("embedding", embedding, (self.cache.shape.batch, config.text_len, config.text_dim))
            self._text = embedding, self.model.project_text(embedding.to(self.device, self.dtype))
        return self._text[1]

    def _modulate_all(self) -> list[TimeModulation]:
        """Return one modulation per denoising step and, last, the commit pass's at timestep 0."""
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

    def _resize_batch(self, batch: int) -> None:
        if self.cache.shape.batch != batch:
            self._allocate(batch)

    def _allocate(self, batch: int) -> None:
        self._text = None
        shape = self._cache_shape(batch)
        self.cache = KeyValueCache(shape, self.device, self.dtype)
        self._buffers = ContextBuffers(shape, self.window.block, self.device, self.dtype)


def _check_shape(name: str, tensor: Tensor, expected: tuple[int, ...]) -> None:
    if tensor.shape != expected:
        raise ValueError(f"expected {name} of shape {expected}, got {tuple(tensor.shape)}")
