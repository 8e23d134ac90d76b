"""Which episodes are exported: recordings below some folders, each read, checked, and shortened to its whole blocks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from infrope_env.env_state import RESET
from infrope_env.export.episode import Episode
from infrope_env.recording.episode import META, VIDEO
from infrope_env.recording.files import ReplayError
from infrope_env.recording.reader import Recording
from infrope_env.recording.video import count_frames


class Refused(ValueError):
    """An episode is left out; the message is a clause that follows its name, without a full stop."""


def find_episodes(paths: Iterable[Path]) -> list[Path]:
    """Return the folders of all episodes at or below some paths, each once, in order.

    Folders whose name begins with a full stop are not looked into.

    Raises:
        ValueError: There is none at or below a path.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        here = [path] if (path / META).exists() else sorted(meta.parent for meta in path.rglob(META))
        seen = [folder for folder in here if not any(p.startswith(".") for p in folder.relative_to(path).parts)]
        if not seen:
            raise ValueError(f"{path}: expected a recorded episode, or a folder of some, found none")
        for folder in seen:
            found.setdefault(folder.resolve(), folder)
    return list(found.values())


def read_episode(folder: Path, tampered: bool = False) -> Episode:
    """Read an episode for export.

    Args:
        folder: Folder of the episode.
        tampered: Accept one that was changed after it was written.

    Raises:
        Refused: It cannot be exported.
    """
    try:
        recording = Recording.read(folder)
    except ReplayError as error:
        raise Refused(str(error).rstrip(".")) from error
    except OSError as error:
        raise Refused(f"it cannot be read ({error.strerror})") from error
    if recording.tampering and not tampered:
        raise Refused(f"it was changed after it was written ({recording.tampering[0].rstrip('.')})")
    episode = Episode(folder, recording.meta, recording.blocks, recording.lines, recording.tampering)
    _require_sound(episode)
    return _keep_whole_blocks(episode, recording)


def _require_sound(episode: Episode) -> None:
    """Raise Refused when places or actions, which a log that was changed can have, are not those of a recording."""
    end = 0
    for block, line in zip(episode.blocks, episode.lines, strict=True):
        if line.first_frame != end or line.end_frame <= end:
            raise Refused(f"its log places block {block.block} at pixel frame {line.first_frame}, expected {end}")
        if not RESET <= block.action < len(episode.action_names):
            raise Refused(f"its action set has no action {block.action}")
        end = line.end_frame


def _keep_whole_blocks(episode: Episode, recording: Recording) -> Episode:
    """Return the episode without blocks that its video does not hold whole.

    Raises:
        Refused: There is no video, or no whole block in it.
    """
    try:
        with episode.open_video() as file:
            frames = count_frames(file, episode.frames)
    except FileNotFoundError as error:
        raise Refused(f"it has no {VIDEO}") from error
    except (OSError, ValueError) as error:
        raise Refused(f"its {VIDEO} cannot be read ({str(error).rstrip('.')})") from error
    whole = sum(line.end_frame <= frames for line in episode.lines)
    if not whole:
        raise Refused(f"its {VIDEO} holds no whole block")
    remarks = [*episode.remarks, *(remark for remark in recording.remarks if not remark.startswith(VIDEO))]
    if lost := len(episode.blocks) - whole:
        remarks.append(f"The last {lost} blocks of its log are not in its {VIDEO} and are left out.")
    return replace(episode, blocks=episode.blocks[:whole], lines=episode.lines[:whole], remarks=tuple(remarks))
