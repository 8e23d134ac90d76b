"""The laboratory of the pocket world: what each idea of ∞-RoPE is worth, measured against rendered ground truth.

In the order in which a number is made:

    plan       how much is played: seeds, horizons, rows
    setting    what one row is made with: weights, window, steps
    film       pixel frames, decoded only where somebody looks
    rig        one rollout, steered by names, that can go back to a moment
    eyes       what frames show and how alike they are, by the detectors' features
    glance     one judged block as numbers; many of them as qualities
    cell       one piece of work; `store` keeps each on disk as soon as it is done
    held, switches, cuts, costs, maps      the cells
    recording  what attention looks at, frame by frame
    rope, walks, flush, cut, window_size, attention, steps, training
               the experiments: which cells, which tables, which verdicts
    spread, verdict, table, plot, report   from numbers to pages
"""
