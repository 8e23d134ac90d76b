"""The ledger of an exported folder: export.json, which file or folder holds which episode."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from infrope_env.atomic_file import write_atomically
from infrope_env.export.episode import Episode

LEDGER = "export.json"


@dataclass(frozen=True)
class Entry:
    """An exported episode.

    Attributes:
        chain: `Episode.chain`.
        recording: Folder of the recording, as it was given.
        prompts: Its prompts, one after another.
        frames: Number of pixel frames.
        seed: Seed of its noise.
    """

    chain: str
    recording: str
    prompts: tuple[str, ...]
    frames: int
    seed: int

    @classmethod
    def of(cls, episode: Episode) -> Entry:
        """Return the entry of an episode."""
        return cls(episode.chain, str(episode.folder), episode.prompts, episode.frames, episode.meta.seed)


class Ledger:
    """Entries by name of the file or folder that holds the episode.

    An entry is written before its file appears: the file's rename is what adds the episode.

    Attributes:
        entries: The entries.
    """

    def __init__(self, folder: Path, kind: str) -> None:
        """Read the ledger of a folder; a new folder has an empty one.

        Raises:
            ValueError: The folder holds something other than an export of this kind.
        """
        self._path, self._kind = folder / LEDGER, kind
        self.entries: dict[str, Entry] = {}
        if self._path.exists():
            content = json.loads(self._path.read_text(encoding="utf-8"))
            if content.get("format") != kind:
                raise ValueError(f"{folder} holds an export to {content.get('format')}: choose another folder")
            self.entries = {name: Entry(**entry) for name, entry in content["episodes"].items()}
        elif any(not path.name.startswith(".") for path in folder.iterdir()):
            raise ValueError(f"{folder} is not empty and was not made by an export to {kind}: choose another folder")

    def exported(self, folder: Path) -> dict[str, str]:
        """Return the names whose file or folder is below `folder`, by `Episode.chain`."""
        return {entry.chain: name for name, entry in self.entries.items() if (folder / name).exists()}

    def write(self, name: str, episode: Episode) -> None:
        """Add an entry."""
        self.entries[name] = Entry.of(episode)
        episodes = {key: asdict(entry) for key, entry in self.entries.items()}
        text = json.dumps({"format": self._kind, "episodes": episodes}, indent=1, ensure_ascii=False)
        write_atomically(self._path, text.encode())
