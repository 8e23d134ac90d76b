"""Picture files, read by Pillow. A file's size, format, pixels and aspect are checked before anything is decoded."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from infrope_env.regular_file import MEGABYTE, as_path, read_regular

if TYPE_CHECKING:
    from PIL import Image

Picture = NDArray[np.uint8]
"""RGB picture, H W 3."""
FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "PPM", "JPEG2000")
"""Formats that are read. Pillow has others, some of which start another program or claim any file."""
MOST_BYTES = 100 * MEGABYTE
MOST_PIXELS = 50_000_000
MOST_ASPECT = 20
"""Largest quotient of the longer and the shorter side."""
BACKGROUND = (255, 255, 255)
"""Colour behind transparent pixels: white."""
ORIENTATION = 0x0112  # EXIF tag


def check_size(width: int, height: int, what: str, most_pixels: int = MOST_PIXELS) -> None:
    """Raise ValueError for a picture with too many pixels or too long a side; `what` begins the sentence."""
    if width * height > most_pixels:
        most = f"{most_pixels // 1_000_000} million pixels"
        raise ValueError(f"expected {what} to have at most {most}, got {width} x {height}. Scale it down.")
    if max(width, height) > MOST_ASPECT * min(width, height):
        limit = f"at most {MOST_ASPECT} times as long as wide"
        raise ValueError(f"expected {what} to be {limit}, got {width} x {height}. Crop it.")


def read_picture(source: object) -> Picture:
    """Return the picture of a file as viewers show it.

    It is rotated or mirrored by its EXIF orientation, transparent pixels show `BACKGROUND`, an animation gives its
    first frame, 16 bits are cut to the upper 8, and colour profiles are ignored.

    Raises:
        ValueError: It is no picture in one of `FORMATS`, is truncated or damaged, or is larger than the limits.
    """
    path = as_path(source, "an image")
    try:
        data = read_regular(path, MOST_BYTES)
    except OSError as error:
        raise ValueError(f"{path}: there is no picture that can be read ({error.strerror}).") from error
    return decode_picture(data, str(path))


def decode_picture(data: bytes, name: str, most_pixels: int = MOST_PIXELS) -> Picture:
    """Return the picture in the bytes of a file; `read_picture` says how, and which errors there are.

    Args:
        data: Bytes of the file.
        name: What errors call it.
        most_pixels: Number of pixels that it may have; more are never decoded.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about metadata
        image = _open(data, name)
        check_size(*image.size, name, most_pixels)
        try:
            if image.format == "PNG":  # the one format whose checksums Pillow compares, in a pass that ends its use
                image.verify()
                image = _open(data, name)
            image.load()
            return np.asarray(_upright(_to_rgb(image), image.getexif().get(ORIENTATION, 1)))
        except Exception as error:  # readers of damaged files raise whatever their format's arithmetic does
            sentence = "the picture is truncated or damaged, or in a colour space that is not read"
            raise ValueError(f"{name}: {sentence} ({_first_line(error)}).") from error


def _open(data: bytes, name: str) -> Image.Image:
    """Return the picture without its pixels, which are decoded on `load`."""
    from PIL import Image

    Image.init()
    try:
        return Image.open(io.BytesIO(data), formats=[each for each in FORMATS if each in Image.OPEN])
    except Image.UnidentifiedImageError as error:
        known = ", ".join(FORMATS)
        raise ValueError(f"{name}: there is no picture that can be read (expected one of {known}).") from error
    except Image.DecompressionBombError as error:
        most = f"{MOST_PIXELS // 1_000_000} million pixels"
        raise ValueError(f"expected {name} to have at most {most}. Scale it down.") from error
    except Exception as error:
        raise ValueError(f"{name}: the picture is damaged ({_first_line(error)}).") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    """Return a decoded picture in RGB, transparent pixels over `BACKGROUND`."""
    from PIL import Image

    if image.mode == "F" or (image.mode == "I" and image.format not in ("PNG", "PPM")):
        raise ValueError("32 bits per value; save it with 8")
    if image.mode.startswith("I"):  # 16-bit grey, which Pillow's own conversion would clip at 255
        grey = np.asarray(image).astype(np.int64)
        levels = (grey >> 8).clip(0, 255).astype(np.uint8)
        if isinstance(transparent := image.info.get("transparency"), int):
            levels[grey == transparent] = BACKGROUND[0]
        return Image.fromarray(levels).convert("RGB")
    if image.has_transparency_data:
        pixels = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, (*BACKGROUND, 255)), pixels).convert("RGB")
    return image.convert("RGB")


def _upright(image: Image.Image, orientation: object) -> Image.Image:
    """Return a picture turned as its EXIF orientation, 1 to 8, says; another value turns nothing."""
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    turn = turns.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200].rstrip(".")
