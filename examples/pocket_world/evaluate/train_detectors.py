"""Train the detectors on rendered blocks: blurred, noisy, off in colour, decoded by the codec, a third with a fault."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from examples.pocket_world.evaluate.detectors import NAMES, NONE, WEIGHTS, Detectors, Namer, shrunk
from examples.pocket_world.evaluate.labelled_samples import (
    STRIDES,
    Specimen,
    blurred,
    random_specimen,
    random_state,
    spoil,
    through_codec,
    true_block,
)
from examples.pocket_world.train.codec import FILE, Codec, load_codec
from examples.pocket_world.train.run import warm_cosine

DECODED_SHARE = 0.3
LEFT, RIGHT = (NAMES["motion"].index(name) for name in ("walk_left", "walk_right"))
HELD_OUT_SEED = 10**6


@dataclass(frozen=True)
class Options:
    """Settings of the training.

    Attributes:
        codec: its folder; without one there, no block is passed through the codec.
        blocks: rendered for training.
        scored: true blocks, of other seeds, on which every score is taken.
        go_on: begin from the weights that `out` holds, after the world has changed.
        kinds: which detectors to train; none takes the scores anew, no more.
    """

    out: Path = WEIGHTS
    codec: Path = Path("runs/codec")
    blocks: int = 3000
    iterations: int = 1500
    batch: int = 32
    lr: float = 2e-3
    scored: int = 300
    go_on: bool = False
    kinds: tuple[str, ...] = tuple(NAMES)
    seed: int = 0


@dataclass(frozen=True)
class Pool:
    """Many blocks, shrunk: b t 3 h w in uint8, and for every detector the number of the right name, or -1."""

    frames: Tensor
    labels: dict[str, Tensor]

    @classmethod
    def of(cls, specimens: Iterable[Specimen]) -> Self:
        """Shrink them as they come, so that they are never all in memory at full size."""
        frames, labels = [], []
        for specimen in specimens:
            frames.append((shrunk(specimen.frames) * 255).round().to(torch.uint8))
            labels.append([_number(kind, specimen) for kind in NAMES])
        return cls(torch.stack(frames), dict(zip(NAMES, torch.tensor(labels).T, strict=True)))

    def sample(self, kind: str, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Blocks b t 3 h w in [0, 1] a detector can learn from, or a frame of each if it looks at one; labels b."""
        names = self.labels[kind]
        rarity = torch.where(names >= 0, 1 / names[names >= 0].bincount()[names].float(), 0.0)  # every name as often
        chosen = rarity.multinomial(count, replacement=True, generator=generator)
        frames, labels = self.frames[chosen], names[chosen]
        if kind == "motion":
            frames, labels = disturb_time(*mirror_walks(frames, labels, generator), generator)
        else:
            moments = torch.randint(frames.shape[1], (count,), generator=generator)
            frames = frames[torch.arange(count), moments][:, None]
        return shaken(frames.float() / 255, generator), labels


def mirror_walks(frames: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Turn half of the walks round; of other motions there is no mirrored one in the world."""
    turned = is_walk(labels) & (torch.rand(len(labels), generator=generator) < 0.5)
    other = LEFT + RIGHT - labels
    return torch.where(turned[:, None, None, None, None], frames.flip(-1), frames), torch.where(turned, other, labels)


def disturb_time(frames: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Freeze or reverse half of the walks, so that they are none."""
    frames, labels = frames.clone(), labels.clone()
    for row in is_walk(labels).nonzero().flatten().tolist():
        fault, phase = torch.randint(12, (2,), generator=generator).tolist()
        if fault < 6:
            frozen = [STRIDES[phase % len(STRIDES)]] * frames.shape[1]
            frames[row] = frames[row].flip(0) if fault < 3 else frames[row, frozen]
            labels[row] = NAMES["motion"].index(NONE)
    return frames, labels


def is_walk(labels: Tensor) -> Tensor:
    """Which labels of motions are walks."""
    return (labels == LEFT) | (labels == RIGHT)


def shaken(frames: Tensor, generator: torch.Generator, most: int = 2) -> Tensor:
    """Move the whole batch b t 3 h w a little, so that nothing is learnt by heart."""
    across, down = torch.randint(2 * most + 1, (2,), generator=generator).tolist()
    padded = F.pad(frames.flatten(0, 1), (most,) * 4, mode="replicate").unflatten(0, frames.shape[:2])
    return padded[..., down : down + frames.shape[-2], across : across + frames.shape[-1]]


def main(options: Options) -> None:
    """Train all three, score them on blocks of other seeds, write weights and scores."""
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    codec = load_codec(options.codec) if (options.codec / FILE).exists() else None
    detectors = Detectors.load(options.out).train() if options.go_on else Detectors()
    pool = Pool.of(make_specimens(options, codec)) if options.kinds else None
    for kind in options.kinds if pool is not None else ():
        train(getattr(detectors, kind), kind, pool, options)
    scores = score(detectors.eval(), codec, options)
    settings = {name: value for name, value in asdict(options).items() if name not in ("out", "codec")}
    training = json.dumps(settings) if options.kinds else _facts(options.out)["training"]
    facts = {"scores": json.dumps(scores), "training": training}
    save_file(detectors.state_dict(), options.out, facts)
    print(json.dumps(scores, indent=2))


def _facts(weights: Path) -> dict[str, str]:
    with safe_open(weights, "pt") as file:
        return file.metadata()


def make_specimens(options: Options, codec: Codec | None) -> Iterator[Specimen]:
    """Random blocks, some of them passed through the codec."""
    for index in range(options.blocks):
        rng = np.random.default_rng([options.seed, index])
        specimen = random_specimen(rng)
        if codec is not None and rng.random() < DECODED_SHARE:
            decoded = through_codec(codec, specimen.frames, noise=float(rng.uniform(0, 0.6)))
            specimen = replace(specimen, frames=decoded)
        if index % 200 == 0:
            print(f"rendered {index} of {options.blocks} blocks", flush=True)
        yield specimen


def train(namer: Namer, kind: str, pool: Pool, options: Options) -> None:
    """Cross-entropy on freshly spoilt samples."""
    generator = torch.Generator().manual_seed(options.seed)
    optimizer = torch.optim.AdamW(namer.parameters(), lr=options.lr, weight_decay=0.01)
    right = 0.0
    for iteration in range(options.iterations):
        frames, labels = pool.sample(kind, options.batch, generator)
        logits = namer(spoil(frames, generator))
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(logits, labels, label_smoothing=0.02).backward()
        optimizer.param_groups[0]["lr"] = options.lr * warm_cosine(iteration, options.iterations)
        optimizer.step()
        right += (logits.argmax(1) == labels).float().mean().item() / 100
        if iteration % 100 == 99:
            print(f"{kind} {iteration + 1}/{options.iterations} right {right:.3f}", flush=True)
            right = 0.0


def score(detectors: Detectors, codec: Codec | None, options: Options) -> dict[str, dict[str, float]]:
    """Share of true blocks named rightly, by what was done to them: {"clean": {"subject": 1.0, ...}, ...}."""
    right: dict[str, dict[str, int]] = {}
    for index in range(options.scored):
        rng = np.random.default_rng([HELD_OUT_SEED, index])
        specimen = true_block(random_state(rng), first=index % 8 == 0)
        for name, change in _changes(codec, rng).items():
            counts = right.setdefault(name, dict.fromkeys(NAMES, 0))
            frames = change(specimen.frames)
            for kind in NAMES:
                counts[kind] += getattr(detectors, f"name_{kind}")(frames) == getattr(specimen, kind)
    return {
        name: {kind: count / options.scored for kind, count in counts.items()} | {"blocks": options.scored}
        for name, counts in right.items()
    }


def _changes(codec: Codec | None, rng: np.random.Generator) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """What is done to full-size frames before they are named."""
    changes: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "clean": lambda frames: frames,
        "blurred": lambda frames: blur_bytes(frames, sigma=1.5),
        "noisy": lambda frames: (frames + rng.normal(0, 20, frames.shape)).clip(0, 255).astype(np.uint8),
    }
    if codec is not None:
        changes["decoded"] = lambda frames: through_codec(codec, frames)
        changes["decoded from noisy latents"] = lambda frames: through_codec(codec, frames, noise=0.3)
    return changes


def blur_bytes(frames: np.ndarray, sigma: float) -> np.ndarray:
    """Blur frames t H W 3 in uint8; sigma in pixels."""
    video = torch.from_numpy(frames).permute(0, 3, 1, 2)[None].float()  # t H W c -> 1 t c H W
    return blurred(video, torch.tensor([sigma]))[0].permute(0, 2, 3, 1).round().byte().numpy()


def _number(kind: str, specimen: Specimen) -> int:
    name = getattr(specimen, kind)
    return -1 if name is None else NAMES[kind].index(name)
