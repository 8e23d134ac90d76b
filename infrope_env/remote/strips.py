"""Strips for the inspectors of clients: cells in the header of a block, and their pictures in one JPEG file.

Every block has the pictures of all its cells. A client that keeps none is right after a rewind, a restore and blocks
that were dropped for it, and one that comes late sees the sink, which only block 0 shows.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image

from infrope_env.control.frames import Frames
from infrope_env.player.inspection import Cell, Inspection
from infrope_env.remote.message import CellFields, StripFields

JPEG_QUALITY = 75
MASS_DIGITS = 4


@dataclass(frozen=True)
class EncodedStrip:
    """The strip of a block, ready to be sent.

    Attributes:
        fields: Its cells, and the ids of the frames in the picture.
        picture: A JPEG file with the thumbnails of these frames side by side.
    """

    fields: StripFields
    picture: bytes


def encode_strip(inspection: Inspection) -> EncodedStrip:
    """Return what a block saw, with a picture of every cell whose frame has one."""
    pictures = {cell.frame: inspection.thumbnails.get(cell.frame) for cell in inspection.cells}
    known = {frame: picture for frame, picture in pictures.items() if picture is not None}
    fields = StripFields(cells=[_fields_of(cell) for cell in inspection.cells], thumbnails=list(known))
    file = io.BytesIO()
    side_by_side = np.concatenate(list(known.values()), axis=1)
    Image.fromarray(side_by_side).save(file, "JPEG", quality=JPEG_QUALITY)
    return EncodedStrip(fields, file.getvalue())


def decode_strip(info: Mapping[str, Any], fields: StripFields, picture: bytes) -> Inspection:
    """Return what a block saw.

    Args:
        info: Info of the block.
        fields: Its strip, as the server sent it.
        picture: The JPEG file.

    Raises:
        ValueError: The picture does not have a thumbnail of the block's own frames.
        OSError: The picture is no JPEG file.
    """
    cells = tuple(Cell(**{name: cell[name] for name in CellFields.__annotations__}) for cell in fields["cells"])  # type: ignore[literal-required]
    thumbnails = dict(zip(fields["thumbnails"], _divide(picture, len(fields["thumbnails"])), strict=True))
    if not cells or cells[-1].frame not in thumbnails:
        raise ValueError("expected a strip to end with a frame of the block, and to have its picture")
    return Inspection(info["block"], info["transition"], cells, thumbnails)


def _fields_of(cell: Cell) -> CellFields:
    return CellFields(**asdict(cell) | {"mass": None if cell.mass is None else round(cell.mass, MASS_DIGITS)})  # type: ignore[typeddict-item]


def _divide(picture: bytes, count: int) -> list[Frames]:
    """Return the thumbnails in a picture, H W 3 uint8 each, from left to right; none without a count."""
    if not count:
        return []
    pixels = np.asarray(Image.open(io.BytesIO(picture), formats=["JPEG"]).convert("RGB"))
    width = pixels.shape[1] // count
    if not width:
        raise ValueError(f"expected a picture of {count} thumbnails, got one of {pixels.shape[1]} pixels in width")
    return [np.ascontiguousarray(pixels[:, left : left + width]) for left in range(0, count * width, width)]
