"""Makes a recorded rollout again and compares it with its log, block by block.

Says what was changed, what is missing and what is otherwise here, and calls a difference a failure only where bytes
must agree.
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

from infrope_env.recording.reader import Recording, ReplayError
from infrope_env.recording.run_info import RunInfo
from infrope_env.recording.wrapper import EpisodeMeta, RecordRollout, valid_frames
from infrope_env.recording.writer import BlockRecord, Origin, frames_digest


class Verdict(enum.Enum):
    """What a replay found."""

    SAME = "every block is the same"
    DIFFERENT = "not the same"
    NOT_COMPARABLE = "not comparable: it was made under other circumstances"
    TAMPERED = "the recording was changed after it was made"


EXIT_CODES = {Verdict.SAME: 0, Verdict.DIFFERENT: 1, Verdict.TAMPERED: 1, Verdict.NOT_COMPARABLE: 3}


@dataclass(frozen=True)
class Report:
    """The outcome of a replay.

    Attributes:
        blocks: how many were made again and compared.
        differing: indices of those whose pixel frames are not the recorded ones.
        tampering: sentences on what was changed in the recording.
        circumstances: sentences on what was otherwise when it was made: weights, versions, class of machine.
        remarks: other sentences: a cut tail, a missing video.
    """

    folder: Path
    blocks: int
    differing: tuple[int, ...]
    tampering: tuple[str, ...] = ()
    circumstances: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def first_difference(self) -> int | None:
        """Index of the first block that came out differently."""
        return self.differing[0] if self.differing else None

    @property
    def notes(self) -> tuple[str, ...]:
        """Every sentence there is to say."""
        return self.tampering + self.circumstances + self.remarks

    @property
    def verdict(self) -> Verdict:
        """A changed recording is never the same; other circumstances excuse a difference, and only that."""
        if self.tampering:
            return Verdict.TAMPERED
        if not self.differing:
            return Verdict.SAME
        return Verdict.NOT_COMPARABLE if self.circumstances else Verdict.DIFFERENT

    @property
    def ok(self) -> bool:
        """Nothing was changed, and every block is the same."""
        return self.verdict is Verdict.SAME

    @property
    def exit_code(self) -> int:
        """0 the same, 1 different or changed, 3 not comparable."""
        return EXIT_CODES[self.verdict]

    def summary(self) -> str:
        """What to tell the user, one line and then one for each note."""
        differ = f", {len(self.differing)} differ, the first is block {self.first_difference}" if self.differing else ""
        head = f"{self.folder.name}: {self.blocks} blocks made again{differ}: {self.verdict.value}."
        return "\n".join([head, *(f"  {note}" for note in self.notes)])


def verify(folder: Path | str, **otherwise: Any) -> Report:
    """Make an episode again without showing it, and compare every block; takes what `replay` takes by name."""
    return replay(folder, **otherwise)


def replay(
    folder: Path | str,
    out: Path | str | None = None,
    *,
    render_mode: str | None = None,
    threads: int | None = None,
    **otherwise: object,
) -> Report:
    """Make an episode again and compare every block with its log.

    Args:
        folder: one episode, DIR/episode_000.
        out: keep the new rollout in this folder; an episode that continues another brings that one along.
        render_mode: "human" shows it while it is made.
        threads: of torch meanwhile; as many as it was recorded with by default, for bytes depend on it.
        otherwise: arguments of the environment to use in place of the recorded ones: `weights`, `device`, `offload`.

    Raises:
        ReplayError: it cannot be made again at all.
        ValueError: less than one thread.
    """
    if threads is not None and threads < 1:
        raise ValueError(f"expected threads to be at least 1, got {threads}")
    recording = Recording.read(Path(folder))
    with _threads(threads or recording.meta.made_with.threads):
        env = _make(recording.meta, render_mode, otherwise)
        try:
            now = RunInfo.of(env.unwrapped.model)  # type: ignore[attr-defined]
            env = env if out is None else RecordRollout(env, out)
            blocks, differing, problem = _compare(env, recording)
        finally:
            env.close()
    differences = tuple(recording.meta.made_with.differences(now))
    remarks = (*recording.remarks, *problem)
    tampering = recording.tampering + recording.inherited_tampering
    return Report(recording.folder, blocks, differing, tampering, differences, remarks)


def _compare(env: gymnasium.Env, recording: Recording) -> tuple[int, tuple[int, ...], tuple[str, ...]]:
    """How many blocks were made, which differ, and why the replay ended early if it did."""
    made, differing = 0, []
    try:
        for record, sha256 in play_again(env, recording):
            made += 1
            if sha256 != record.sha256:
                differing.append(record.block)
    except ReplayError:
        raise
    except ValueError as error:
        block = recording.blocks[made].block
        return made, (*differing, block), (f"Block {block} cannot be made: {error}",)
    return made, tuple(differing), ()


def play_again(env: gymnasium.Env, recording: Recording) -> Iterator[tuple[BlockRecord, str]]:
    """Make an episode's blocks in turn: each one's record, and the digest of the frames that came out now."""
    records = list(recording.blocks)
    parent, origin = recording.parent, recording.meta.continues
    if parent is None or origin is None:
        observation, info = env.reset(seed=recording.meta.seed, options=recording.options)
        yield records.pop(0), frames_digest(valid_frames(observation, info))
    else:
        _go_to(env, parent, origin)
    for record in records:
        if record.asked is not None:
            env.get_wrapper_attr("set_prompt")(record.asked.text, cut=record.asked.cut)
        observation, _, _, _, info = env.step(record.action)
        yield record, frames_digest(valid_frames(observation, info))


def _go_to(env: gymnasium.Env, parent: Recording, origin: Origin) -> None:
    """Play the parent up to the block that was restored, and restore it."""
    for record, _ in play_again(env, parent):
        if record.block == origin.block:
            break
    env.get_wrapper_attr("restore_state")(env.get_wrapper_attr("save_state")())


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _make(meta: EpisodeMeta, render_mode: str | None, otherwise: Mapping[str, object]) -> gymnasium.Env:
    """The recorded environment; what depends on the machine is asked for as it was, where that exists here."""
    settings = meta.env_kwargs | {"actions": meta.actions, "window": meta.window, "render_mode": render_mode}
    settings |= {"dtype": meta.made_with.dtype, "device": _device(meta), "max_blocks": None, "reward": None}
    settings |= {name: value for name, value in otherwise.items() if value is not None}
    try:
        return gymnasium.make(meta.env_id, disable_env_checker=True, **settings)
    except (ValueError, gymnasium.error.Error) as error:
        raise ReplayError(f"The environment of this recording cannot be made: {error}") from error


def _device(meta: EpisodeMeta) -> str | None:
    """The recorded device, or None (choose one) when it was a GPU and there is none."""
    if meta.made_with.device == "cpu":
        return "cpu"
    return meta.env_kwargs.get("device") if torch.cuda.is_available() else None
