"""How the world advances by one block.

`rollout` reads as the algorithm: `coordinates` lays the block out, `cache` remembers, `transformer` and `schedule`
denoise, `rope` rotates, `state` is what comes out and what can be saved.
"""
