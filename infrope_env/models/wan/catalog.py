"""Released generators that load by name: their repositories, file layouts and settings of play.

This module imports no torch and opens no file. No released file was opened while it was written: each layout is the one
that the project's own loader expects. A file that differs is refused with the names that do not fit, never half loaded.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from infrope_env.config import WAN_1_3B, WAN_14B, ModelConfig, Sampler, Window
from infrope_env.models.wan.memory import lora_parameters, parameters
from infrope_env.models.wan.pins import pin_of, revision_of

DEFAULT = "infinite-forcing"  # the default of the ∞-RoPE release
ALIAS = "wan"  # the default generator, as a weights string
BYTES = {"float32": 4, "bfloat16": 2}
EMA_FIRST, RAW_FIRST = ("generator_ema", "generator"), ("generator", "generator_ema")


@dataclass(frozen=True)
class Lora:
    """A low-rank update in a file of the generator's repository, scaled by alpha / rank and merged at loading time.

    Attributes:
        wrapper: Key that holds the update; a file without that key is the update itself.
        copies: Updates of this size in the file: LongLive's code saves that of its critic, too.
    """

    file: str
    wrapper: str
    rank: int
    alpha: float
    copies: int = 1


@dataclass(frozen=True)
class Checkpoint:
    """A released generator.

    Attributes:
        repo: Repository on the Hugging Face hub.
        file: Path of the generator in the repository.
        wrappers: Keys that may hold the generator, the best first; a file with none of them is a plain state dict.
        licence: Licence of the weights as far as it is known here: of the page of the weights ("card") and of the
            project, where they differ. The page decides.
        window: Window that this package plays it with; where the project has another rule, `remark` says so.
        stored: Dtype of the file's tensors; with `copies` it gives the size on disk of a file of unknown length.
        copies: Copies of the generator in its file.
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
    copies: int = 1
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
        """Size of all files: their length where it is known, else computed from shapes and dtype."""
        known = self._known_bytes
        computed = {self.file: self.copies * parameters(self.config) * BYTES[self.stored]}
        if self.lora is not None:
            update = lora_parameters(self.config, self.lora.rank) * BYTES["float32"]
            computed[self.lora.file] = self.lora.copies * update
        return sum(known.get(file, computed[file]) for file in self.files)

    @property
    def is_length_known(self) -> bool:
        """Whether `disk_bytes` is the length of the files and not computed."""
        return self._known_bytes.keys() == set(self.files)

    @property
    def _known_bytes(self) -> dict[str, int]:
        pins = {file: pin_of(self.repo, file) for file in self.files}
        return {file: pin.bytes for file, pin in pins.items() if pin is not None and pin.bytes is not None}


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


SELF_FORCING = "https://github.com/guandeh17/Self-Forcing"
SELF_FORCING_LICENCE = "CC-BY-NC-SA-4.0 (card), Apache-2.0 (project)"
CAUSAL_FORCING = "https://github.com/thu-ml/Causal-Forcing"
FOUR_STEPS = (1000, 750, 500, 250)
FRAMEWISE = Window.from_size(21, block=1)
"""One latent frame per block. The first 21 frames see what they see in the authors' code."""

CHECKPOINTS = (
    Checkpoint(
        name="infinite-forcing",
        repo="SOTAMak1r/Infinite-Forcing",
        file="ema_model.pt",
        licence="Apache-2.0 (project; card not seen)",
        source="https://github.com/SOTAMak1r/Infinite-Forcing",
        remark="Trained with a sink of one frame and keys rotated after the cache; the ∞-RoPE release's default.",
    ),
    Checkpoint(
        name="self-forcing-dmd",
        repo="gdhe17/Self-Forcing",
        file="checkpoints/self_forcing_dmd.pt",
        licence=SELF_FORCING_LICENCE,
        source=SELF_FORCING,
        remark="The paper's base. Its authors play 21 frames without a sink, at absolute coordinates, and end there. "
        "The window is the ∞-RoPE release's.",
    ),
    Checkpoint(
        name="self-forcing-sid",
        repo="gdhe17/Self-Forcing",
        file="checkpoints/self_forcing_sid.pt",
        licence=SELF_FORCING_LICENCE,
        source=SELF_FORCING,
        remark="As self-forcing-dmd, distilled with another loss.",
    ),
    Checkpoint(
        name="self-forcing-sid-v2",
        repo="gdhe17/Self-Forcing",
        file="checkpoints/self_forcing_sid_v2.pt",
        licence=SELF_FORCING_LICENCE,
        source=SELF_FORCING,
        remark="As self-forcing-sid, a later file.",
    ),
    Checkpoint(
        name="self-forcing-gan",
        repo="gdhe17/Self-Forcing",
        file="checkpoints/self_forcing_gan.pt",
        licence=SELF_FORCING_LICENCE,
        source=SELF_FORCING,
        remark="As self-forcing-dmd, trained against videos by a discriminator.",
    ),
    Checkpoint(
        name="self-forcing-10s",
        repo="gdhe17/Self-Forcing",
        file="checkpoints/self_forcing_10s.pt",
        licence=SELF_FORCING_LICENCE,
        source=SELF_FORCING,
        remark="Trained on rollouts of ten seconds. Its authors did not publish the window they play it with.",
    ),
    Checkpoint(
        name="causvid",
        repo="tianweiy/CausVid",
        file="autoregressive_checkpoint/model.pt",
        wrappers=RAW_FIRST,
        licence="CC-BY-NC-SA-4.0 (project; card not seen)",
        source="https://github.com/tianweiy/CausVid",
        sampler=Sampler((1000, 757, 522), shift=8.0, warped=False),
        remark="Its three timesteps are not bent; the 0 at the end of its list is no step there either. Its authors "
        "play 21 frames without a sink. Its warp_4step_cfg2 file has steps 1000, 750, 500, 250 and shift 8, warped.",
    ),
    Checkpoint(
        name="causal-forcing",
        repo="zhuhz22/Causal-Forcing",
        file="chunkwise/causal_forcing.pt",
        wrappers=RAW_FIRST,
        licence="Apache-2.0",
        source=CAUSAL_FORCING,
        remark="Its authors play 21 frames at absolute coordinates without a sink, no more than 81 pixel frames.",
    ),
    Checkpoint(
        name="causal-forcing-framewise",
        repo="zhuhz22/Causal-Forcing",
        file="framewise/causal_forcing.pt",
        licence="Apache-2.0",
        source=CAUSAL_FORCING,
        window=FRAMEWISE,
        remark="One latent frame per block: an action takes effect within four pixel frames, at the cost of speed. Its "
        "authors play 21 frames; later frames are outside their setting.",
    ),
    Checkpoint(
        name="causal-forcing-pp-2step",
        repo="zhuhz22/Causal-Forcing",
        file="causal-forcing++/framewise-2step.pt",
        licence="Apache-2.0",
        source=CAUSAL_FORCING,
        window=FRAMEWISE,
        sampler=Sampler((1000, 500), first_steps=FOUR_STEPS),
        remark="As causal-forcing-framewise in two steps; the first frame takes four, as its authors play it.",
    ),
    Checkpoint(
        name="causal-forcing-pp-1step",
        repo="zhuhz22/Causal-Forcing",
        file="causal-forcing++/framewise-1step.pt",
        licence="Apache-2.0",
        source=CAUSAL_FORCING,
        window=FRAMEWISE,
        sampler=Sampler((1000,), first_steps=FOUR_STEPS),
        remark="As causal-forcing-framewise in one step; the first frame takes four, as its authors play it.",
    ),
    Checkpoint(
        name="rolling-forcing",
        repo="TencentARC/RollingForcing",
        file="checkpoints/rolling_forcing_dmd.pt",
        licence="MIT (card), academic use only (project)",
        source="https://github.com/TencentARC/RollingForcing",
        window=Window(sink=3, context=3),
        sampler=Sampler((1000, 800, 600, 400, 200)),
        copies=3,
        remark="Its weights and its five noise levels, block by block. Its rolling sampler, which denoises five blocks "
        "of different noise together and attends to 21 frames, is not reproduced. The sink is its anchor of three "
        "frames.",
    ),
    Checkpoint(
        name="longlive",
        repo="Efficient-Large-Model/LongLive-1.3B",
        file="models/longlive_base.pt",
        wrappers=RAW_FIRST,
        licence="CC-BY-NC-SA-4.0 (card), Apache-2.0 (readme)",
        source="https://github.com/NVlabs/LongLive/tree/v1.0",
        window=Window.from_size(12, sink=3),
        lora=Lora("models/lora.pt", wrapper="generator_lora", rank=256, alpha=256, copies=2),
        remark="Its own prompt switch encodes the window again under the new prompt; here a switch flushes the cache.",
    ),
    Checkpoint(
        name="memflow",
        repo="KlingTeam/MemFlow",
        file="base.pt",
        wrappers=(*RAW_FIRST, "model"),
        licence="Apache-2.0 (project; card states none)",
        source="https://github.com/KlingTeam/MemFlow",
        window=Window.from_size(12, sink=3),
        lora=Lora("lora.pt", wrapper="generator_lora", rank=256, alpha=256, copies=2),
        remark="Its memory bank of three retrieved frames is not reproduced.",
    ),
    Checkpoint(
        name="memflow-base",
        repo="KlingTeam/MemFlow",
        file="base.pt",
        wrappers=(*RAW_FIRST, "model"),
        licence="Apache-2.0 (project; card states none)",
        source="https://github.com/KlingTeam/MemFlow",
        window=Window.from_size(12, sink=3),
        remark="memflow without its LoRA: its first stage of training.",
    ),
    Checkpoint(
        name="reward-forcing",
        repo="JaydenLu666/Reward-Forcing-T2V-1.3B",
        file="rewardforcing.pt",
        wrappers=(),
        licence="Apache-2.0 (project; card states none)",
        source="https://github.com/JaydenLyh/Reward-Forcing",
        window=Window.from_size(9, sink=3),
        remark="Its authors fold the keys of frames that leave the window into the sink, as memory='ema_sink' does; "
        "without it the sink stays the first three frames.",
    ),
    Checkpoint(
        name="krea-realtime-14b",
        repo="krea/krea-realtime-video",
        file="krea-realtime-video-14b.safetensors",
        wrappers=(),
        licence="Apache-2.0 (card), CC-BY-NC-SA-4.0 (code)",
        source="https://github.com/krea-ai/realtime-video",
        config=WAN_14B,
        sampler=Sampler((1000, 750, 500, 250, 0)),
        stored="bfloat16",
        remark="14 billion parameters with the same names; five steps, the last at 0. The window is that of "
        "keep_first_frame in its server, which encodes the context again for every block. By default that server has "
        "no sink and encodes the oldest visible frame again through the VAE.",
    ),
)
"""All released generators, the default first."""


def find_checkpoint(name: str) -> Checkpoint | None:
    """Return the row of a name, the default one for "wan"; None where there is none."""
    name = DEFAULT if name == ALIAS else name
    return next((checkpoint for checkpoint in CHECKPOINTS if checkpoint.name == name), None)
