"""Released generators that load by name: their repositories, file layouts and settings of play.

This module imports no torch and opens no file. No released file was opened while it was written: each layout is the one
that the project's own loader expects. A file that differs is refused with the names that do not fit, never half loaded.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from infrope_env.config import WAN_1_3B, WAN_14B, ModelConfig, Sampler, Window
from infrope_env.models.wan.memory import lora_parameters, parameters
from infrope_env.models.wan.pins import revision_of

DEFAULT = "infinite-forcing"  # the default of the ∞-RoPE release
ALIAS = "wan"  # the default generator, as a weights string
BYTES = {"float32": 4, "bfloat16": 2}
EMA_FIRST, RAW_FIRST = ("generator_ema", "generator"), ("generator", "generator_ema")


@dataclass(frozen=True)
class Lora:
    """A low-rank update in a file of the generator's repository, scaled by alpha / rank and merged at loading time.

    Attributes:
        wrapper: Key that holds the update; a file without that key is the update itself.
    """

    file: str
    wrapper: str
    rank: int
    alpha: float


@dataclass(frozen=True)
class Checkpoint:
    """A released generator.

    Attributes:
        repo: Repository on the Hugging Face hub.
        file: Path of the generator in the repository.
        wrappers: Keys that may hold the generator, the best first; a file with none of them is a plain state dict.
        licence: Licence of the weights as far as it is known here; the model page decides.
        window: Window that this package plays it with; where the project has another rule, `remark` says so.
        stored: Dtype of the file's tensors, from which the size on disk is computed.
        remark: Differences from the project's own way to play it.
    """

    name: str
    repo: str
    file: str
    source: str
    licence: str = "unknown: see its page"
    wrappers: tuple[str, ...] = EMA_FIRST
    config: ModelConfig = WAN_1_3B
    window: Window = field(default_factory=Window)
    sampler: Sampler = field(default_factory=Sampler)
    lora: Lora | None = None
    stored: str = "float32"
    remark: str = ""

    @property
    def revision(self) -> str | None:
        """Commit to download, 40 hex digits. None: the first download takes the newest and keeps it."""
        return revision_of(self.repo)

    @property
    def files(self) -> tuple[str, ...]:
        """Files to download: the generator, then its LoRA if there is one."""
        return (self.file,) if self.lora is None else (self.file, self.lora.file)

    @property
    def disk_bytes(self) -> int:
        """Size of one copy of the tensors; a file with several copies is larger."""
        count = parameters(self.config) + (lora_parameters(self.config, self.lora.rank) if self.lora else 0)
        return count * BYTES[self.stored]


@dataclass(frozen=True)
class Part:
    """Files in one repository of the hub that make another part of Wan, which parts.py lists; the size is computed."""

    name: str
    description: str
    repo: str
    files: tuple[str, ...]
    disk_bytes: int
    licence: str = "Apache-2.0"

    @property
    def revision(self) -> str | None:
        """Commit to download, as of a `Checkpoint`."""
        return revision_of(self.repo)


CHECKPOINTS = (
    Checkpoint(
        name="infinite-forcing",
        repo="SOTAMak1r/Infinite-Forcing",
        file="ema_model.pt",
        source="https://github.com/SOTAMak1r/Infinite-Forcing",
        remark="Trained with a sink of one frame and keys rotated after the cache; the ∞-RoPE release's default.",
    ),
    Checkpoint(
        name="self-forcing-dmd",
        repo="gdhe17/Self-Forcing",
        file="checkpoints/self_forcing_dmd.pt",
        licence="CC-BY-NC-SA-4.0",
        source="https://github.com/guandeh17/Self-Forcing",
        remark="The paper's base. Trained with absolute coordinates over 21 frames and without a sink.",
    ),
    Checkpoint(
        name="self-forcing-sid",
        repo="gdhe17/Self-Forcing",
        file="checkpoints/self_forcing_sid.pt",
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
        licence="Apache-2.0",
        source="https://github.com/thu-ml/Causal-Forcing",
        window=Window.from_size(6, block=1),
        remark="One latent frame per block: an action takes effect within four pixel frames, at the cost of speed.",
    ),
    Checkpoint(
        name="rolling-forcing",
        repo="TencentARC/RollingForcing",
        file="checkpoints/rolling_forcing_dmd.pt",
        licence="MIT",
        source="https://github.com/TencentARC/RollingForcing",
        window=Window(sink=3, context=3),
        sampler=Sampler(steps=(1000, 800, 600, 400, 200)),
        remark="Its weights and its five noise levels, block by block. Its rolling sampler, which denoises blocks of "
        "different noise together, is not reproduced. The sink is its anchor of three frames.",
    ),
    Checkpoint(
        name="longlive",
        repo="Efficient-Large-Model/LongLive-1.3B",
        file="models/longlive_base.pt",
        wrappers=RAW_FIRST,
        source="https://github.com/NVlabs/LongLive/tree/v1.0",
        window=Window.from_size(12, sink=3),
        lora=Lora("models/lora.pt", wrapper="generator_lora", rank=256, alpha=256),
        remark="Its own prompt switch encodes the window again under the new prompt; here a switch flushes the cache.",
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
"""All released generators, the default first."""


def find_checkpoint(name: str) -> Checkpoint | None:
    """Return the row of a name, the default one for "wan"; None where there is none."""
    name = DEFAULT if name == ALIAS else name
    return next((checkpoint for checkpoint in CHECKPOINTS if checkpoint.name == name), None)
