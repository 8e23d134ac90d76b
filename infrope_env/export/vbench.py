"""A flat folder of videos and prompts.json, as VBench (`--mode custom_input`) and VBench-Long read it.

File names are a short digest of the prompt and a number. No file is named after a prompt: a prompt can have characters
that names cannot have, and more of them.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from infrope_env.atomic_file import write_atomically
from infrope_env.export.episode import Episode
from infrope_env.export.ledger import Ledger
from infrope_env.export.video_copy import copy_video

PROMPTS = "prompts.json"


def digest_name(prompt: str) -> str:
    """Return a name for a prompt that every file system takes: 12 hexadecimal digits."""
    return hashlib.sha256(prompt.encode("utf-8", "backslashreplace")).hexdigest()[:12]


class VBenchFolder:
    """A folder of `<digest of the prompt>-<number>.mp4`, and the first prompt of each in prompts.json."""

    def __init__(self, out: Path) -> None:
        """Open the folder; ValueError when it holds something else."""
        self._out, self._ledger = out, Ledger(out, "vbench")

    def exported(self) -> dict[str, str]:
        """Return the file of every exported episode, by `chain`."""
        return self._ledger.exported(self._out)

    def add(self, episode: Episode, partial: Path) -> str:
        """Write prompts.json, then the video: VBench refuses a folder with a video that has no prompt."""
        copy_video(episode, partial / "video.part")
        name = self._free_name(digest_name(episode.prompts[0]))
        self._ledger.write(name, episode)
        prompts = {file: entry.prompts[0] for file, entry in self._ledger.entries.items()}
        write_atomically(self._out / PROMPTS, json.dumps(prompts, indent=1, ensure_ascii=False).encode())
        os.replace(partial / "video.part", self._out / name)
        return name

    def _free_name(self, digest: str) -> str:
        number = 0
        while (self._out / f"{digest}-{number}.mp4").exists():
            number += 1
        return f"{digest}-{number}.mp4"
