"""Recordings as datasets and benchmark entries, in the order in which an episode passes through.

    selection.py   which episodes there are, and which are refused
    episode.py     an episode as it is exported: its whole blocks and where they are in the video
    rows.py        one row per pixel frame: the action that made it, prompt, reward
    video_copy.py  the episode's video as a complete mp4 of the same packets
    statistics.py  statistics of columns and pixels, merged over episodes
    exporter.py    the loop over episodes: one writer of a folder, what is there already, what is left out
    ledger.py      which episodes a folder of files holds
    lerobot.py     a LeRobot dataset, format v3.0; its tables are in lerobot_tables.py
    vbench.py      a folder for VBench and VBench-Long
    wbench.py      a folder for WBench
    frames.py      a PNG file per pixel frame

README.md describes the formats.
"""
