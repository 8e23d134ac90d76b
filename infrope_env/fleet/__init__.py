"""Many rollouts on Ray, in the order in which an episode passes through.

    plan.py        PLAN.toml: the environment, and the episodes that are asked for
    worker.py      a process with one environment: it records one episode after another
    pool.py        the processes, as Ray runs them: started, given work, waited for
    dispatch.py    which worker makes which episode, and what happens when one fails or dies
    progress.py    one line for the whole, and the summary
    exporting.py   finished episodes are added to a dataset while others are made

Only pool.py imports Ray. README.md describes plans and clusters.
"""
