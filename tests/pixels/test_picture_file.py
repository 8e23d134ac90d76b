"""Picture files: what viewers show is what is read; bombs, pipes, truncated and damaged files are refused."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from infrope_env.pixels import picture_file
from infrope_env.pixels.picture_file import read_picture

ROWS, COLS = np.mgrid[:64, :96]
PICTURE = np.stack([ROWS * 4, COLS * 2, ROWS + COLS], -1).astype(np.uint8)
LOSSLESS = {"PNG": {}, "TIFF": {}, "BMP": {}, "PPM": {}, "WEBP": {"lossless": True}, "JPEG2000": {}}
TURNS = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.swapaxes(0, 1),
    6: lambda p: np.rot90(p, -1),
    7: lambda p: p[::-1, ::-1].swapaxes(0, 1),
    8: lambda p: np.rot90(p),
}


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", LOSSLESS)
def test_a_lossless_file_gives_its_pixels(kind: str, tmp_path: Path):
    (tmp_path / "a").write_bytes(saved(Image.fromarray(PICTURE), kind, **LOSSLESS[kind]))
    assert np.array_equal(read_picture(tmp_path / "a"), PICTURE)


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_every_exif_orientation_is_upright(kind: str, orientation: int, tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "a").write_bytes(saved(Image.fromarray(PICTURE), kind, exif=exif, **LOSSLESS[kind]))
    assert np.array_equal(read_picture(tmp_path / "a"), TURNS[orientation](PICTURE))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pixels_are_white(mode: str, tmp_path: Path):
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:4, :, 3] = 255  # the upper half is black, the lower half transparent
    image = Image.fromarray(pixels).convert(mode if mode != "P" else "RGBA")
    (tmp_path / "a").write_bytes(saved(image.quantize() if mode == "P" else image, "PNG"))
    read = read_picture(tmp_path / "a")
    assert (read[:4] == 0).all() and (read[4:] == 255).all()


def test_half_transparent_pixels_are_mixed_with_white(tmp_path: Path):
    Image.new("RGBA", (4, 4), (255, 0, 0, 128)).save(tmp_path / "a.png")
    assert np.abs(read_picture(tmp_path / "a.png").astype(int) - (255, 127, 127)).max() <= 1


def test_a_transparent_colour_of_a_palette_is_white(tmp_path: Path):
    image = Image.new("P", (4, 4), 1)
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((0, 0), 0)
    image.save(tmp_path / "a.gif", transparency=0)
    read = read_picture(tmp_path / "a.gif")
    assert tuple(read[0, 0]) == (255, 255, 255) and tuple(read[3, 3]) == (40, 50, 60)


def test_cmyk_is_converted(tmp_path: Path):
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=100)
    assert np.abs(read_picture(tmp_path / "a.jpg").astype(int) - (255, 0, 0)).max() < 8


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
def test_sixteen_bits_of_grey_are_cut_to_eight(name: str, tmp_path: Path):
    grey = (np.arange(64, dtype=np.uint16).reshape(8, 8) * 1024) + 255
    if name == "a.pgm":  # Pillow writes it from 10.3 on
        (tmp_path / name).write_bytes(b"P5 8 8 65535\n" + grey.astype(">u2").tobytes())
    else:
        Image.fromarray(grey).save(tmp_path / name)
    assert np.array_equal(read_picture(tmp_path / name), np.repeat((grey >> 8)[..., None], 3, axis=2))


def png(width: int, height: int, bits: int, colour: int, rows: bytes) -> bytes:
    """Return a PNG file; its compressed rows can be fewer than the header promises."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_sixteen_bits_of_colour_are_cut_to_eight(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(png(1, 1, 16, 2, b"\0" + struct.pack(">HHH", 0x1234, 0x80FF, 0xFFFF)))
    assert read_picture(tmp_path / "a.png").tolist() == [[[0x12, 0x80, 0xFF]]]


@pytest.mark.parametrize(("kind", "options"), [("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {})])
def test_an_animation_gives_its_first_frame(kind: str, options: dict, tmp_path: Path):
    first, second = Image.new("RGB", (8, 8), (255, 0, 0)), Image.new("RGB", (8, 8), (0, 0, 255))
    data = saved(first, kind, save_all=True, append_images=[second], duration=100, **options)
    (tmp_path / "a").write_bytes(data)
    assert (read_picture(tmp_path / "a") == (255, 0, 0)).all()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
def test_a_file_that_ends_early_is_refused(kind: str, tmp_path: Path):
    data = saved(Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)), kind)
    for length in range(0, len(data) - 20, len(data) // 20):
        (tmp_path / "a").write_bytes(data[:length])
        with pytest.raises(ValueError, match=r"/a: (there is no picture that can be read|the picture is )"):
            read_picture(tmp_path / "a")


def test_a_damaged_file_is_read_or_refused(tmp_path: Path):
    rng = np.random.default_rng(0)
    for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000"):
        data = saved(Image.fromarray(PICTURE), kind)
        refused = 0
        for _ in range(40):
            damaged = bytearray(data)
            for place in rng.integers(len(data), size=4):
                damaged[place] = rng.integers(256)
            (tmp_path / "a").write_bytes(damaged)
            try:
                read_picture(tmp_path / "a")
            except ValueError:
                refused += 1
        assert refused >= (40 if kind == "PNG" else 0)  # a PNG has checksums


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    decoded = []
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda image: decoded.append(image.size))
    rows = bytes(1000)
    for size, sentence in {
        (8000, 8000): "at most 50 million pixels, got 8000 x 8000. Scale it down.",
        (100_000, 100_000): "at most 50 million pixels. Scale it down.",
        (1, 200_000): "at most 20 times as long as wide, got 1 x 200000. Crop it.",
        (200_000, 1): "at most 20 times as long as wide, got 200000 x 1. Crop it.",
    }.items():
        (tmp_path / "a.png").write_bytes(png(*size, 8, 2, rows))
        with pytest.raises(ValueError, match=sentence):
            read_picture(tmp_path / "a.png")
    assert not decoded


def test_a_file_larger_than_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(picture_file, "MOST_BYTES", 1_000_000)
    (tmp_path / "a.png").write_bytes(saved(Image.fromarray(PICTURE), "PNG") + bytes(1_000_000))
    with pytest.raises(ValueError, match=r"\(expected at most 1 MB, it is larger\)"):
        read_picture(tmp_path / "a.png")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_only_regular_files_are_opened(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    for path, kind in {tmp_path / "pipe": "a pipe", tmp_path / "link": "a device", tmp_path: "a folder"}.items():
        with pytest.raises(ValueError, match=rf"expected a regular file, it is {kind}"):
            read_picture(path)


@pytest.mark.parametrize("kind", ["PDF", "EPS", "ICNS"])
def test_formats_that_start_programs_or_hold_other_files_are_refused(kind: str, tmp_path: Path):
    (tmp_path / "a").write_bytes(saved(Image.new("RGB", (16, 16)), kind))
    with pytest.raises(ValueError, match=r"there is no picture that can be read \(expected one of PNG, JPEG, "):
        read_picture(tmp_path / "a")


@pytest.mark.parametrize("path", ["~nobody-of-that-name/a.png", "", "a\0b.png"])
def test_a_path_that_is_none_is_refused_in_a_sentence(path: str):
    with pytest.raises(ValueError, match="expected an image to be a path, got"):
        read_picture(path)
