"""World folders: the files of a small model, checked, loaded and written.

A world folder holds `generator.safetensors` (names prefixed `model.`, as in the release), `text_encoder.safetensors`,
`decoder.safetensors`, `tokenizer.json`, and `card.json`: the sizes of the networks and the sha256 of each file. With a
patch codec it also holds `encoder.safetensors`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import save
from tokenizers import Tokenizer, models
from torch import nn

from infrope_env.atomic_file import write_atomically
from infrope_env.dynamics.transformer import CausalWanTransformer
from infrope_env.errors import WeightsError
from infrope_env.models.card import Card
from infrope_env.models.compile import can_compile
from infrope_env.models.fp8 import round_to_fp8
from infrope_env.models.int8_transformer import PACKAGES, Int8Transformer, require_packages
from infrope_env.models.options import DEFAULTS, LoadOptions
from infrope_env.models.world_model import WorldModel
from infrope_env.pixels.conv_decoder import ConvDecoder, ConvDecoderConfig
from infrope_env.pixels.patch_codec import PatchCodecConfig, PatchDecoder, PatchEncoder
from infrope_env.pixels.taehv import TAEHV, TAEHVConfig
from infrope_env.regular_file import MEGABYTE, read_regular
from infrope_env.tensor_files import fill, parse_safetensors, sha256_of
from infrope_env.text.encoder import PocketTextEncoder

BUNDLED = Path(__file__).parents[1] / "assets"
GENERATOR, TEXT_ENCODER, DECODER = "generator.safetensors", "text_encoder.safetensors", "decoder.safetensors"
ENCODER = "encoder.safetensors"
TOKENIZER, CARD = "tokenizer.json", "card.json"
GENERATOR_PREFIX = "model."
MOST_CARD_BYTES = MEGABYTE
MOST_TOKENIZER_BYTES = 20 * MEGABYTE

N = TypeVar("N", bound=nn.Module)


def load_world(folder: Path, options: LoadOptions = DEFAULTS) -> WorldModel:
    """Load a world folder, once per process for the same card and options.

    Raises:
        WeightsError: The weights are missing, truncated or altered, or do not fit the card; or a decoder is named,
            of which a world folder has only one.
        ValueError: There is no such device or dtype.
    """
    if options.decoder is not None:
        raise WeightsError(f"No decoder named {options.decoder!r} for {folder}: it brings its own. Leave decoder out.")
    folder = folder.resolve()
    device, dtype = options.device_and_dtype()
    precision = options.precision_on(device, dtype)
    if precision == "int8":
        require_packages()
    return _load(folder, _read_card(folder), device, dtype, precision, options.compile and can_compile(device))


def load_card(folder: Path) -> Card:
    """Return the card of a world folder; WeightsError where it is missing or does not parse."""
    return Card.parse(_read_card(folder), folder / CARD)


def describe_world(folder: Path) -> Iterator[str]:
    """Check the digests of a world folder and describe it, one line per fact; errors as in `load_world`."""
    card = load_card(folder)
    height, width = card.frame_size
    yield f"{card.name}  {folder}"
    yield f"  {width}x{height} px, {card.model.num_layers} layers of {card.model.dim}"
    for name, sha256 in card.files.items():
        try:
            _check(sha256_of(folder / name), folder / name, card)
            size = (folder / name).stat().st_size
        except OSError as error:
            raise WeightsError(f"{folder / name}: cannot be read: {error.strerror}.") from error
        yield f"  {name:26}{size / 1e6:9.2f} MB  sha256 {sha256[:16]}  intact"
    yield from _describe_notes(card.training, "  ")


def save_world(
    folder: Path,
    transformer: CausalWanTransformer,
    text_encoder: PocketTextEncoder,
    decoder: TAEHV | PatchDecoder | ConvDecoder,
    card_fields: Mapping[str, Any],
    encoder: PatchEncoder | None = None,
) -> Path:
    """Write a world folder and return it. Every file appears whole or not at all, the card last.

    Args:
        folder: Made if need be; files of an earlier world in it are replaced.
        transformer: Stored in its own dtype, as are the other networks.
        text_encoder: Stored with its tokenizer.
        decoder: Stored without its encoder.
        card_fields: "name"; optionally "window" and "sampler" (dataclasses) and "training" (notes).
        encoder: Encoder of a patch codec.
    """
    tensors = {
        GENERATOR: {GENERATOR_PREFIX + name: value for name, value in transformer.state_dict().items()},
        TEXT_ENCODER: text_encoder.state_dict(),
        DECODER: {name: value for name, value in decoder.state_dict().items() if not name.startswith("encoder.")},
    }
    if encoder is not None:
        tensors[ENCODER] = encoder.state_dict()
    files = {
        name: save({key: value.detach().cpu().contiguous() for key, value in table.items()})
        for name, table in tensors.items()
    }
    files[TOKENIZER] = text_encoder.tokenizer.to_str(pretty=True).encode()
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    sizes = {"model": transformer.config, "decoder": decoder.config, "text_encoder": text_encoder.config}
    card = Card(**{**card_fields, **sizes, "files": sums})
    for name, data in (*files.items(), (CARD, (json.dumps(asdict(card), indent=2) + "\n").encode())):
        write_atomically(folder / name, data)
    return folder


@lru_cache(maxsize=4)
def _load(
    folder: Path, card_text: str, device: torch.device, dtype: torch.dtype, precision: str, compiled: bool
) -> WorldModel:
    """Load a folder. The card's text is part of the key, so a folder that is written again is loaded again."""
    card = Card.parse(card_text, folder / CARD)
    config = card.decoder
    tokenizer = _load_tokenizer(folder / TOKENIZER, card)
    text_encoder = _network(folder / TEXT_ENCODER, card, lambda: PocketTextEncoder(tokenizer, card.text_encoder))
    decoder = _network(folder / DECODER, card, lambda: _make_decoder(config))
    kind = Int8Transformer if precision == "int8" else CausalWanTransformer
    transformer = _network(folder / GENERATOR, card, lambda: kind(card.model)).to(device, dtype)
    if precision == "fp8":
        round_to_fp8(transformer)
    encoder = None
    if ENCODER in card.files and isinstance(config, PatchCodecConfig):
        encoder = _network(folder / ENCODER, card, lambda: PatchEncoder(config))
        encoder.to(device, torch.float32)  # it encodes one picture in a rollout at most
    return WorldModel(
        name=card.name,
        transformer=transformer,
        text_encoder=text_encoder.to(device, torch.float32),  # on every device: it is tiny
        decoder=decoder.to(device, dtype, memory_format=torch.channels_last),  # decodes a quarter faster
        encoder=encoder,
        window=card.window,
        sampler=card.sampler,
        frame_size=card.frame_size,
        sha256=dict(card.files),
        device=device,
        dtype=dtype,
        precision=precision,
        packages=PACKAGES if precision == "int8" else (),
        compiled=compiled,
    )


def _make_decoder(config: PatchCodecConfig | TAEHVConfig) -> Any:
    """Return a decoder. A TAEHV has no encoder here: world folders do not store it."""
    if isinstance(config, ConvDecoderConfig):
        return ConvDecoder(config)
    if isinstance(config, PatchCodecConfig):
        return PatchDecoder(config)
    codec = TAEHV(config)
    codec.encoder = nn.Sequential()
    return codec


def _load_tokenizer(path: Path, card: Card) -> Tokenizer:
    """Return the tokenizer, of the kind that `build_tokenizer` makes: its ids are the rows of the embedding."""
    data = _read(path, MOST_TOKENIZER_BYTES)
    _check(hashlib.sha256(data).hexdigest(), path, card)
    try:
        tokenizer = Tokenizer.from_str(data.decode())
    except Exception as error:  # the library raises nothing narrower
        raise WeightsError(f"{path}: not a tokenizer ({error}). Get the folder again.") from error
    parts = (tokenizer.normalizer, tokenizer.pre_tokenizer)
    surplus = (tokenizer.post_processor, tokenizer.padding, tokenizer.truncation)
    if not isinstance(tokenizer.model, models.WordLevel) or None in parts or any(part is not None for part in surplus):
        raise WeightsError(f"{path}: expected a tokenizer with one id per word, as `build_tokenizer` makes it.")
    ids = sorted(tokenizer.get_vocab().values())
    if ids != list(range(len(ids))):
        raise WeightsError(f"{path}: expected the ids of the {len(ids)} words to be 0 to {len(ids) - 1}.")
    return tokenizer


def _network(path: Path, card: Card, make: Callable[[], N]) -> N:
    """Return a network with the weights of its file. The bytes that are hashed are the bytes that are loaded."""
    device = "cpu" if _is_small(card) else "meta"  # the meta device takes no memory, but two seconds of imports
    try:
        with torch.device(device), torch.random.fork_rng(devices=()):
            network = make()
    except (ArithmeticError, RuntimeError, TypeError, ValueError) as error:
        raise WeightsError(f"{path.with_name(CARD)}: no network of these sizes can be made ({error}).") from error
    values = sum(tensor.numel() for tensor in network.state_dict().values())
    data = _read(path, 8 * values + MEGABYTE)  # at most eight bytes per value, and a header
    tensors = parse_safetensors(data, path)
    _check(hashlib.sha256(data).hexdigest(), path, card)
    prefix = GENERATOR_PREFIX if path.name == GENERATOR else ""
    plain = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return fill(lambda: network, plain, path, f"the sizes in {CARD}")


def _is_small(card: Card) -> bool:
    """Return whether networks of a card's sizes can be made in memory before their files are known to fit."""
    sizes = [size for part in (card.model, card.decoder, card.text_encoder) for size in asdict(part).values()]
    layered = (card.model, card.text_encoder)
    return (
        all(size <= 4096 for size in sizes if isinstance(size, int))
        and all(part.num_layers * part.dim**2 <= 50_000_000 for part in layered)
        and all(width <= 1024 for width in getattr(card.decoder, "decoder_widths", ()))
    )


def _check(digest: str, path: Path, card: Card) -> None:
    """Raise WeightsError unless the card has this sha256 for the file."""
    if path.name not in card.files:
        raise WeightsError(f"{path.with_name(CARD)}: files has no sha256 for {path.name}.")
    if digest != card.files[path.name]:
        raise WeightsError(f"{path}: altered, its sha256 is not the one in {CARD}. Get the folder again.")


def _read_card(folder: Path) -> str:
    try:
        return _read(folder / CARD, MOST_CARD_BYTES).decode()
    except UnicodeDecodeError as error:
        raise WeightsError(f"{folder / CARD}: not valid JSON: {error}.") from error


def _read(path: Path, most_bytes: int) -> bytes:
    try:
        return read_regular(path, most_bytes)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}.") from error


def _describe_notes(notes: Mapping[str, Any], indent: str) -> Iterator[str]:
    """Yield lines for notes of any form; the content of a nested note is indented below its name."""
    for name, value in notes.items():
        if isinstance(value, Mapping) and any(isinstance(inner, Mapping) for inner in value.values()):
            yield f"{indent}{name}:"
            yield from _describe_notes(value, f"{indent}  ")
        elif isinstance(value, Mapping):
            yield f"{indent}{name}: {', '.join(f'{key} {inner}' for key, inner in value.items())}"
        elif isinstance(value, list):
            yield from (f"{indent}{name}:", *(f"{indent}  {inner}" for inner in value))
        else:
            yield f"{indent}{name}: {value}"
