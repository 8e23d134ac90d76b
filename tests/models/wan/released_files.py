"""Checkpoint files in their released layouts, at a size of kilobytes.

Names come from the golden lists and layouts are written out by hand: nothing is taken from the loader under test.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from infrope_env.config import ModelConfig
from infrope_env.models.wan.catalog import Checkpoint

KEYS = json.loads((Path(__file__).parents[2] / "goldens" / "wan_keys.json").read_text())
SMALL = ModelConfig(
    dim=128, ffn_dim=160, num_heads=1, num_layers=3, latent_size=(4, 6), freq_dim=32, text_dim=48, text_len=8
)
RANK, ALPHA = 4, 2.0
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def golden_shapes(size: str) -> dict[str, tuple[int, ...]]:
    """Return name and shape of every parameter of "1.3B" or "14B", without the prefix."""
    keys = KEYS[size]
    layers = range(keys["config"]["num_layers"])
    blocks = {f"blocks.{i}.{name}": tuple(shape) for i in layers for name, shape in keys["every_block"].items()}
    return {name: tuple(shape) for name, shape in keys["once"].items()} | blocks


def small_shapes() -> dict[str, tuple[int, ...]]:
    """Return the golden names with the widths and layers of SMALL."""
    big = KEYS["1.3B"]["config"]
    widths = {big["dim"]: SMALL.dim, big["ffn_dim"]: SMALL.ffn_dim, big["freq_dim"]: SMALL.freq_dim}
    widths |= {6 * big["dim"]: 6 * SMALL.dim, 4096: SMALL.text_dim}
    shapes = golden_shapes("1.3B").items()
    layers = {f"blocks.{i}." for i in range(SMALL.num_layers)}
    kept = {n: s for n, s in shapes if not n.startswith("blocks.") or any(map(n.startswith, layers))}
    return {name: tuple(widths.get(width, width) for width in shape) for name, shape in kept.items()}


def small_weights(seed: int = 0) -> dict[str, Tensor]:
    """Return a plain state dict whose attention and text layers change the output visibly."""
    random = torch.Generator().manual_seed(seed)
    return {name: 0.1 * torch.randn(shape, generator=random) for name, shape in small_shapes().items()}


def small_lora(seed: int = 9) -> dict[str, Tensor]:
    """Return pairs for the ten linear layers of every `DiTBlock`, under PEFT's saved names."""
    random, pairs = torch.Generator().manual_seed(seed), {}
    for name, shape in small_shapes().items():
        if name.startswith("blocks.") and name.endswith(".weight") and len(shape) == 2:
            layer, (outputs, inputs) = "base_model.model." + name.removesuffix(".weight"), shape
            pairs[f"{layer}.lora_A.weight"] = torch.randn(RANK, inputs, generator=random) / 4
            pairs[f"{layer}.lora_B.weight"] = torch.randn(outputs, RANK, generator=random) / 4
    return pairs


def merged(weights: Mapping[str, Tensor], lora: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights with the pairs merged, written out by hand."""
    result = dict(weights)
    for name, down in lora.items():
        if name.endswith("lora_A.weight"):
            layer = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
            up = lora[name.replace("lora_A", "lora_B")]
            result[f"{layer}.weight"] = weights[f"{layer}.weight"] + ALPHA / RANK * up @ down
    return result


def prefixed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights under the names of `WanDiffusionWrapper`."""
    return {f"model.{name}": value for name, value in weights.items()}


def sharded(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights under the names of FSDP that wraps the network and every layer."""
    mark = "_fsdp_wrapped_module."
    names = {name: name.split(".", 2) for name in weights}
    inner = {n: f"blocks.{p[1]}.{mark}{p[2]}" if p[0] == "blocks" else n for n, p in names.items()}
    return {f"model.{mark}{inner[name]}": value for name, value in weights.items()}


@dataclass(frozen=True)
class Release:
    """Content of one project's repository, for the small weights.

    Attributes:
        files: Entries by file name.
        expected: State dict that is loaded from them.
    """

    files: dict[str, dict]
    expected: dict[str, Tensor]


def release(name: str) -> Release:
    """Return a small repository of a row's project, with decoys where it has tensors that must not be taken."""
    right, decoy = small_weights(1), small_weights(2)
    raw = {"generator": prefixed(right), "generator_ema": prefixed(decoy)}
    averaged = {"generator": prefixed(decoy), "generator_ema": sharded(right)}
    lora = {"generator_lora": small_lora(), "critic_lora": small_lora(5), "step": 3000}
    return {
        "infinite-forcing": Release({"ema_model.pt": {"generator_ema": sharded(right), "step": 800}}, right),
        "self-forcing-dmd": Release({"checkpoints/self_forcing_dmd.pt": {"generator_ema": prefixed(right)}}, right),
        "self-forcing-sid": Release(
            {"checkpoints/self_forcing_sid.pt": {"generator": prefixed(decoy), "generator_ema": prefixed(right)}}, right
        ),
        "self-forcing-sid-v2": Release({"checkpoints/self_forcing_sid_v2.pt": averaged}, right),
        "self-forcing-gan": Release({"checkpoints/self_forcing_gan.pt": averaged}, right),
        "self-forcing-10s": Release({"checkpoints/self_forcing_10s.pt": averaged}, right),
        "causvid": Release({"autoregressive_checkpoint/model.pt": {"generator": prefixed(right)}}, right),
        "causal-forcing": Release(
            {"chunkwise/causal_forcing.pt": {"generator": fsdp_root(right), "generator_ema": sharded(decoy)}}, right
        ),
        "causal-forcing-framewise": Release(
            {"framewise/causal_forcing.pt": {"generator": prefixed(decoy), "generator_ema": fsdp_root(right)}}, right
        ),
        "causal-forcing-pp-2step": Release({"causal-forcing++/framewise-2step.pt": averaged}, right),
        "causal-forcing-pp-1step": Release({"causal-forcing++/framewise-1step.pt": averaged}, right),
        "rolling-forcing": Release(
            {"checkpoints/rolling_forcing_dmd.pt": averaged | {"critic": prefixed(small_weights(3))}}, right
        ),
        "longlive": Release(
            {"models/longlive_base.pt": raw, "models/lora.pt": lora},
            merged(right, small_lora()),
        ),
        "memflow": Release({"base.pt": raw, "lora.pt": lora}, merged(right, small_lora())),
        "memflow-base": Release({"base.pt": {"model": prefixed(right)}}, right),
        "reward-forcing": Release({"rewardforcing.pt": prefixed(right)}, right),
        "krea-realtime-14b": Release({"krea-realtime-video-14b.safetensors": prefixed(right)}, right),
    }[name]


def fsdp_root(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights under the names of FSDP that wraps only the whole network."""
    return {f"model._fsdp_wrapped_module.{name}": value for name, value in weights.items()}


def shrunk(row: Checkpoint) -> Checkpoint:
    """Return the row with the sizes of the small weights."""
    lora = row.lora and replace(row.lora, rank=RANK, alpha=ALPHA)
    return replace(row, config=SMALL, lora=lora)


def write(path: Path, entries: dict) -> Path:
    """Write a file of the kind that its suffix names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(entries, path) if path.suffix == ".safetensors" else torch.save(entries, path)
    return path


def put_into_hub_cache(cache: Path, repo: str, files: Mapping[str, dict], commit: str = COMMIT) -> None:
    """Write files where the hub's client leaves a download of `main`."""
    folder = cache / f"models--{repo.replace('/', '--')}"
    for name, entries in files.items():
        write(folder / "snapshots" / commit / name, entries)
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / "main").write_text(commit)


def touch(folder: Path, *names: str) -> Path:
    """Write files that hold nothing but their names: locating opens none."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def place_download(cache: Path, repo: str, *names: str) -> Path:
    """Write such files where the hub's client leaves a download of `main`."""
    place = cache / f"models--{repo.replace('/', '--')}"
    touch(place / "refs", "main")
    (place / "refs" / "main").write_text(COMMIT)
    return touch(place / "snapshots" / COMMIT, *names)
