"""Released generators that load by name: where each lives, how its file is laid out, what it is played with.

Knows neither files nor tensors. None of the files was opened while this was written: each layout is the one that its
project's own loader expects, so a file that differs is refused with the names that do not fit, never half loaded.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from infrope_env.config import WAN_1_3B, WAN_14B, ModelConfig, Sampler, Window
from infrope_env.errors import WeightsError
from infrope_env.models.wan.generator_memory import lora_parameters, parameters

DEFAULT = "infinite-forcing"  # the ∞-RoPE release's own default
UNSTATED = "unknown: see its page"
BYTES = {"float32": 4, "bfloat16": 2}


@dataclass(frozen=True)
class Lora:
    """A low-rank update that is merged at load.

    Attributes:
        file: in the same repository.
        wrapper: key under which the file holds it; a file without that key is the update itself.
        rank: of every pair.
        alpha: the update is scaled by alpha / rank.
    """

    file: str
    wrapper: str
    rank: int
    alpha: float


@dataclass(frozen=True)
class Checkpoint:
    """One released generator.

    Attributes:
        repo: on the Hugging Face hub.
        file: of the generator, inside the repository.
        wrappers: keys under which the file may hold the generator, the best first; a file with none of them is a plain
            state dict.
        window: how this package plays it; where the project has another rule, `remark` says so.
        licence: of the weights, as far as it is known here; the model page decides.
        source: the project.
        stored: dtype of the file's tensors, which the size on disk is computed from.
        revision: 40 hex digits to download; None where none was known: the first download then keeps the one it got.
        layout: where the file's layout is known from.
    """

    name: str
    repo: str
    file: str
    wrappers: tuple[str, ...]
    licence: str
    source: str
    config: ModelConfig = WAN_1_3B
    window: Window = field(default_factory=Window)
    sampler: Sampler = field(default_factory=Sampler)
    lora: Lora | None = None
    stored: str = "float32"
    revision: str | None = None
    layout: str = "as its project's loader reads it; the file itself was not seen"
    remark: str = ""

    @property
    def files(self) -> tuple[str, ...]:
        """What has to be downloaded: the generator, then its LoRA if it has one."""
        return (self.file,) if self.lora is None else (self.file, self.lora.file)

    @property
    def disk_bytes(self) -> int:
        """Size of one copy of the tensors; a file that holds more copies than one is larger."""
        count = parameters(self.config)
        if self.lora is not None:
            count += lora_parameters(self.config, self.lora.rank)
        return count * BYTES[self.stored]


EMA_FIRST, RAW_FIRST = ("generator_ema", "generator"), ("generator", "generator_ema")

CHECKPOINTS = (
    Checkpoint(
        name="infinite-forcing",
        repo="SOTAMak1r/Infinite-Forcing",
        file="ema_model.pt",
        wrappers=EMA_FIRST,
        licence=UNSTATED,
        source="https://github.com/SOTAMak1r/Infinite-Forcing",
        remark="Trained with a sink of one frame and keys rotated after the cache; the ∞-RoPE release's default.",
    ),
    Checkpoint(
        name="self-forcing-dmd",
        repo="gdhe17/Self-Forcing",
        file="checkpoints/self_forcing_dmd.pt",
        wrappers=EMA_FIRST,
        licence="CC-BY-NC-SA-4.0",
        source="https://github.com/guandeh17/Self-Forcing",
        remark="The paper's base. Trained with absolute coordinates over 21 frames and without a sink.",
    ),
    Checkpoint(
        name="self-forcing-sid",
        repo="gdhe17/Self-Forcing",
        file="checkpoints/self_forcing_sid.pt",
        wrappers=EMA_FIRST,
        licence="CC-BY-NC-SA-4.0",
        source="https://github.com/guandeh17/Self-Forcing",
        remark="As self-forcing-dmd, distilled with another loss.",
    ),
    Checkpoint(
        name="causal-forcing",
        repo="zhuhz22/Causal-Forcing",
        file="chunkwise/causal_forcing.pt",
        wrappers=RAW_FIRST,
        licence="Apache-2.0",
        source="https://github.com/thu-ml/Causal-Forcing",
    ),
    Checkpoint(
        name="causal-forcing-framewise",
        repo="zhuhz22/Causal-Forcing",
        file="framewise/causal_forcing.pt",
        wrappers=EMA_FIRST,
        licence="Apache-2.0",
        source="https://github.com/thu-ml/Causal-Forcing",
        window=Window.from_size(6, block=1),
        remark="One latent frame a block, so an action takes effect within four pixel frames, at the cost of speed.",
    ),
    Checkpoint(
        name="rolling-forcing",
        repo="TencentARC/RollingForcing",
        file="checkpoints/rolling_forcing_dmd.pt",
        wrappers=EMA_FIRST,
        licence="MIT",
        source="https://github.com/TencentARC/RollingForcing",
        window=Window(sink=3, context=3),
        sampler=Sampler(steps=(1000, 800, 600, 400, 200)),
        remark="Its weights and its five noise levels, block by block; its own rolling sampler, which denoises blocks "
        "of different noise together, is not reproduced. The sink is its anchor of three frames.",
    ),
    Checkpoint(
        name="longlive",
        repo="Efficient-Large-Model/LongLive-1.3B",
        file="models/longlive_base.pt",
        wrappers=RAW_FIRST,
        licence=UNSTATED,
        source="https://github.com/NVlabs/LongLive/tree/v1.0",
        window=Window.from_size(12, sink=3),
        lora=Lora("models/lora.pt", wrapper="generator_lora", rank=256, alpha=256),
        remark="Its own prompt switch encodes the window again under the new prompt; here a switch flushes.",
    ),
    Checkpoint(
        name="krea-realtime-14b",
        repo="krea/krea-realtime-video",
        file="krea-realtime-video-14b.safetensors",
        wrappers=(),
        licence="CC-BY-NC-SA-4.0",
        source="https://github.com/krea-ai/realtime-video",
        config=WAN_14B,
        stored="bfloat16",
        remark="14 billion parameters with the same names. Its own server encodes the context again for every block.",
    ),
)
"""Every row, the default first."""


def find_checkpoint(name: str) -> Checkpoint:
    """The row of a name; WeightsError lists the names there are."""
    for checkpoint in CHECKPOINTS:
        if checkpoint.name == name:
            return checkpoint
    known = ", ".join(checkpoint.name for checkpoint in CHECKPOINTS)
    raise WeightsError(f"No generator named {name!r}; released ones are {known}. Or pass the path of a file.")


def is_checkpoint(name: str) -> bool:
    """Whether a row has this name."""
    return any(checkpoint.name == name for checkpoint in CHECKPOINTS)
