"""Ablations of ∞-RoPE on the pocket model, measured against rendered ground truth.

Modules in the order in which a number is made:

    experiment_config   seeds, horizons, numbers of rows
    variant             weights, window and steps of a row
    frame_buffer        pixel frames, decoded on demand
    harness             the environment with actions by name and saved states
    features, metrics   features of the detectors; metrics of a block and of a rollout
    job, store          a unit of work; outcomes on disk
    long_rollout, switch_jobs, cut_jobs, cost_job, attention_jobs
                        the jobs
    shifted_layout      a layout rule that moves the sink away
    rope, walks, flush, cut, window_size, attention, steps, training
                        the experiments: jobs, tables, comparisons
    horizon_tables, comparison, table, plot, report
                        from numbers to pages; `examples.stats` has the statistics
"""
