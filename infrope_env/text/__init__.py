"""Text to embedding. Modules in the order in which they process a prompt.

    prompt_cache.py  Embeddings by text, in memory and on disk; encodes every text once.
    background.py    Encoding ahead while the world plays.
    turns.py         Which text is encoded first, and who may give up.
    own_thread.py    Threads with a number of torch threads and a priority of their own.
    progress.py      Progress lines with an estimate.
    prompt_files.py  Embeddings on disk, one file for each encoder and text.
    encoder.py       Protocol of a text encoder, and the small encoder of the pocket model.
    lazy.py          Encoders without weights in memory: one loads them on demand, one stands in for missing files.
    umt5.py          UMT5-XXL, Wan's text encoder, through transformers.
    umt5_files.py    UMT5-XXL's files: layout, sizes, fingerprint.
    layer_stream.py  Weights of a deep network, one layer at a time.
    int8.py          Weights in 8 bits.

models/ loads an encoder; dynamics/ uses the embeddings.
"""
