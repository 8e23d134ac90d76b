"""What a rollout's bytes depend on besides seed and actions: weights, dtype, device, processor, versions.

Two rollouts may be compared byte by byte when these agree; where they do not, `differences` says it in sentences.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata

import torch

from infrope_env.models.world_model import WorldModel

PACKAGES = ("infrope-env", "torch", "numpy", "tokenizers", "gymnasium")
INSTRUCTIONS = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")


@dataclass(frozen=True)
class RunInfo:
    """Where and with what a rollout was made.

    Attributes:
        weights: sha256 by file name.
        device: "cpu", or the name of the GPU.
        processor: architecture, and the instructions that torch chooses its kernels by.
        threads: how many torch computes with; sums may be split differently.
        sampler: the world's denoising steps.
        versions: by package name.
        compiled: the transformer computes by compiled code.
    """

    weights: dict[str, str]
    device: str
    dtype: str
    processor: str
    threads: int
    sampler: str
    versions: dict[str, str]
    compiled: bool = False

    @classmethod
    def of(cls, world: WorldModel) -> RunInfo:
        """The ones that hold here, for a loaded world."""
        return cls(
            weights=world.sha256,
            device=torch.cuda.get_device_name(world.device) if world.device.type == "cuda" else world.device.type,
            dtype=str(world.dtype).removeprefix("torch."),
            processor=processor(),
            threads=torch.get_num_threads(),
            sampler=str(world.sampler),
            versions={package: _version(package) for package in (*PACKAGES, *world.packages)},
            compiled=world.compiled,
        )

    def differences(self, now: RunInfo) -> Iterator[str]:
        """One sentence for each thing that was otherwise when it was recorded; nothing when bytes must agree."""
        for file in sorted(self.weights.keys() | now.weights.keys()):
            if self.weights.get(file) != now.weights.get(file):
                yield f"Other weights: {file} is not the one it was recorded with."
        for what in ("device", "dtype", "processor", "threads", "sampler", "compiled"):
            then, here = getattr(self, what), getattr(now, what)
            if then != here:
                yield f"Another class of machine or setting: {what} was {then}, here it is {here}."
        for package in sorted(self.versions.keys() | now.versions.keys()):
            then, here = self.versions.get(package, "absent"), now.versions.get(package, "absent")
            if then != here:
                yield f"Another version: {package} was {then}, here it is {here}."


def processor() -> str:
    """For example "x86_64 AVX512 avx512_bf16"."""
    asks = {name: getattr(torch.cpu, name, None) for name in INSTRUCTIONS}
    extra = [name.removeprefix("_is_").removesuffix("_supported") for name, ask in asks.items() if ask and ask()]
    return " ".join([platform.machine(), torch.backends.cpu.get_cpu_capability(), *extra])


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
