"""How the world advances by one block.

    coordinates.py  what the next block sees and where it sits: flushes and cuts happen here (no torch)
    rollout.py      the algorithm: lay out, denoise, commit, move on; nobody else writes the cache
    cache.py        what is remembered, un-rotated, and the rotated window of it that one block reads
    rope.py         rotates; is told its coordinates
    schedule.py     noise levels, re-noising, velocity to clean estimate
    transformer.py  the causal Wan DiT; is told its window
    state.py        what comes out of a rollout, and what it needs to go on

A transition (control/actions.py) comes in with a prompt's embedding; clean latent frames go out to pixels/.
"""
