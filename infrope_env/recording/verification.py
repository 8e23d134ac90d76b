"""Replay of a recorded rollout and comparison with its log, block by block.

The report names what was changed, what is missing, and how this machine differs from the one that recorded the rollout.
A different block counts as a failure only where bytes must agree.
"""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import torch

from infrope_env.control.frames import valid_frames
from infrope_env.control.playable import playable
from infrope_env.env import InfinityRopeEnv
from infrope_env.recording.episode import BlockRecord, EpisodeMeta, frames_digest
from infrope_env.recording.files import ReplayError
from infrope_env.recording.known_weights import find_decoder, find_lora, find_weights, remember
from infrope_env.recording.quality import Quality
from infrope_env.recording.reader import Recording, inherited_tampering
from infrope_env.recording.run_info import RunInfo
from infrope_env.recording.schema import MAX_THREADS
from infrope_env.recording.wrapper import RecordRollout


class Verdict(enum.Enum):
    """The outcome of a replay in one sentence."""

    SAME = "every block is the same"
    DIFFERENT = "the replay differs from the recording"
    NOT_COMPARABLE = "the blocks cannot be compared, because weights, versions or machine differ from the recording's"
    TAMPERED = "the recording was changed after it was written"


USED_ARGUMENTS = ("text_device", "text_dtype", "offload", "compile", "decode", "sampler", "steps")
"""Recorded arguments of the environment that a replay takes as they are."""
EXIT_CODES = {Verdict.SAME: 0, Verdict.DIFFERENT: 1, Verdict.TAMPERED: 1, Verdict.NOT_COMPARABLE: 3}


@dataclass(frozen=True)
class Report:
    """The outcome of a replay.

    Attributes:
        folder: The episode's folder.
        blocks: Number of blocks replayed and compared.
        differing_blocks: Indices of the blocks whose pixel frames are not the recorded ones.
        tampering: Changes made to the recording after it was written, one sentence each.
        differences: Differences from the environment it was recorded in, one sentence each.
        remarks: Other findings, such as a missing video, one sentence each.
    """

    folder: Path
    blocks: int
    differing_blocks: tuple[int, ...]
    tampering: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def first_differing_block(self) -> int | None:
        """Index of the first block whose pixel frames are not the recorded ones; None when all agree."""
        return self.differing_blocks[0] if self.differing_blocks else None

    @property
    def notes(self) -> tuple[str, ...]:
        """Every sentence of the report: tampering, then differences, then remarks."""
        return self.tampering + self.differences + self.remarks

    @property
    def verdict(self) -> Verdict:
        """The outcome in one sentence.

        A changed recording never counts as the same. Different blocks are a failure only where bytes must agree.
        """
        if self.tampering:
            return Verdict.TAMPERED
        if not self.differing_blocks:
            return Verdict.SAME
        return Verdict.NOT_COMPARABLE if self.differences else Verdict.DIFFERENT

    @property
    def ok(self) -> bool:
        """True if nothing was changed and every block is the same."""
        return self.verdict is Verdict.SAME

    @property
    def exit_code(self) -> int:
        """Exit code of `infrope replay --verify`: 0 the same, 1 different or changed, 3 not comparable."""
        return EXIT_CODES[self.verdict]

    def summary(self) -> str:
        """Return the outcome for the user: one line, then one line for each note."""
        count = f"{self.blocks} blocks replayed"
        if self.differing_blocks:
            count += f", {len(self.differing_blocks)} differ, the first is block {self.first_differing_block}"
        head = f"{self.folder.name}: {count}: {self.verdict.value}."
        return "\n".join([head, *(f"  {note}" for note in self.notes)])


def verify(folder: Path | str, **overrides: Any) -> Report:
    """Replay an episode without a window and compare every block; takes the keyword arguments of `replay`."""
    return replay(folder, **overrides)


def replay(
    folder: Path | str,
    out: Path | str | None = None,
    *,
    render_mode: str | None = None,
    threads: int | None = None,
    quality: Quality | None = None,
    **overrides: object,
) -> Report:
    """Replay an episode and compare every block with its log.

    Args:
        folder: Folder of one episode, DIR/episode_000.
        out: Folder in which the replay is recorded, together with the episodes that this one continues.
        render_mode: "human" shows the replay in a window. Closing it, or Esc, ends the replay; the report then
            counts the blocks shown so far.
        threads: Number of torch threads during the replay; by default the recorded one, because bytes depend on it.
        quality: Quality of the videos in `out`; by default that of the recording.
        overrides: Arguments of the environment in place of the recorded ones: `weights`, `lora`, `device`...

    Raises:
        ReplayError: The episode cannot be replayed at all.
        ValueError: `threads` is not from 1 to 256.
    """
    if threads is not None and not 1 <= threads <= MAX_THREADS:
        bound = "at least 1" if threads < 1 else f"at most {MAX_THREADS}"
        raise ValueError(f"expected threads to be {bound}, got {threads}")
    recording = Recording.read(Path(folder))
    lineage = recording.lineage()
    with _torch_threads(threads or recording.meta.made_with.threads):
        env = _make_env(recording.meta, render_mode, overrides)
        try:
            inner = env.unwrapped
            assert isinstance(inner, InfinityRopeEnv)
            if inner.background_code is not None and any(block.compiled for part in lineage for block in part.blocks):
                inner.background_code.wait()
            now = RunInfo.of(inner.model, inner.may_be_compiled)
            env = env if out is None else RecordRollout(env, out, quality or recording.meta.quality)
            blocks, differing_blocks, problem = _compare(env, lineage)
        finally:
            env.close()
    return Report(
        recording.folder,
        blocks,
        differing_blocks,
        tampering=recording.tampering + inherited_tampering(lineage),
        differences=tuple(recording.meta.made_with.differences(now)),
        remarks=(*recording.remarks, *problem),
    )


def replay_blocks(env: gymnasium.Env[Any, Any], lineage: list[Recording]) -> Iterator[tuple[BlockRecord, str]]:
    """Generate an episode's blocks in turn; yield each one's record and the digest of its frames in this replay.

    Args:
        env: The recorded environment.
        lineage: The episode, after those that it continues.
    """
    for episode, child in zip(lineage, [*lineage[1:], None], strict=True):
        made = _replay_episode(env, episode)
        if child is None:
            yield from made
        elif child.meta.continues is not None:
            for record, _ in made:
                if record.block == child.meta.continues.block:
                    break


def _replay_episode(env: gymnasium.Env[Any, Any], recording: Recording) -> Iterator[tuple[BlockRecord, str]]:
    """Generate the blocks of one episode; the block that it continues is the environment's newest one."""
    records = list(recording.blocks)
    if recording.meta.continues is None:
        _use_code(env, records[0])
        observation, info = env.reset(seed=recording.meta.seed, options=recording.options)
        yield records.pop(0), frames_digest(valid_frames(observation, info))
    else:
        playable(env).restore_state(playable(env).save_state())  # begins a new episode in a recording of the replay
    for record in records:
        if record.asked is not None:
            playable(env).set_prompt(record.asked.text, cut=record.asked.cut)
        _use_code(env, record)
        observation, _, _, closed, info = env.step(record.action)
        yield record, frames_digest(valid_frames(observation, info))
        if closed:  # the player closed the window; nothing else truncates a replay
            return


def _use_code(env: gymnasium.Env[Any, Any], record: BlockRecord) -> None:
    """Make the next block by compiled code if the recorded one was, where that was compiled during play."""
    inner = env.unwrapped
    if isinstance(inner, InfinityRopeEnv):
        inner.use_code = record.compiled


def _compare(env: gymnasium.Env[Any, Any], lineage: list[Recording]) -> tuple[int, tuple[int, ...], tuple[str, ...]]:
    """Return how many blocks were replayed, which differ, and why the replay ended early, if it did."""
    replayed, differing = 0, []
    try:
        for record, sha256 in replay_blocks(env, lineage):
            replayed += 1
            if sha256 != record.sha256:
                differing.append(record.block)
    except ReplayError:
        raise
    except ValueError as error:
        block = lineage[-1].blocks[replayed].block
        return replayed, (*differing, block), (f"Block {block} cannot be replayed: {error}",)
    return replayed, tuple(differing), ()


@contextlib.contextmanager
def _torch_threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _make_env(meta: EpisodeMeta, render_mode: str | None, overrides: Mapping[str, object]) -> gymnasium.Env[Any, Any]:
    """Make the recorded environment, on the recorded kind of device where this machine has one."""
    device: str | None = "cpu"
    if meta.made_with.device != "cpu":
        device = meta.env_kwargs.get("device") if torch.cuda.is_available() else None  # None: the environment chooses
    given = {name: value for name, value in overrides.items() if value is not None}
    settings = {name: meta.env_kwargs[name] for name in USED_ARGUMENTS if name in meta.env_kwargs}
    settings |= {"actions": meta.actions, "window": meta.window, "render_mode": render_mode}
    settings |= {"dtype": meta.made_with.dtype, "precision": meta.made_with.precision, "device": device}
    settings |= {"max_blocks": None, "reward": None}
    if "weights" not in given and (weights := find_weights(meta.env_kwargs.get("weights"), meta.made_with.weights)):
        settings["weights"] = weights
    if "decoder" not in given:
        settings["decoder"] = find_decoder(meta.env_kwargs.get("decoder"))
    if "lora" not in given and (lora := find_lora(meta.env_kwargs.get("lora"), meta.made_with.weights)):
        settings["lora"] = lora
    try:
        env = gymnasium.make(meta.env_id, disable_env_checker=True, **(settings | given))
    except (ValueError, gymnasium.error.Error) as error:
        raise ReplayError(f"The environment of this recording cannot be made: {error}") from error
    remember(given.get("weights"), given.get("lora"), env.unwrapped.model)  # type: ignore[attr-defined]
    return env
