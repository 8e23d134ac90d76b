"""A live session, in the order in which a key press becomes a shown pixel frame.

    bindings.py     the list of keys and their effects, for the overlay and the help text
    session.py      joins keys, controller, stream and window until the player quits
    keys.py         names of the physical keys in every keyboard layout
    live_stream.py  interfaces of a session's stream and keyboard, which may be remote
    stream.py       generates the next block in a thread, just in time, and decides which pixel frame is shown
    history.py      the states after the newest blocks, to step back
    playback.py     the block on show and which of its pixel frames is shown when
    inspection.py   what a block saw, with a picture of each frame
    pace.py         measures how long blocks take; derives when to begin one and how long to show a pixel frame
    prompt_line.py  the line in which a prompt is typed
    window.py       a resizable pygame window that shows pixel frames
    overlay.py      text drawn over the picture in the window, never into the pixel frames
    text.py         coloured text in panels
    inspector.py    the strip of what a block saw, over the picture
    fonts.py        a font that has the letters of a text
    headless.py     plays without a window, as fast as possible
    key_codes.py    key names to pygame key codes

pygame is imported when a window opens: recording and replay need neither pygame nor a display.
"""
