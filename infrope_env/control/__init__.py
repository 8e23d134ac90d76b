"""What the player asks for: from a key or a line of text to a text embedding.

    actions.py       which prompt and which transition an action means (no torch)
    mentions.py      which subject or scene a typed sentence speaks of
    toml_table.py    reads an action set so that every mistake is named by file, table and key
    storyboard.py    timed prompts written on one line, "a fox runs[5s] | a fox waves[10s#]" (no torch)
    text_encoder.py  text to embedding: what an encoder promises, and the small bundled one
    umt5.py          UMT5-XXL, Wan's encoder; umt5_files.py finds and reads it, int8.py halves it
    lazy_encoder.py  UMT5-XXL loaded on call, or known only by the embeddings it left
    prompts.py       every text encoded once, remembered in memory and, by prompt_files.py, on disk

A new action or scene is a table in an action set (assets/actions/*.toml), not code.
Nothing here knows the generator, its cache, gymnasium or pygame. Importing this package imports none of the modules.
"""
