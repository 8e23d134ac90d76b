"""The engine, which advances a rollout block by block: its loop, then the parts of the loop.

    rollout.py      The algorithm: lay out, gather, denoise, commit. Only `Rollout` writes the cache.
    coordinates.py  Visible frames and their coordinates: KV Flush, Block-Relativistic RoPE, RoPE Cut. Imports no torch.
    cache.py        Un-rotated keys and values by frame id, and the rotated buffers that a block's attention reads.
    rope.py         Rotary embedding over time, row and column, at given coordinates.
    schedule.py     Noise levels, re-noising, velocity to clean estimate.
    transformer.py  The causal Wan DiT.
    segments.py     The same, cut at its self-attentions for a compiler.
    graphs.py       Passes over buffers whose addresses never change, replayed as CUDA graphs on a GPU.
    attention.py    The order of attention's kernels on a GPU, and the one that is taken.
    state.py        A finished block, and the copy of a rollout's state.

README.md describes the memory policies, which coordinates.py, cache.py and rope.py implement.
The input of a rollout is a prompt's embedding (from text/) and a transition (from control/actions.py) per block; the
output is clean latent frames (for pixels/).
"""
