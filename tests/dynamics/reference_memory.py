"""A slow, obvious rollout for every memory policy: it keeps the keys and values of all frames and forgets no block.

It shares nothing with coordinates.py, cache.py and rope.py: frames are counted from the whole history, averages are
computed anew from all that they have taken in, and every key is rotated in every pass by the definition.
"""

import math
from dataclasses import dataclass, field
from functools import cache

import torch
from torch import Tensor

from infrope_env.config import Window
from infrope_env.dynamics.noise import seeded_noise
from infrope_env.dynamics.rollout import Rollout
from infrope_env.dynamics.transformer import CausalWanTransformer
from tests.dynamics.small_engine import CONTINUE, CUT, SMALL_MODEL, SWITCH

RATES = {"long": 0.01, "short": 0.1, "sink": 0.001}
Entry = tuple[Tensor, Tensor]
"""Keys and values of one frame or average, each layers b heads n head_dim."""


@cache
def rotation_matrices(coordinate: int, jittered: bool) -> Tensor:
    """Return the matrix that rotates a token of one frame, heads n head_dim head_dim, entry by entry."""
    heads, tokens, head_dim = SMALL_MODEL.num_heads, SMALL_MODEL.tokens_per_frame, SMALL_MODEL.head_dim
    spatial = head_dim // 6
    temporal = head_dim // 2 - 2 * spatial
    matrices = torch.zeros(heads, tokens, head_dim, head_dim, dtype=torch.float64)
    for head in range(heads):
        base = 10000.0 * (1 + 0.8 * (2 * head / (heads - 1) - 1)) if jittered else 10000.0
        for token in range(tokens):
            row, col = divmod(token, SMALL_MODEL.cols)
            angles = [coordinate * base ** -(i / temporal) for i in range(temporal)]
            angles += [place * 10000.0 ** -(i / spatial) for place in (row, col) for i in range(spatial)]
            for pair, angle in enumerate(angles):
                block = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
                pairs = slice(2 * pair, 2 * pair + 2)
                matrices[head, token, pairs, pairs] = torch.tensor(block, dtype=torch.float64)
    return matrices


def rotate_slowly(x: Tensor, coordinate: int, jittered: bool) -> Tensor:
    """Rotate the tokens of one frame, b heads n d, by one matrix for every token."""
    return (rotation_matrices(coordinate, jittered) @ x.unsqueeze(-1)).squeeze(-1)


@dataclass
class SlowContext:
    """One layer's context: rotated entries, and the coordinates of the block."""

    keys: Tensor
    values: Tensor
    block: tuple[int, ...]
    jittered: bool
    written: list[Entry] = field(default_factory=list)

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attend with tensors b heads n d, by the definition of softmax."""
        self.write_kv(key, value)
        keys = torch.cat((self.keys, self._rotate(key)), dim=2)
        scores = self._rotate(query) @ keys.mT / SMALL_MODEL.head_dim**0.5
        return scores.softmax(-1) @ torch.cat((self.values, value), dim=2)

    def write_kv(self, key: Tensor, value: Tensor) -> None:
        """Keep the un-rotated keys and values of the newest pass."""
        self.written = [(key, value)]

    def _rotate(self, x: Tensor) -> Tensor:
        frames = x.split(SMALL_MODEL.tokens_per_frame, dim=2)
        return torch.cat(
            [rotate_slowly(frame, c, self.jittered) for frame, c in zip(frames, self.block, strict=True)], dim=2
        )


class SlowRollout:
    """The reference: `denoise` returns the latents of the next block, b f c h w, and `commit` goes on from given ones.

    Given the latents of the rollout under test, rounding errors of one block do not grow in the next.
    """

    def __init__(self, model: CausalWanTransformer, window: Window) -> None:
        self.model, self.window = model, window
        self.parts = Rollout(model)  # its schedule, text projection and denoising loop; neither its cache nor its table
        self.frames: list[Entry] = []  # of the whole rollout
        self.story: list[object] = []  # transition of every block

    @torch.inference_mode()
    def denoise(self, embedding: Tensor, transition: object) -> Tensor:
        """Make the next block from the whole history."""
        self.story.append(transition)
        entries = self.visible()
        start = self.window.cut_coordinate if transition is CUT else len(entries)
        self.newest_contexts = self.contexts(entries, tuple(range(start, start + self.window.block)))
        self.text = self.model.project_text(embedding.to(torch.float64))
        shape = (1, self.window.block, SMALL_MODEL.latent_channels, *SMALL_MODEL.latent_size)
        noise = seeded_noise(0, len(self.story) - 1, (4, *shape)).double()
        return self.parts.denoise(self.model, noise, self.text, self.newest_contexts)

    @torch.inference_mode()
    def commit(self, latents: Tensor) -> None:
        """Keep keys and values of the newest block's latents."""
        contexts, n = self.newest_contexts, SMALL_MODEL.tokens_per_frame
        self.model.update_cache(latents, self.parts.commit_modulation, self.text, contexts)
        keys, values = (torch.stack([context.written[0][i] for context in contexts]) for i in (0, 1))
        self.frames += list(zip(keys.split(n, dim=3), values.split(n, dim=3), strict=True))

    def contexts(self, entries: list[Entry], block: tuple[int, ...]) -> list[SlowContext]:
        """Return a context per layer, with the entries at their ranks."""
        jittered, contexts = self.window.memory == "jitter", []
        for layer in range(SMALL_MODEL.num_layers):
            keys = [rotate_slowly(key[layer], rank, jittered) for rank, (key, _) in enumerate(entries)]
            values = [value[layer] for _, value in entries]
            empty = torch.zeros(1, SMALL_MODEL.num_heads, 0, SMALL_MODEL.head_dim, dtype=torch.float64)
            contexts.append(SlowContext(torch.cat([empty, *keys], 2), torch.cat([empty, *values], 2), block, jittered))
        return contexts

    def visible(self) -> list[Entry]:
        """Return what the newest block of the story sees, oldest first."""
        memory = self.window.memory
        if memory == "rolling_sink":
            return [self.frames[frame] for frame in self.rolled()]
        if memory == "ema":
            return self.with_memory_tokens()
        if memory == "ema_sink":
            return self.with_averaged_sink()
        return [self.frames[frame] for frame in self.pinned()]

    def flushes(self, index: int) -> bool:
        """Return whether a block of the story flushes."""
        return self.story[index] in (SWITCH, CUT)

    def forgets(self, index: int) -> bool:
        """Return whether a block of the story drops the memory."""
        wanted = {"never": (), "cut": (CUT,), "flush": (SWITCH, CUT)}[self.window.forget]
        return self.story[index] in wanted

    def pinned(self) -> list[int]:
        """Sink, deep sink, jitter: pinned frames and the newest ones."""
        seen: list[int] = []
        for index in range(len(self.story)):
            made = [*seen, *range(len(seen) and (index - 1) * self.window.block, index * self.window.block)]
            made = sorted(set(made)) if index else []
            sink = 1 if self.forgets(index) else self.window.sink
            recent = min(self.window.flush_context, self.window.context) if self.flushes(index) else self.window.context
            seen = sorted({*made[:sink], *(made[-recent:] if recent else [])})
        return seen

    def rolled(self) -> list[int]:
        """Rolling sink: play the archive to and fro, as a list that is as long as the rollout."""
        sink, context, block = self.window.sink, self.window.context, self.window.block
        period, cached, archive, first = sink + context, list[int](), None, 0
        seen: list[int] = []
        for index in range(len(self.story)):
            now = index * block
            if archive is None and len(cached) > period:
                archive = cached[:period]
            recent = 1 if self.flushes(index) else context
            if self.flushes(index):
                first = max(now - recent, 0)  # of the frames that this shot may see
            if self.forgets(index):
                archive, seen = None, sorted({*cached[:1], *cached[-1:]})
            elif archive is None:
                seen = sorted({*cached[:sink], *cached[-recent:]})
            else:
                endless = [*archive, *archive[::-1]] * (now // period + 2)
                played = period + now - 1 - archive[-1]
                seen = endless[played - period : played - context] + list(range(max(first, now - context), now))
            cached = sorted({*(seen if archive is None else {*cached, *seen}), *range(now, now + block)})
        return seen

    def lost(self) -> list[list[int]]:
        """Return the groups of frames that the memory has taken in, one for every block that lost frames."""
        sink, context, block = self.window.sink, self.window.context, self.window.block
        first, within, groups = 0, sink, list[list[int]]()
        for index in range(len(self.story)):
            if self.flushes(index):
                first = max(first, index * block - 1)
            if self.forgets(index):
                groups, within = [], max(within, first)
            if index + 1 < len(self.story):
                reach = max(sink, first, (index + 1) * block - context)
                groups, within = ([*groups, list(range(within, reach))] if reach > within else groups), reach
        return groups

    def newest(self) -> list[Entry]:
        """Return the frames since the newest flush, but no more than the context."""
        now = (len(self.story) - 1) * self.window.block
        flushes = [index * self.window.block - 1 for index in range(1, len(self.story)) if self.flushes(index)]
        return self.frames[max([self.window.sink, now - self.window.context, *flushes]) : now]

    def with_memory_tokens(self) -> list[Entry]:
        """EMA: sink, two averages of everything lost, newest frames."""
        groups = self.lost()
        tokens = [self.average(groups, RATES[name]) for name in ("long", "short")] if groups else []
        return [*self.frames[: self.window.sink], *tokens, *self.newest()]

    def with_averaged_sink(self) -> list[Entry]:
        """EMA sink: every frame of the sink has taken in the lost frames of its place."""
        sink = []
        for place, start in enumerate(self.frames[: self.window.sink]):
            groups = [[frame for frame in group if frame % self.window.sink == place] for group in self.lost()]
            sink.append(self.average([group for group in groups if group], RATES["sink"], start))
        return [*sink, *self.newest()]

    def average(self, groups: list[list[int]], rate: float, start: Entry | None = None) -> Entry:
        """Return the moving average over the means of groups; without a start it begins with the first mean."""
        keys_and_values = []
        for part in (0, 1):
            means = [sum(self.frames[frame][part] for frame in group) / len(group) for group in groups]
            value = means[0] if start is None else start[part]
            for mean in means:
                value = (1 - rate) * value + rate * mean
            keys_and_values.append(value)
        return keys_and_values[0], keys_and_values[1]


STORY_STEPS = (CONTINUE, CONTINUE, CONTINUE, SWITCH, CUT)
"""Transitions from which a random story is drawn."""
