"""Parts that every training stage shares: a resumable run, distributed processes, and the Muon optimizer."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from infrope_env.atomic_file import write_atomically
from infrope_env.models.options import fast_dtype


@dataclass
class Run:
    """A resumable training run in a folder, with `checkpoint.pt` and `log.jsonl`.

    Attributes:
        folder: Folder of the run.
        modules: Modules to save, by their name in the checkpoint.
        optimizers: Optimizers to save; their learning rate follows `warmup_cosine`.
        iterations: Length of the whole run.
        minutes: Time limit of this process. The run is saved when it is reached, and the next process resumes it.
        save_every_s: Seconds between checkpoints.
        iteration: Number of iterations done.
        trained_minutes: Minutes of training so far, counted across resumed processes.
    """

    folder: Path
    modules: dict[str, nn.Module]
    optimizers: list[torch.optim.Optimizer]
    iterations: int
    minutes: float = math.inf
    save_every_s: float = 120.0
    iteration: int = 0
    trained_minutes: float = 0.0
    _saved_at: float = field(default_factory=time.monotonic)
    _sums: dict[str, float] = field(default_factory=dict)
    _count: int = 0

    def __iter__(self) -> Iterator[int]:
        """Yield iteration numbers until the iterations or the minutes are over; save in between and at the end."""
        self.resume()
        if self.iteration == 0:
            self.save()
        started = time.monotonic()
        minutes_before = self.trained_minutes
        while self.iteration < self.iterations and self._all_agree(time.monotonic() - started < self.minutes * 60):
            self._set_learning_rate()
            yield self.iteration
            self.iteration += 1
            self.trained_minutes = minutes_before + (time.monotonic() - started) / 60
            if time.monotonic() - self._saved_at > self.save_every_s:
                self.save()
        self.save()

    @property
    def checkpoint(self) -> Path:
        """File of the run's state."""
        return self.folder / "checkpoint.pt"

    def resume(self) -> None:
        """Restore the run from its checkpoint, if there is one."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.checkpoint.exists():
            return
        state = torch.load(self.checkpoint, weights_only=True, map_location="cpu")
        for name, module in self.modules.items():
            module.load_state_dict(state[name])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.iteration, self.trained_minutes = state["iteration"], state["minutes"]

    def save(self) -> None:
        """Write the checkpoint; only the process of rank 0 does."""
        self._saved_at = time.monotonic()
        if rank() != 0:
            return
        state: dict[str, Any] = {name: module.state_dict() for name, module in self.modules.items()}
        state |= {"optimizers": [optimizer.state_dict() for optimizer in self.optimizers]}
        state |= {"iteration": self.iteration, "minutes": self.trained_minutes}
        write_atomically(self.checkpoint, lambda path: torch.save(state, path))

    def log(self, values: Mapping[str, float], every: int = 20) -> None:
        """Average values over `every` iterations, then print the means and append them to `log.jsonl`."""
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(value)
        self._count += 1
        if self._count < every or rank() != 0:
            return
        row: dict[str, float] = {"iteration": self.iteration, "minutes": round(self.trained_minutes, 2)}
        row |= {name: round(total / self._count, 5) for name, total in self._sums.items()}
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(f"{self.iteration:6d}/{self.iterations} " + " ".join(f"{k}={v:g}" for k, v in row.items()), flush=True)
        self._sums, self._count = {}, 0

    def _set_learning_rate(self) -> None:
        scale = warmup_cosine(self.iteration, self.iterations)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group.setdefault("peak_lr", group["lr"]) * scale

    def _all_agree(self, in_time: bool) -> bool:
        """Return whether every process is within its time limit, so that all stop at the same iteration."""
        if not dist.is_initialized():
            return in_time
        votes = torch.tensor(float(in_time))
        dist.all_reduce(votes, op=dist.ReduceOp.MIN)
        return bool(votes.item())


def warmup_cosine(iteration: int, iterations: int, warmup: int = 40, floor: float = 0.05) -> float:
    """Return the learning rate factor: linear warm-up over `warmup` iterations, then a half cosine down to `floor`."""
    rise = min(1.0, (iteration + 1) / warmup)
    return rise * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, iteration / iterations))))


def start_processes() -> None:
    """Join the process group if torchrun started several processes; use one thread each.

    Two threads on busy cores are far slower than one.
    """
    torch.set_num_threads(1)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        dist.init_process_group("gloo")


def training_device(device: str | None) -> torch.device:
    """Return the device to train on: the given one, else the GPU if there is one, else the CPU."""
    return torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))


def autocast(device: torch.device) -> torch.autocast:
    """Compute in bfloat16 where that is fast: on GPUs, and on processors with native bfloat16.

    Converted weights are not kept: torch 2.10 would use those of a pass without gradients in a later pass with them.
    """
    fast = fast_dtype(device) is torch.bfloat16
    return torch.autocast(device.type, torch.bfloat16, enabled=fast, cache_enabled=False)


def rank() -> int:
    """Return the rank of this process; 0 without distributed training."""
    return dist.get_rank() if dist.is_initialized() else 0


def average_gradients(parameters: list[nn.Parameter]) -> None:
    """Replace every process's gradients by their mean over all processes."""
    if not dist.is_initialized():
        return
    gradients: list[Tensor] = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for gradient, piece in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(piece.view_as(gradient))


def require_same_data(folder: Path, options: Mapping[str, object]) -> None:
    """Note beside the shards of a folder how they are made; one that was begun otherwise must not be continued.

    Args:
        folder: Folder of the shards; made when missing.
        options: Options that decide what the shards hold, as JSON data.

    Raises:
        ValueError: The folder was begun with other options.
    """
    path = folder / "data.json"
    if path.exists() and (begun := json.loads(path.read_text())) != options:
        raise ValueError(f"{folder} was begun with {begun}, not with {dict(options)}. Choose another folder.")
    write_atomically(path, (json.dumps(options) + "\n").encode())


class Muon(torch.optim.Optimizer):
    """Muon (Keller Jordan) for matrices and kernels: momentum, then the nearest orthogonal matrix as the update.

    `torch.optim.Muon` takes matrices only, while a kernel counts as the matrix (channels out) x (channels in, height,
    width) here. It also computes in bfloat16 on processors that emulate it, where a step takes minutes. Several
    processes share the orthogonalisation.
    """

    def __init__(
        self, parameters: list[nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient; updates are scaled to the size of Adam's."""
        for group in self.param_groups:
            kernels = [p for p in group["params"] if p.grad is not None]
            momenta = [self._momentum(kernel, group["momentum"]) for kernel in kernels]
            for kernel, update in zip(kernels, orthogonalise_shared(momenta), strict=True):
                scale = 0.2 * max(update.shape) ** 0.5
                kernel.mul_(1 - group["lr"] * group["weight_decay"])
                kernel.add_(update.view_as(kernel), alpha=-group["lr"] * scale)

    def _momentum(self, kernel: nn.Parameter, momentum: float) -> Tensor:
        """Update and return the Nesterov momentum of a kernel, as a matrix."""
        assert kernel.grad is not None
        average = self.state[kernel].setdefault("momentum", torch.zeros_like(kernel))
        average.lerp_(kernel.grad, 1 - momentum)
        return kernel.grad.lerp(average, momentum).flatten(1)


def orthogonalise_shared(matrices: list[Tensor]) -> list[Tensor]:
    """Apply `orthogonalise` to each matrix; every process computes a share and receives all results."""
    processes = dist.get_world_size() if dist.is_initialized() else 1
    if processes == 1:
        return [orthogonalise(matrix) for matrix in matrices]
    flat = torch.zeros(sum(matrix.numel() for matrix in matrices), device=matrices[0].device)
    results = [piece.view_as(m) for piece, m in zip(flat.split([m.numel() for m in matrices]), matrices, strict=True)]
    for index in range(rank(), len(matrices), processes):
        results[index].copy_(orthogonalise(matrices[index]))
    dist.all_reduce(flat)
    return results


def orthogonalise(matrix: Tensor, iterations: int = 5) -> Tensor:
    """Bring all singular values of a matrix near 1 by a quintic Newton-Schulz iteration, in the device's fast dtype."""
    x = (matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T).to(fast_dtype(matrix.device))
    x = x / (x.norm() + 1e-7)
    for _ in range(iterations):
        square = x @ x.T
        x = 3.4445 * x + (-4.775 * square + 2.0315 * square @ square) @ x
    return (x if matrix.shape[0] <= matrix.shape[1] else x.T).float()
