"""Facts known about released files before a download: revision, length and sha256. Imports no torch.

A revision of a repository never changes, a branch does. A file without an entry is taken from the newest revision.
"""

from __future__ import annotations

from dataclasses import dataclass

WAN_1_3B_REPO = "Wan-AI/Wan2.1-T2V-1.3B"
CAUSAL_FORCING_REPO = "zhuhz22/Causal-Forcing"
LONGLIVE_REPO = "Efficient-Large-Model/LongLive-1.3B"
SELF_FORCING_REPO = "gdhe17/Self-Forcing"
KREA_REPO = "krea/krea-realtime-video"


@dataclass(frozen=True)
class Pin:
    """Known facts about one file of a pinned revision; None where a fact is not known.

    Attributes:
        bytes: Length.
        sha256: Digest, 64 hex digits.
    """

    bytes: int | None
    sha256: str | None


REVISIONS: dict[str, str] = {
    WAN_1_3B_REPO: "37ec512624d61f7aa208f7ea8140a131f93afc9a",
    CAUSAL_FORCING_REPO: "2f8eb8bb6eeb1238da9d13e5420d342a74d634a6",
    LONGLIVE_REPO: "cda9138d93872ef109d9a74c270184eb3a5acc6e",
    SELF_FORCING_REPO: "2f8b779212da279d212c22a509b66ad6552f350e",
    KREA_REPO: "6b5d204f9d14c3c3a59608e49d1da7fad90daf8d",
}
"""Commit by repository."""

FILES: dict[tuple[str, str], Pin] = {
    (WAN_1_3B_REPO, "models_t5_umt5-xxl-enc-bf16.pth"): Pin(
        11_361_920_418, "7cace0da2b446bbbbc57d031ab6cf163a3d59b366da94e5afe36745b746fd81d"
    ),
    (WAN_1_3B_REPO, "Wan2.1_VAE.pth"): Pin(
        507_609_880, "38071ab59bd94681c686fa51d75a1968f64e470262043be31f7a094e442fd981"
    ),
    (WAN_1_3B_REPO, "google/umt5-xxl/tokenizer.json"): Pin(
        16_837_417, "6e197b4d3dbd71da14b4eb255f4fa91c9c1f2068b20a2de2472967ca3d22602b"
    ),
    (SELF_FORCING_REPO, "checkpoints/self_forcing_dmd.pt"): Pin(
        5_676_252_553, "a0413986d9734e02c09504e1520f5697ba6df731bb2f0f35577485e9cc8f56a3"
    ),
    (CAUSAL_FORCING_REPO, "chunkwise/causal_forcing.pt"): Pin(
        5_676_282_643, "cf75ee5cc6f4e2e336c59c973f5544655d8f0aa481761efe6de1b9cb2eb0cd9d"
    ),
    (CAUSAL_FORCING_REPO, "framewise/causal_forcing.pt"): Pin(
        5_676_220_819, "70cae8c3b0b7191fa9840b4f6fe8655ba0cf5c6520c87ba85a46b861c3735cd3"
    ),
    (CAUSAL_FORCING_REPO, "causal-forcing++/framewise-2step.pt"): Pin(
        None, "8f899a016dffb9539788fac82c6200e43ef6e23b6e61ec6b885bb507a760ce42"
    ),
    (CAUSAL_FORCING_REPO, "causal-forcing++/framewise-1step.pt"): Pin(
        None, "bdb1b475fc88d528f510158a0990cd457f02c661b527ceb11ca9e4728533e2d0"
    ),
    (LONGLIVE_REPO, "models/longlive_base.pt"): Pin(
        5_676_334_208, "10a2aa8fcf89c77d9033f4c117405412a690e289625766619d293f0c5a208ee7"
    ),
    (LONGLIVE_REPO, "models/lora.pt"): Pin(
        2_800_056_690, "c4e43b87d62d4b0614b496773639f1ab170a7ee486dc23407901e9d3a5ebc07a"
    ),
}
"""Facts by repository and file. Krea's file is known by its revision only."""


def pin_of(repo: str, file: str) -> Pin | None:
    """Return the known facts of a file of a repository's pinned revision, None if nothing is known."""
    return FILES.get((repo, file))


def revision_of(repo: str) -> str | None:
    """Return the pinned commit of a repository on the hub, 40 hex digits; None takes the newest."""
    return REVISIONS.get(repo)
