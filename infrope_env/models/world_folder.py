"""World folders: finding, checking, loading and writing a model's weights. Knows files and shapes, not what they play.

A world folder holds `generator.safetensors` (names prefixed `model.`, as in the release), `text_encoder.safetensors`,
`decoder.safetensors`, `tokenizer.json`, and `card.json`: the sizes of the networks and the sha256 of each file. With a
patch codec it also holds `encoder.safetensors`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from tokenizers import Tokenizer
from torch import Tensor, nn

from infrope_env.config import ModelConfig, Sampler, Window
from infrope_env.dynamics.transformer import CausalWanTransformer
from infrope_env.errors import WeightsError
from infrope_env.models.card import Card
from infrope_env.pixels.codec import Decoder, Encoder
from infrope_env.pixels.patch_codec import PatchCodecConfig, PatchDecoder, PatchEncoder
from infrope_env.pixels.taehv import TAEHV, TAEHVConfig
from infrope_env.text.encoder import PocketTextEncoder, TextEncoder

BUNDLED = Path(__file__).parents[1] / "assets"
GENERATOR, TEXT_ENCODER, DECODER = "generator.safetensors", "text_encoder.safetensors", "decoder.safetensors"
ENCODER = "encoder.safetensors"
TOKENIZER, CARD = "tokenizer.json", "card.json"
GENERATOR_PREFIX = "model."
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

T = TypeVar("T")


@dataclass(frozen=True)
class WorldModel:
    """A loaded world, shared by every environment of the process: nothing in it changes during play.

    Attributes:
        window: the world's own, used where the player asks for nothing else; so is `sampler`.
        frame_size: height and width of a pixel frame.
        sha256: of every file, by file name.
        encoder: for rollouts that begin from a picture; None when the world brings none.
        encoder_hint: how to come by an encoder, where there is none.
        prompt_folder: where embeddings are kept between processes; None keeps none.
        packages: that pixels depend on besides those of every world.
    """

    name: str
    transformer: CausalWanTransformer
    text_encoder: TextEncoder
    decoder: Decoder
    config: ModelConfig
    window: Window
    sampler: Sampler
    frame_size: tuple[int, int]
    sha256: dict[str, str]
    device: torch.device
    dtype: torch.dtype
    encoder: Encoder | None = None
    encoder_hint: str = ""
    prompt_folder: Path | None = None
    packages: tuple[str, ...] = ()


def load_world(
    name_or_path: str | Path | None = None,
    *,
    decoder: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
) -> WorldModel:
    """Load a world, once per process for each folder, device and dtype.

    Args:
        name_or_path: a bundled world's name, a world folder's path, or None for "pocket".
        decoder: None takes the world's own; a world folder has no other.
        device: "cpu", "cuda" or "cuda:1"; None takes the GPU where there is one.
        dtype: "float32", "bfloat16" or "float16"; None takes what is fast on the device.

    Raises:
        WeightsError: the weights are missing, truncated or altered, or do not fit the card.
        ValueError: there is no such device or dtype.
    """
    folder = find_folder(name_or_path)
    if decoder is not None:
        raise WeightsError(f"No decoder named {decoder!r} for {folder}: it brings its own. Leave decoder out.")
    place = as_device(device)
    return _load(folder, _read(folder, CARD).decode(), place, as_dtype(dtype) or fast_dtype(place))


def find_folder(name_or_path: str | Path | None) -> Path:
    """The folder of a bundled world's name or of a path; WeightsError when there is none."""
    wanted = Path(name_or_path or "pocket")
    for folder in (BUNDLED / wanted, wanted.expanduser()):
        if (folder / CARD).is_file():
            return folder.resolve()
    if wanted.expanduser().is_dir():
        raise WeightsError(f"{wanted} is not a world folder: it has no {CARD}.")
    bundled = ", ".join(sorted(card.parent.name for card in BUNDLED.glob(f"*/{CARD}"))) or "none"
    raise WeightsError(f"No weights named '{wanted}'; bundled: {bundled}. Pass weights= the path of a world folder.")


def load_card(name_or_path: str | Path | None = None) -> Card:
    """What a world folder says of itself; errors as in `load_world`."""
    folder = find_folder(name_or_path)
    return Card.parse(_read(folder, CARD).decode(), folder / CARD)


def fast_dtype(device: torch.device) -> torch.dtype:
    """Bfloat16 on GPUs and on processors that compute in it, float32 elsewhere (emulation is four times slower)."""
    if device.type != "cpu":
        return torch.bfloat16
    asks = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return torch.bfloat16 if any(ask is not None and ask() for ask in asks) else torch.float32


def describe(name_or_path: str | Path | None = None) -> str:
    """Check a world folder and say what is in it, one line per fact; errors as in `load_world`."""
    folder, card = find_folder(name_or_path), load_card(name_or_path)
    height, width = card.frame_size
    lines = [f"{card.name}  {folder}", f"  {width}x{height} px, {card.model.num_layers} layers of {card.model.dim}"]
    for name in card.files:
        data = _checked(folder, name, card)
        lines.append(f"  {name:26}{len(data) / 1e6:9.2f} MB  sha256 {card.files[name][:16]}  intact")
    return "\n".join([*lines, *_told(card.training, "  ")])


def _told(facts: Mapping[str, Any], indent: str) -> Iterator[str]:
    """Free facts in lines; what a fact holds stands below it."""
    for name, value in facts.items():
        if isinstance(value, Mapping) and any(isinstance(inner, Mapping) for inner in value.values()):
            yield f"{indent}{name}:"
            yield from _told(value, f"{indent}  ")
        elif isinstance(value, Mapping):
            yield f"{indent}{name}: {', '.join(f'{key} {inner}' for key, inner in value.items())}"
        elif isinstance(value, list):
            yield from (f"{indent}{name}:", *(f"{indent}  {inner}" for inner in value))
        else:
            yield f"{indent}{name}: {value}"


def save_world(
    folder: Path,
    transformer: CausalWanTransformer,
    text_encoder: PocketTextEncoder,
    decoder: TAEHV | PatchDecoder,
    card_fields: Mapping[str, Any],
    encoder: PatchEncoder | None = None,
) -> Path:
    """Write a world folder; every file appears whole or not at all, the card last.

    Args:
        folder: made if need be; the files of an earlier world in it are replaced.
        transformer: stored in the dtype it has, like the other two.
        text_encoder: its tokenizer becomes tokenizer.json.
        decoder: stored without its encoder.
        card_fields: "name"; optional "window" and "sampler" (as dataclasses) and "training" (free facts).
        encoder: of a patch codec.

    Returns:
        the folder.
    """
    halves = {name: value for name, value in decoder.state_dict().items() if not name.startswith("encoder.")}
    prefixed = {GENERATOR_PREFIX + name: value for name, value in transformer.state_dict().items()}
    files = {
        GENERATOR: _pack(prefixed),
        TEXT_ENCODER: _pack(text_encoder.state_dict()),
        DECODER: _pack(halves),
        TOKENIZER: text_encoder.tokenizer.to_str(pretty=True).encode(),
    }
    if encoder is not None:
        files[ENCODER] = _pack(encoder.state_dict())
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    sizes = {"model": transformer.config, "decoder": decoder.config, "text_encoder": text_encoder.config}
    card = Card(**{**card_fields, **sizes, "files": sums})
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in (*files.items(), (CARD, (json.dumps(asdict(card), indent=2) + "\n").encode())):
        part = folder / f"{name}.part"
        part.write_bytes(data)
        os.replace(part, folder / name)
    return folder


@lru_cache(maxsize=4)
def _load(folder: Path, card_text: str, device: torch.device, dtype: torch.dtype) -> WorldModel:
    """The card's text is part of the key, so a folder that is written again is loaded again."""
    card = Card.parse(card_text, folder / CARD)
    return WorldModel(
        name=card.name,
        transformer=_load_generator(folder, card).to(device, dtype),
        text_encoder=_load_text_encoder(folder, card).to(device),  # float32 everywhere: it is tiny
        decoder=_load_decoder(folder, card).to(device, dtype),
        encoder=_load_encoder(folder, card, device),
        config=card.model,
        window=card.window,
        sampler=card.sampler,
        frame_size=card.frame_size,
        sha256=dict(card.files),
        device=device,
        dtype=dtype,
    )


def _load_generator(folder: Path, card: Card) -> CausalWanTransformer:
    tensors = _tensors(folder, GENERATOR, card)
    model = _blank(lambda: CausalWanTransformer(card.model))
    return _fill(model, {name.removeprefix(GENERATOR_PREFIX): t for name, t in tensors.items()}, folder / GENERATOR)


def _load_text_encoder(folder: Path, card: Card) -> PocketTextEncoder:
    tensors = _tensors(folder, TEXT_ENCODER, card)
    tokenizer = Tokenizer.from_str(_checked(folder, TOKENIZER, card).decode())
    encoder = _blank(lambda: PocketTextEncoder(tokenizer, card.text_encoder))
    return _fill(encoder, {name: tensor.float() for name, tensor in tensors.items()}, folder / TEXT_ENCODER)


def _load_decoder(folder: Path, card: Card) -> TAEHV | PatchDecoder:
    tensors = _tensors(folder, DECODER, card)
    decoder = _blank(lambda: _make_decoder(card.decoder))
    _fill(decoder, tensors, folder / DECODER)
    return decoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # decodes a quarter faster


def _make_decoder(config: PatchCodecConfig | TAEHVConfig) -> TAEHV | PatchDecoder:
    if isinstance(config, PatchCodecConfig):
        return PatchDecoder(config)
    codec = TAEHV(config)
    codec.encoder = nn.Sequential()  # not shipped, and not to sit in memory
    return codec


def _load_encoder(folder: Path, card: Card, device: torch.device) -> PatchEncoder | None:
    """In float32 everywhere: it works once in a rollout at most."""
    if ENCODER not in card.files or not isinstance(card.decoder, PatchCodecConfig):
        return None
    config = card.decoder
    tensors = {name: tensor.float() for name, tensor in _tensors(folder, ENCODER, card).items()}
    return _fill(_blank(lambda: PatchEncoder(config)), tensors, folder / ENCODER).to(device)


def _blank(make: Callable[[], T]) -> T:
    """A module whose random weights will be replaced; the caller's random numbers stay as they are."""
    with torch.random.fork_rng(devices=[]):
        return make()


def _fill(module: T, tensors: dict[str, Tensor], path: Path) -> T:
    """Give a module its weights, for good: evaluation mode, no gradients."""
    assert isinstance(module, nn.Module)
    expected = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    for name in sorted(expected.keys() ^ tensors.keys()):
        what = "is missing" if name in expected else "is not part of the model"
        raise WeightsError(f"{path}: the tensor {name!r} {what}; the file and {CARD} do not belong together.")
    for name, shape in expected.items():
        if tuple(tensors[name].shape) != shape:
            got = tuple(tensors[name].shape)
            raise WeightsError(f"{path}: expected {name!r} to have shape {shape}, got {got}.")
    module.load_state_dict(tensors, assign=True)
    return module.eval().requires_grad_(False)


def _tensors(folder: Path, name: str, card: Card) -> dict[str, Tensor]:
    try:
        tensors = load(_read(folder, name))
    except SafetensorError as error:
        raise WeightsError(f"{folder / name}: truncated or not a safetensors file ({error}).") from error
    _checked(folder, name, card)
    return {key: tensor.clone() for key, tensor in tensors.items()}  # aligned memory of their own


def _checked(folder: Path, name: str, card: Card) -> bytes:
    """The bytes of a file, when they are the ones the card names."""
    data = _read(folder, name)
    if name not in card.files:
        raise WeightsError(f"{folder / CARD}: files has no sha256 for {name}.")
    if hashlib.sha256(data).hexdigest() != card.files[name]:
        raise WeightsError(f"{folder / name}: altered, its sha256 is not the one in {CARD}. Get the folder again.")
    return data


def _read(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise WeightsError(f"{folder / name}: cannot be read: {error.strerror}.") from error


def _pack(tensors: Mapping[str, Tensor]) -> bytes:
    return save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})


def as_device(device: str | None) -> torch.device:
    """The device of a name; None is the GPU where there is one. ValueError when there is none of that name."""
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"expected device to be 'cpu', 'cuda' or 'cuda:1', got {device!r}") from error
    if place.type == "cuda" and (place.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"There is no device {device!r} here. Pass device='cpu'.")
    return place


def as_dtype(dtype: str | None) -> torch.dtype | None:
    """The dtype of a name; ValueError for an unknown one."""
    if dtype is not None and dtype not in DTYPES:
        raise ValueError(f"expected dtype to be one of {', '.join(DTYPES)}, got {dtype!r}")
    return None if dtype is None else DTYPES[dtype]
