"""Text to embedding. Modules in the order in which they process a prompt.

    prompt_cache.py  Embeddings by text, in memory and on disk; encodes every text once.
    prompt_files.py  Embeddings on disk, one file for each encoder and text.
    encoder.py       Protocol of a text encoder, and the small encoder of the pocket model.
    lazy.py          Encoders without weights in memory: one loads them on demand, one stands in for missing files.
    umt5.py          UMT5-XXL, Wan's text encoder, through transformers.
    umt5_files.py    UMT5-XXL's files: layout, sizes, fingerprint.
    int8.py          Int8 weights for UMT5-XXL.

models/ loads an encoder; dynamics/ uses the embeddings.
"""
