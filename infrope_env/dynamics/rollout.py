"""The rollout: lay out -> gather -> denoise -> commit, block after block.

`Rollout` alone writes the cache, and only its commit pass does. Its inputs are embeddings and transitions, its outputs
clean latent frames. A block's latents are there before its commit pass, which is due before the next block begins.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from infrope_env.config import ROTARY_TABLE_LENGTH, Sampler, Window
from infrope_env.control.actions import Transition
from infrope_env.dynamics.attention import attention_order
from infrope_env.dynamics.cache import CacheShape, ContextBuffers, KeyValueCache, LayerContext
from infrope_env.dynamics.coordinates import Layout, lay_out, recache_passes
from infrope_env.dynamics.noise import BlockNoise, NoiseSource, noise_of
from infrope_env.dynamics.rope import RotaryTable
from infrope_env.dynamics.schedule import Schedule, add_noise, clean_estimate
from infrope_env.dynamics.state import DueCommit, GeneratedBlock, PreparedBlock, RolloutState
from infrope_env.dynamics.transformer import AttentionContext, CausalWanTransformer, Network, TextKV, TimeModulation

LayoutRule = Callable[[tuple[int, ...], Transition, Window], Layout]
"""(cached frame ids, transition, window) to the next block's layout, as `coordinates.lay_out`."""

ContextHook = Callable[[Layout, tuple[int, ...], list[LayerContext]], Sequence[AttentionContext]]
"""(layout, ids of the visible cached frames, contexts by layer) to the contexts that the transformer gets."""


class Rollout:
    """One autoregressive rollout without an end.

    Attributes:
        cache: Keys and values of the cached frames, those of a block whose commit is due not among them.
        window: Sizes and rules of the attention window.
        network: Network of the blocks from the next one on: the model, or compiled code of it. A block is committed by
            the network that denoised it.
        context_hook: Function that may wrap the contexts of every block from the next one on; None for none.
        seed: Seed of the noise, from the last `reset`.
        next_block: Index of the block that is made next; prefilled blocks count.
        schedule: Noise levels of every block but the first.
        first_schedule: Noise levels of the first block that is generated; prefilled blocks do not count.
        rotary_table: Rotations by coordinate.
        commit_modulation: Modulation of the commit pass, at timestep 0.
        timings: Seconds of the newest block: denoise_s, including the passes of "recache"; commit_s, of the commit
            passes that ran since its making began.
    """

    def __init__(
        self,
        model: CausalWanTransformer,
        window: Window | None = None,
        sampler: Sampler | None = None,
        noise: NoiseSource | None = None,
        *,
        rotary_length: int = ROTARY_TABLE_LENGTH,
        layout_rule: LayoutRule = lay_out,
        context_hook: ContextHook | None = None,
    ) -> None:
        """Allocate the cache and reset with seed 0.

        Args:
            model: Generator; rollouts can share it, because they never change it.
            window: Sizes and rules of the attention window. Default `Window()`.
            sampler: Denoising steps. Default `Sampler()`.
            noise: Source of the noise. Default that of the sampler: `seeded_noise`, unless it has antiphase noise.
            rotary_length: Number of temporal coordinates in the rotary table. Default 1024, as in the official code. A
                rollout under absolute coordinates ends where the table ends.
            layout_rule: Function that lays out every block, prefilled ones included, in place of `coordinates.lay_out`.
                It is called once per block, under "recache" twice when the prompt changes.
            context_hook: Function that may wrap the contexts of every block, prefilled ones included, for example to
                record attention weights. It is called after the visible keys are rotated and before the first
                denoising pass, but not for the passes that "recache" adds.
        """
        sampler = sampler or Sampler()
        self.model, self.window, self.noise = model, window or Window(), noise or noise_of(sampler)
        self.network: Network = model
        self.schedule, self.first_schedule = Schedule.of(sampler), Schedule.of(sampler, first_block=True)
        parameter = model.head.modulation
        self.device, self.dtype = parameter.device, parameter.dtype
        self._layout_rule, self.context_hook = layout_rule, context_hook
        self.rotary_table = RotaryTable.of(model.config, self.window, self.device, rotary_length)
        self._block_noise = BlockNoise(self.device, self.dtype)
        self.timings = {"denoise_s": 0.0, "commit_s": 0.0}
        self._due: DueCommit | None = None  # of the newest block
        self._text: tuple[Tensor, TextKV] | None = None  # the embedding in force, and its keys and values
        self._latents: dict[int, Tensor] = {}  # of the cached frames, kept for "recache" only
        shape = self._cache_shape
        self.cache = KeyValueCache(shape, self.device, self.dtype)
        visible = replace(shape, slots=self.window.size)
        self._buffers = ContextBuffers(visible, self.window.block, self.device, self.dtype)
        self.reset(seed=0)

    @torch.inference_mode()
    def reset(self, seed: int) -> None:
        """Start over with an empty cache.

        Text projections and timestep modulations are computed again, because training may have changed the weights
        since the last reset.

        Args:
            seed: Seed of the noise.
        """
        self._modulations = {schedule: self._modulate(schedule) for schedule in {self.schedule, self.first_schedule}}
        self.commit_modulation, self._text = self.model.modulate(torch.zeros(1, device=self.device)), None
        self._due = None
        self.cache.keep(())
        self._latents = {}
        self.seed, self.next_block, self.next_frame, self._has_generated = seed, 0, 0, False

    def advance(self, embedding: Tensor, transition: Transition) -> GeneratedBlock:
        """Generate the next block and commit it; arguments and errors as in `generate`.

        An exception leaves the rollout as it was before the call.
        """
        self.commit()
        before = self.next_block, self._has_generated
        try:
            block = self.generate(embedding, transition)
            self.commit()
        except BaseException:
            if self._due is not None:
                self.next_block, self._has_generated, self._due = *before, None
            raise
        return block

    @torch.inference_mode()
    def generate(self, embedding: Tensor, transition: Transition) -> GeneratedBlock:
        """Denoise the next block, after the commit pass of the one before if that is due. Its own is due then.

        An exception leaves the rollout as it was before the call, except that a due commit may have been done.

        Args:
            embedding: Embedding of the prompt in force, b text_len text_dim.
            transition: How the block follows the one before it; a SWITCH flushes, a CUT flushes and cuts.

        Raises:
            ValueError: The embedding has another shape, or a coordinate is outside the rotary table.
        """
        self.begin_timings()
        self.commit()
        block = self.prepare(embedding, transition, self._buffers)
        noise = self.take_noise()
        return self.finish(block, self.denoise(block.network, noise, block.text, block.contexts))

    def begin_timings(self) -> None:
        """Begin the timings of the next block, of which a commit pass that is due is a part."""
        self.timings = {"denoise_s": 0.0, "commit_s": 0.0}

    def lay_out(self, transition: Transition) -> Layout:
        """Return the layout of the next block."""
        return self._layout_rule(self.cache.frame_ids, transition, self.window)

    def prepare(self, embedding: Tensor, transition: Transition, buffers: ContextBuffers) -> PreparedBlock:
        """Project the prompt of the next block, lay it out and rotate the keys that it sees, in the given buffers."""
        text = self._project_text(embedding)
        started = time.perf_counter()
        cache = self._recached(text, buffers) if self._recaches and transition is Transition.SWITCH else self.cache
        layout, contexts = self._gather_contexts(cache, transition, buffers)
        return PreparedBlock(text, contexts, layout, transition, cache, buffers, self.network, started)

    def denoise(self, network: Network, noise: Tensor, text: TextKV, contexts: Sequence[AttentionContext]) -> Tensor:
        """Return clean latents, b f c h w, after one forward pass per step of the next block's schedule.

        The rows may be blocks of several rollouts, all at that schedule; noise is steps b f c h w.
        """
        schedule, noisy = self.next_schedule, noise[0]
        for step, (sigma, modulation) in enumerate(zip(schedule.sigmas, self._modulations[schedule], strict=True)):
            with attention_order(self.device):
                output = network(noisy, modulation, text, contexts)
            clean = clean_estimate(self.model.config.prediction, output, noisy, sigma)
            if step + 1 < len(noise):
                noisy = add_noise(clean, noise[step + 1], schedule.sigmas[step + 1])
        return clean

    def finish(self, block: PreparedBlock, latents: Tensor) -> GeneratedBlock:
        """Move on behind a prepared block whose clean latents these are; its commit pass is due then."""
        self.timings["denoise_s"] = time.perf_counter() - block.started
        self.next_block, self._has_generated, self._due = self.next_block + 1, True, DueCommit(latents, block)
        visible = tuple(block.cache.frame_ids[slot] for slot in block.layout.slots)
        cached = self.cache.frame_ids
        return GeneratedBlock(self.next_block - 1, latents, block.transition, block.layout, cached, visible)

    @torch.inference_mode()
    def commit(self) -> None:
        """Run the commit pass of the newest block if it is due: write its keys and values to the cache.

        `generate`, `prefill` and `save` call this; a caller with time to spare may call it before them. A call that an
        exception ends can be repeated.
        """
        if self._due is not None:
            started, block = time.perf_counter(), self._due.block
            if not self._due_is_stored:
                self.update_cache(block.network, self._due.latents, block.text, block.contexts)
            self.store_due(started)

    def update_cache(
        self, network: Network, latents: Tensor, text: TextKV, contexts: Sequence[AttentionContext]
    ) -> None:
        """Write the keys and values of clean latents b f c h w to the contexts; as in `denoise`, of several rows."""
        with attention_order(self.device):
            network.update_cache(latents, self.commit_modulation, text, contexts)

    def due_latents(self, block: PreparedBlock) -> Tensor | None:
        """Return the clean latents of a prepared block, b f c h w, if its commit pass is due; None otherwise."""
        return self._due.latents if self._due is not None and self._due.block is block else None

    def store_due(self, started: float) -> None:
        """Store the keys and values of the due block, which its commit pass, begun at `started`, wrote to the buffers.

        The frames that no later block may see are dropped. A call that an exception ends can be repeated.
        """
        assert self._due is not None
        block, latents = self._due.block, self._due.latents
        frames = range(self.next_frame, self.next_frame + self.window.block)
        if not self._due_is_stored:
            if block.cache is not self.cache:
                self.cache.copy_from(block.cache.keys, block.cache.values, block.cache.slot_of)
            layout, fresh = block.layout, (block.buffers.fresh_keys, block.buffers.fresh_values)
            self.cache.store(frames, *fresh, kept=layout.kept, folding=layout.folding)
        kept: dict[int, Tensor] = {}
        if self._recaches:
            kept = self._latents | dict(zip(frames, latents.unbind(1), strict=True))
            kept = {frame: kept[frame] for frame in self.cache.frame_ids}
        self._latents, self.next_frame, self._due = kept, frames.stop, None
        self.timings["commit_s"] += time.perf_counter() - started

    @property
    def _due_is_stored(self) -> bool:
        """Whether an interrupted `store_due` has stored the due block's frames."""
        return self.next_frame + self.window.block - 1 in self.cache.frame_ids

    def draw_ahead(self) -> None:
        """Draw the next block's noise now, so that `generate` begins with it at hand."""
        self._block_noise.draw(*self._noise_arguments())

    def take_noise(self) -> Tensor:
        """Return the next block's noise, steps b f c h w, drawn ahead or now."""
        return self._block_noise.take(*self._noise_arguments())

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
        self.begin_timings()
        self.commit()
        for frames in latents.to(self.device, self.dtype).split(self.window.block, dim=1):
            block = self.prepare(embedding, Transition.CONTINUE, self._buffers)
            self.update_cache(block.network, frames, block.text, block.contexts)
            self._due = DueCommit(frames, block)
            self.store_due(block.started)
            self.next_block += 1

    @torch.inference_mode()
    def save(self) -> RolloutState:
        """Return a copy of everything that the future depends on, in host memory, after a commit that is due."""
        self.commit()
        keys, values = (tensor.to("cpu", copy=True) for tensor in (self.cache.keys, self.cache.values))
        slot_of, latents = self.cache.slot_of, {frame: tensor.cpu() for frame, tensor in self._latents.items()}
        counts = self.next_frame, self.next_block, self.seed
        averages = {frame: average.to("cpu", copy=True) for frame, average in self.cache.averages.items()}
        return RolloutState(keys, values, slot_of, *counts, latents, self._has_generated, averages)

    @torch.inference_mode()
    def restore(self, state: RolloutState) -> None:
        """Return to a saved state, which can be restored any number of times.

        Raises:
            ValueError: The state is of another model or window size, or lacks the latents that "recache" needs.
        """
        expected = self._cache_shape.axes
        if state.keys.shape != expected:
            raise ValueError(
                f"expected the state of a rollout with this model and window, keys of shape {expected}, "
                f"got {tuple(state.keys.shape)}"
            )
        if self._recaches and not state.slot_of.keys() <= state.latents.keys():
            raise ValueError("expected a state with latents, as a rollout with on_switch='recache' saves it")
        self._due = None
        self.cache.copy_from(state.keys, state.values, state.slot_of, state.averages)
        self._latents = {}
        if self._recaches:
            self._latents = {frame: tensor.to(self.device) for frame, tensor in state.latents.items()}
        self.seed = state.seed
        self.next_frame, self.next_block = state.next_frame, state.next_block
        self._has_generated = state.has_generated

    @property
    def _recaches(self) -> bool:
        return self.window.on_switch == "recache"

    def _recached(self, text: TextKV, buffers: ContextBuffers) -> KeyValueCache:
        """Return a new cache that holds the visible frames, encoded again under a new prompt."""
        layout = self.lay_out(Transition.SWITCH)
        visible = tuple(self.cache.frame_ids[slot] for slot in layout.slots)
        recached = KeyValueCache(self.cache.shape, self.device, self.dtype)
        for frames, pass_layout in recache_passes(visible, layout.context, self.window.block):
            contexts = buffers.gather(recached, pass_layout, self.rotary_table)
            latents = torch.stack([self._latents[frame] for frame in frames], dim=1)
            self.update_cache(self.network, latents, text, contexts)
            recached.store(frames, buffers.fresh_keys, buffers.fresh_values)
        return recached

    def _gather_contexts(
        self, cache: KeyValueCache, transition: Transition, buffers: ContextBuffers
    ) -> tuple[Layout, Sequence[AttentionContext]]:
        """Lay out the next block and rotate the keys that it sees. Writes the buffers only."""
        layout = self._layout_rule(cache.frame_ids, transition, self.window)
        contexts = buffers.gather(cache, layout, self.rotary_table)
        if self.context_hook is None:
            return layout, contexts
        return layout, self.context_hook(layout, tuple(cache.frame_ids[slot] for slot in layout.slots), contexts)

    def _noise_arguments(self) -> tuple[NoiseSource, int, int, tuple[int, ...]]:
        """Return source, seed, block index and shape of the next block's noise, steps b f c h w."""
        config, steps = self.model.config, len(self.next_schedule.sigmas)
        latent = (1, self.window.block, config.latent_channels, *config.latent_size)
        return self.noise, self.seed, self.next_block, (steps, *latent)

    @property
    def next_schedule(self) -> Schedule:
        """Noise levels of the next block."""
        return self.schedule if self._has_generated else self.first_schedule

    def _project_text(self, embedding: Tensor) -> TextKV:
        """Return the prompt's cross-attention keys and values; computed only when another tensor is given."""
        if self._text is None or self._text[0] is not embedding:
            config = self.model.config
            _check_shape("embedding", embedding, (1, config.text_len, config.text_dim))
            self._text = embedding, self.model.project_text(embedding.to(self.device, self.dtype))
        return self._text[1]

    def _modulate(self, schedule: Schedule) -> list[TimeModulation]:
        """Return one modulation per denoising step."""
        timesteps = torch.tensor(schedule.timesteps, device=self.device)
        return [self.model.modulate(timestep) for timestep in timesteps.split(1)]

    def _check_latents(self, latents: Tensor) -> None:
        config, block = self.model.config, self.window.block
        frames = latents.shape[1] if latents.ndim == 5 else 0
        whole_blocks = max(block, frames - frames % block)
        _check_shape("latents", latents, (1, whole_blocks, config.latent_channels, *config.latent_size))

    @property
    def _cache_shape(self) -> CacheShape:
        c = self.model.config
        return CacheShape(c.num_layers, 1, c.num_heads, self.window.cache_slots, c.tokens_per_frame, c.head_dim)


def _check_shape(name: str, tensor: Tensor, expected: tuple[int, ...]) -> None:
    if tensor.shape != expected:
        raise ValueError(f"expected {name} of shape {expected}, got {tuple(tensor.shape)}")
