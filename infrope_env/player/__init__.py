"""What the player sees and keeps.

    pace.py      how long blocks take: when to begin one, how long to show a pixel frame
    stream.py    generates the next block in a thread, just in time, and says which pixel frame is on show
    window.py    a resizable pygame window that shows pixel frames
    overlay.py   what is written over the picture, never into it
    bindings.py  which key does what, in words
    recorder.py  a rollout as a folder: video, one line per block, and what it takes to make it again
    subtitles.py a storyboard's subtitles as an .srt file beside the video

pygame is imported when a window opens, not before: rollouts, recording and replay need no display.
"""
