"""The player's requests: actions, prompts, storyboards, and the controllers that choose actions.

    actions.py       actions, and the prompt and transition that each one leads to
    action_files.py  the entries of an action set in TOML: reading, checking, writing
    toml_table.py    TOML tables whose errors name file, table and key
    mentions.py      the subject or scene that a typed prompt mentions
    storyboard.py    timed prompts on one line, "a fox runs[5s] | a fox waves[10s#]"
    durations.py     "[5s#]", and what looks like it
    length.py        the longest rollout that a script or a storyboard may ask for
    text_file.py     text files of any encoding and line ends, bounded in size
    storyboard_file.py  a storyboard from a file, or from one line of it
    key_names.py     names of keys, and the keys that the window reserves
    controller.py    the Controller type: (observation, info) -> action
    keyboard.py      controller of the keys pressed and held
    scripted.py      controllers of a script, a list of actions, and of a storyboard
    random_walk.py   controller that walks at random
    idle.py          the action that changes nothing
    frames.py        the valid pixel frames of an observation
    reset_options.py the options of a reset, checked
    playable.py      the Protocol of an environment that wrappers and players can use

A new action or scene is a table in an action set (assets/actions/*.toml), not code.
No module here imports torch, gymnasium or pygame. Importing this package imports none of its modules.
"""
