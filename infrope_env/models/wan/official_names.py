"""The table of names that other projects give to Wan's modules, and the official ones. Imports nothing.

Diffusers renamed the modules, and FastVideo renamed some of them again; both keep the values and their order. Comfy's
repacks keep the official names behind a prefix, see `PREFIXES` in checkpoint_layout.py.
"""

from __future__ import annotations

ATTENTION = {
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out": "o",
    "to_out.0": "o",
    "norm_q": "norm_q",
    "norm_k": "norm_k",
}

IN_EVERY_BLOCK = {
    **{f"attn1.{theirs}": f"self_attn.{official}" for theirs, official in ATTENTION.items()},
    **{f"attn2.{theirs}": f"cross_attn.{official}" for theirs, official in ATTENTION.items()},
    **{theirs: f"self_attn.{official}" for theirs, official in ATTENTION.items()},  # FastVideo
    "norm2": "norm3",
    "self_attn_residual_norm.norm": "norm3",  # FastVideo
    "ffn.net.0.proj": "ffn.0",
    "ffn.net.2": "ffn.2",
    "ffn.fc_in": "ffn.0",  # FastVideo
    "ffn.fc_out": "ffn.2",  # FastVideo
    "scale_shift_table": "modulation",
}

ONCE = {
    "condition_embedder.text_embedder.linear_1": "text_embedding.0",
    "condition_embedder.text_embedder.linear_2": "text_embedding.2",
    "condition_embedder.time_embedder.linear_1": "time_embedding.0",
    "condition_embedder.time_embedder.linear_2": "time_embedding.2",
    "condition_embedder.time_proj": "time_projection.1",
    "proj_out": "head.head",
    "scale_shift_table": "head.modulation",
    "condition_embedder.text_embedder.fc_in": "text_embedding.0",  # FastVideo, as all that follow
    "condition_embedder.text_embedder.fc_out": "text_embedding.2",
    "condition_embedder.time_embedder.mlp.fc_in": "time_embedding.0",
    "condition_embedder.time_embedder.mlp.fc_out": "time_embedding.2",
    "condition_embedder.time_modulation.linear": "time_projection.1",
    "patch_embedding.proj": "patch_embedding",
}


def official_module(name: str) -> str:
    """Return the official name of a module, the name itself where the table has none.

    "blocks.3.attn1.to_q" becomes "blocks.3.self_attn.q".
    """
    first, _, rest = name.partition(".")
    if first != "blocks":
        return ONCE.get(name, name)
    index, dot, inner = rest.partition(".")
    return f"blocks.{index}{dot}{IN_EVERY_BLOCK.get(inner, inner)}"


def official_name(name: str) -> str:
    """Return the official name of a parameter: the module's, then `.weight` or `.bias` where it has that."""
    module, _, leaf = name.rpartition(".")
    return f"{official_module(module)}.{leaf}" if leaf in ("weight", "bias") else official_module(name)
