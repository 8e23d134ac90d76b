"""Random files in the released layouts at their full size, 18 GB: written in place, never in memory as a whole."""

import mmap
import random
import string
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from infrope_env.pixels.taehv import TAEHV
from tests.models.wan.released_files import golden_shapes, sharded
from tests.pixels.test_wan_vae import original_name

Shapes = Mapping[str, tuple[int, ...]]
VOCABULARY, WIDTH, FEED_FORWARD, HEADS, LAYERS, BUCKETS = 256_384, 4096, 10_240, 64, 24, 32
STD = 0.02
POOL = 1 << 24


def write_full_folder(folder: Path) -> Path:
    """Write generator, text encoder, tokenizer, full VAE and taew2_1 in the layouts of their projects."""
    folder.mkdir(parents=True, exist_ok=True)
    write_random(folder / "ema_model.pt", golden_shapes("1.3B"), torch.float32, wrapper="generator_ema")
    write_random(folder / "models_t5_umt5-xxl-enc-bf16.pth", umt5_shapes(), torch.bfloat16)
    write_random(folder / "Wan2.1_VAE.pth", vae_shapes(), torch.float32)
    network = TAEHV()
    torch.save({name: tensor.half() for name, tensor in network.state_dict().items()}, folder / "taew2_1.pth")
    write_tokenizer(folder / "google" / "umt5-xxl" / "tokenizer.json")
    return folder


def umt5_shapes() -> dict[str, tuple[int, ...]]:
    """Return name and shape of every tensor of UMT5-XXL in Wan's own file: 242 of them."""
    shapes: dict[str, tuple[int, ...]] = {"token_embedding.weight": (VOCABULARY, WIDTH), "norm.weight": (WIDTH,)}
    for i in range(LAYERS):
        layer = f"blocks.{i}"
        shapes |= {f"{layer}.norm1.weight": (WIDTH,), f"{layer}.norm2.weight": (WIDTH,)}
        shapes |= {f"{layer}.attn.{part}.weight": (WIDTH, WIDTH) for part in "qkvo"}
        shapes |= {f"{layer}.ffn.{part}.weight": (FEED_FORWARD, WIDTH) for part in ("gate.0", "fc1")}
        shapes[f"{layer}.ffn.fc2.weight"] = (WIDTH, FEED_FORWARD)
        shapes[f"{layer}.pos_embedding.embedding.weight"] = (BUCKETS, HEADS)
    return shapes


def vae_shapes() -> dict[str, tuple[int, ...]]:
    """Return name and shape of every tensor of Wan2.1_VAE.pth."""
    from diffusers import AutoencoderKLWan

    with torch.device("meta"):
        return {original_name(name): tuple(value.shape) for name, value in AutoencoderKLWan().state_dict().items()}


def write_random(path: Path, shapes: Shapes, dtype: torch.dtype, wrapper: str | None = None) -> None:
    """Write a .pt file of random numbers: first its structure with holes, then the numbers into the mapped file."""
    with FakeTensorMode(), torch.serialization.skip_data(materialize_fake_tensors=True):
        entries: dict = {name: torch.empty(shape, dtype=dtype) for name, shape in shapes.items()}
        torch.save({wrapper: sharded(entries)} if wrapper else entries, path)
    with torch.serialization.set_default_mmap_options(mmap.MAP_SHARED):
        entries = torch.load(path, mmap=True, weights_only=True)
    for name, tensor in (entries[wrapper] if wrapper else entries).items():
        _randomize(name, tensor)


def write_tokenizer(path: Path) -> None:
    """Write a tokenizer.json of as many pieces as UMT5's."""
    letters = random.Random(0)
    words = {"".join(letters.choices(string.ascii_lowercase, k=letters.randint(2, 9))) for _ in range(300_000)}
    pieces = ["<pad>", "</s>", "<unk>", "▁", *string.ascii_letters, *string.punctuation, *string.digits]
    pieces += [f"▁{word}" for word in sorted(words)][: VOCABULARY - 1000]
    tokenizer = Tokenizer(models.Unigram([(piece, -0.00001 * i) for i, piece in enumerate(pieces)], unk_id=2))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    path.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(path))


def _randomize(name: str, tensor: Tensor) -> None:
    """Fill a tensor with numbers that repeat after sixteen million: scales of norms near one, all others near zero."""
    is_scale = tensor.ndim == 1 and "norm" in name and not name.endswith("bias")
    for piece in tensor.view(-1).split(POOL):
        piece.copy_(_pool()[: len(piece)]).add_(1.0 if is_scale else 0.0)


@cache
def _pool() -> Tensor:
    return STD * torch.randn(POOL, generator=torch.Generator().manual_seed(0))
