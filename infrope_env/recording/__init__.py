"""Rollouts on disk, in the order in which a block passes through: recorded, read, replayed.

    wrapper.py       RecordRollout: the wrapper that records every block an environment makes
    run_info.py      weights, machine and versions that the bytes of a rollout depend on
    writer.py        writes a folder of episodes, readable up to the last block even after a kill
    quality.py       how the pixels of a video are stored
    video.py         video.mp4, complete up to the newest block at any moment
    subtitles.py     video.srt, the subtitles of a storyboard
    episode.py       the format: files, meta data, log lines, digests
    files.py         opens files of a folder that may come from a stranger
    schema.py        type, size and range of every entry of meta data and log
    reader.py        reads an episode and detects changes and losses
    known_weights.py finds the weights of a recording by name or digest
    verification.py  replays an episode and compares every block
    whole.py         a rollout in a folder of its own that appears when it is whole
    batch.py         a rollout of every prompt of a file, with several seeds

`verify` and `replay` can be imported from here; they are loaded on first use. README.md describes the format.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from infrope_env.recording.verification import replay, verify

__all__ = ["replay", "verify"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from infrope_env.recording import verification

    return getattr(verification, name)
