"""Train the detectors on rendered blocks, with augmentation, decoded blocks, and planted faults."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from examples.pocket_world.evaluate.detectors import (
    LABELS,
    NONE,
    WEIGHTS,
    Classifier,
    Detectors,
    downscale,
    read_metadata,
)
from examples.pocket_world.evaluate.labelled_samples import (
    STRIDES,
    LabelledSample,
    augment,
    gaussian_blur,
    random_sample,
    random_state,
    reconstruct,
    rendered_block,
)
from examples.pocket_world.train.codec import CODEC_FILE, Codec, load_codec
from examples.pocket_world.train.run import warmup_cosine
from infrope_env.atomic_file import write_atomically

DECODED_SHARE = 0.3
LEFT, RIGHT = (LABELS["motion"].index(name) for name in ("walk_left", "walk_right"))
SCORING_SEED = 10**6


@dataclass(frozen=True)
class Options:
    """Settings of the training.

    Attributes:
        out: File of the weights.
        codec: Run folder of the codec; without one, no block is decoded.
        blocks: Number of blocks to render for training.
        iterations: Iterations per detector.
        batch: Blocks per iteration.
        lr: Peak learning rate.
        scored: Number of rendered blocks, of other seeds, for the scores.
        resume: Initialise from the weights in `out`, for example after a change of how the world looks.
        kinds: Detectors to train; with none, only the scores are measured again.
        arrangements: Draw the arrangement of every block.
        seed: Seed of the samples.
    """

    out: Path = WEIGHTS
    codec: Path = Path("runs/codec")
    blocks: int = 3000
    iterations: int = 1500
    batch: int = 32
    lr: float = 2e-3
    scored: int = 300
    resume: bool = False
    kinds: tuple[str, ...] = tuple(LABELS)
    arrangements: bool = False
    seed: int = 0


@dataclass(frozen=True)
class SamplePool:
    """Downscaled training samples.

    Attributes:
        frames: Blocks, b t 3 h w uint8.
        labels: Label index of every block, b, for each detector; -1 without a label.
    """

    frames: Tensor
    labels: dict[str, Tensor]

    @classmethod
    def of(cls, samples: Iterable[LabelledSample]) -> Self:
        """Downscale samples one by one, so that full-size blocks are never all in memory."""
        frames, labels = [], []
        for sample in samples:
            frames.append((downscale(sample.frames) * 255).round().to(torch.uint8))
            labels.append([_label_index(kind, sample) for kind in LABELS])
        return cls(torch.stack(frames), dict(zip(LABELS, torch.tensor(labels).T, strict=True)))

    def sample(self, kind: str, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw a batch with all labels equally likely: frames b t 3 h w in [0, 1], and label indices b.

        The motion detector gets whole blocks, the others one random frame of each.
        """
        indices = self.labels[kind]
        balance = torch.where(indices >= 0, 1 / indices[indices >= 0].bincount()[indices].float(), 0.0)
        chosen = balance.multinomial(count, replacement=True, generator=generator)
        frames, labels = self.frames[chosen], indices[chosen]
        if kind == "motion":
            frames, labels = disturb_time(*mirror_walks(frames, labels, generator), generator)
        else:
            moments = torch.randint(frames.shape[1], (count,), generator=generator)
            frames = frames[torch.arange(count), moments][:, None]
        return random_shift(frames.float() / 255, generator), labels


def mirror_walks(frames: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mirror half of the walks and swap their labels; other motions have no mirror image in the world."""
    mirrored = is_walk(labels) & (torch.rand(len(labels), generator=generator) < 0.5)
    swapped = LEFT + RIGHT - labels
    return (
        torch.where(mirrored[:, None, None, None, None], frames.flip(-1), frames),
        torch.where(mirrored, swapped, labels),
    )


def disturb_time(frames: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Freeze or reverse half of the walks, and label them `NONE`."""
    frames, labels = frames.clone(), labels.clone()
    for row in is_walk(labels).nonzero().flatten().tolist():
        fault, phase = torch.randint(12, (2,), generator=generator).tolist()
        if fault < 6:
            frozen = [STRIDES[phase % len(STRIDES)]] * frames.shape[1]
            frames[row] = frames[row].flip(0) if fault < 3 else frames[row, frozen]
            labels[row] = LABELS["motion"].index(NONE)
    return frames, labels


def is_walk(labels: Tensor) -> Tensor:
    """Return which motion labels are walks."""
    return (labels == LEFT) | (labels == RIGHT)


def random_shift(frames: Tensor, generator: torch.Generator, most: int = 2) -> Tensor:
    """Shift the whole batch, b t 3 h w, by up to `most` pixels in each direction, against overfitting."""
    across, down = torch.randint(2 * most + 1, (2,), generator=generator).tolist()
    padded = F.pad(frames.flatten(0, 1), (most,) * 4, mode="replicate").unflatten(0, frames.shape[:2])
    return padded[..., down : down + frames.shape[-2], across : across + frames.shape[-1]]


def main(options: Options) -> None:
    """Train the detectors, score them on blocks of other seeds, and write weights and scores."""
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    codec = load_codec(options.codec) if (options.codec / CODEC_FILE).exists() else None
    detectors = Detectors.load(options.out).train() if options.resume else Detectors()
    if options.kinds:
        pool = SamplePool.of(make_samples(options, codec))
        for kind in options.kinds:
            train(getattr(detectors, kind), kind, pool, options)
    scores = score(detectors.eval(), codec, options)
    settings = {name: value for name, value in asdict(options).items() if name not in ("out", "codec")}
    training = json.dumps(settings) if options.kinds else read_metadata(options.out)["training"]
    metadata = {"scores": json.dumps(scores), "training": training}
    write_atomically(options.out, lambda path: save_file(detectors.state_dict(), path, metadata))
    print(json.dumps(scores, indent=2))


def make_samples(options: Options, codec: Codec | None) -> Iterator[LabelledSample]:
    """Yield random samples; with a codec, a share of them decoded from noisy latents."""
    for index in range(options.blocks):
        rng = np.random.default_rng([options.seed, index])
        sample = random_sample(rng, options.arrangements)
        if codec is not None and rng.random() < DECODED_SHARE:
            decoded = reconstruct(codec, sample.frames, noise=float(rng.uniform(0, 0.6)))
            sample = replace(sample, frames=decoded)
        if index % 200 == 0:
            print(f"rendered {index} of {options.blocks} blocks", flush=True)
        yield sample


def train(classifier: Classifier, kind: str, pool: SamplePool, options: Options) -> None:
    """Train one classifier by cross-entropy on augmented samples."""
    generator = torch.Generator().manual_seed(options.seed)
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=options.lr, weight_decay=0.01)
    right = 0.0
    for iteration in range(options.iterations):
        frames, labels = pool.sample(kind, options.batch, generator)
        logits = classifier(augment(frames, generator))
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(logits, labels, label_smoothing=0.02).backward()
        optimizer.param_groups[0]["lr"] = options.lr * warmup_cosine(iteration, options.iterations)
        optimizer.step()
        right += (logits.argmax(1) == labels).float().mean().item() / 100
        if iteration % 100 == 99:
            print(f"{kind} {iteration + 1}/{options.iterations} right {right:.3f}", flush=True)
            right = 0.0


def score(detectors: Detectors, codec: Codec | None, options: Options) -> dict[str, dict[str, float]]:
    """Return the share of rendered blocks classified right, by condition: {"clean": {"subject": 1.0, ...}, ...}."""
    right: dict[str, dict[str, int]] = {}
    for index in range(options.scored):
        rng = np.random.default_rng([SCORING_SEED, index])
        sample = rendered_block(random_state(rng, options.arrangements), first=index % 8 == 0)
        for condition, change in _conditions(codec, rng).items():
            counts = right.setdefault(condition, dict.fromkeys(LABELS, 0))
            frames = change(sample.frames)
            for kind in LABELS:
                counts[kind] += getattr(detectors, f"name_{kind}")(frames) == getattr(sample, kind)
    return {
        condition: {kind: count / options.scored for kind, count in counts.items()} | {"blocks": options.scored}
        for condition, counts in right.items()
    }


def _conditions(codec: Codec | None, rng: np.random.Generator) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Return the changes to full-size frames under which the detectors are scored."""
    conditions: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "clean": lambda frames: frames,
        "blurred": lambda frames: blur_frames(frames, sigma=1.5),
        "noisy": lambda frames: (frames + rng.normal(0, 20, frames.shape)).clip(0, 255).astype(np.uint8),
    }
    if codec is not None:
        conditions["decoded"] = lambda frames: reconstruct(codec, frames)
        conditions["decoded from noisy latents"] = lambda frames: reconstruct(codec, frames, noise=0.3)
    return conditions


def blur_frames(frames: np.ndarray, sigma: float) -> np.ndarray:
    """Blur frames, t H W 3 uint8; sigma in pixels."""
    video = torch.from_numpy(frames).permute(0, 3, 1, 2)[None].float()  # t H W c -> 1 t c H W
    return gaussian_blur(video, torch.tensor([sigma]))[0].permute(0, 2, 3, 1).round().byte().numpy()


def _label_index(kind: str, sample: LabelledSample) -> int:
    label = getattr(sample, kind)
    return -1 if label is None else LABELS[kind].index(label)
