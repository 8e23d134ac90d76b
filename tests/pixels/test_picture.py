"""Pictures of any size and common format are resized to the frame; anything else is refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from infrope_env.pixels.picture import load_picture, resize_and_crop, static_video, to_png

FRAME = (32, 48)


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*FRAME, 3), dtype=np.uint8)


def test_a_picture_of_the_frames_size_is_copied_unchanged(picture: np.ndarray):
    fitted = load_picture(picture, FRAME)
    assert np.array_equal(fitted, picture) and not np.shares_memory(fitted, picture)


def test_a_larger_picture_is_scaled_and_cropped_around_its_centre():
    wide = np.zeros((64, 200, 3), np.uint8)
    wide[:, 52:148] = 255  # a 3:2 frame shows the middle 96 of 200 columns
    assert resize_and_crop(wide, FRAME).shape == (*FRAME, 3)
    assert (resize_and_crop(wide, FRAME)[:, 1:-1] == 255).all()
    tall = np.zeros((300, 48, 3), np.uint8)
    tall[134:166] = 255
    assert (resize_and_crop(tall, FRAME) == 255).all()


def test_a_smaller_picture_is_scaled_up_to_cover_the_frame():
    small = np.full((3, 5, 3), 77, np.uint8)
    assert np.array_equal(resize_and_crop(small, FRAME), np.full((*FRAME, 3), 77, np.uint8))


def test_shrinking_averages_and_does_not_alias():
    stripes = np.zeros((320, 480, 3), np.uint8)
    stripes[:, ::2] = 255
    assert abs(int(resize_and_crop(stripes, FRAME)[10, 10, 0]) - 127) < 3


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P"])
def test_files_are_read_as_rgb(picture: np.ndarray, tmp_path: Path, mode: str):
    image = Image.fromarray(picture).convert(mode)
    image.save(tmp_path / "a.png")
    assert np.array_equal(load_picture(tmp_path / "a.png", FRAME), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("kind", ["jpg", "webp", "bmp"])
def test_other_formats_are_read(tmp_path: Path, kind: str):
    Image.new("RGB", (60, 40), (200, 30, 60)).save(tmp_path / f"a.{kind}")
    read = load_picture(str(tmp_path / f"a.{kind}"), FRAME)
    assert np.abs(read.astype(int) - (200, 30, 60)).max() < 5


def test_a_png_is_lossless(picture: np.ndarray, tmp_path: Path):
    (tmp_path / "a.png").write_bytes(to_png(picture))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.png")), picture)
    assert np.array_equal(load_picture(tmp_path / "a.png", FRAME), picture)


def test_a_static_video_repeats_the_picture(picture: np.ndarray):
    video = static_video(picture, 9)
    assert video.shape == (1, 9, 3, *FRAME)
    assert np.allclose(video[0, 8].permute(1, 2, 0) * 255, picture, atol=1e-4)


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (np.zeros((4, 4, 3)), r"uint8 array of shape \(H, W, 3\), .*, got float64 of shape \(4, 4, 3\)"),
        (np.zeros((3, 4, 4), np.uint8), r"got uint8 of shape \(3, 4, 4\)"),
        (np.zeros((4, 4), np.uint8), r"got uint8 of shape \(4, 4\)"),
        (np.zeros((0, 4, 3), np.uint8), r"got uint8 of shape \(0, 4, 3\)"),
        (7, "expected an image to be a path or a uint8 array of shape .*, got 7"),
        ([[0] * 9] * 9000, r"expected an image to be a path or a uint8 array of shape .*, got .{,200}$"),
        ({10**5000}, "expected an image to be a path or a uint8 array of shape .*, got a value of type set"),
        (np.zeros((1, 200_000, 3), np.uint8), "at most 20 times as long as wide, got 200000 x 1. Crop it."),
        (np.zeros((200_000, 1, 3), np.uint8), "at most 20 times as long as wide, got 1 x 200000. Crop it."),
        (np.broadcast_to(np.uint8(0), (9000, 9000, 3)), "at most 50 million pixels, got 9000 x 9000. Scale it down."),
        ("nowhere.png", r"nowhere\.png: there is no picture that can be read"),
        (__file__, "there is no picture that can be read"),
    ],
)
def test_anything_but_a_picture_is_refused(image: object, sentence: str):
    with pytest.raises(ValueError, match=sentence):
        load_picture(image, FRAME)
