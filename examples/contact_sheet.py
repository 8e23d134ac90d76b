"""Turn a recording into a contact sheet, one picture per block, and into an animation for a web page.

Try:
    python examples/contact_sheet.py rollouts/episode_000 --sheet sheet.png --animation play.webp --seconds 20

It needs `pip install -e ".[examples]"`.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import av
import numpy as np
import tyro
from PIL import Image, ImageDraw, ImageFont

from infrope_env.control.frames import Frames
from infrope_env.output import run_program

BACKGROUND, INK = "#101418", "#e8ecf0"
GAP, LINE_HEIGHT = 6, 16  # pixels
FRAMES_PER_SECOND = 16


def main(
    episode: Annotated[Path, tyro.conf.Positional],
    sheet: Path | None = None,
    animation: Path | None = None,
    columns: int = 8,
    every: int = 1,
    zoom: int = 1,
    seconds: float = 20,
) -> None:
    """Read the video and the log of an episode and write the pictures.

    Args:
        episode: Folder that `infrope record` or `infrope play --record` wrote.
        sheet: Picture to write: the middle pixel frame of each block, with its action.
        animation: Animated WebP to write.
        columns: Blocks per row of the sheet.
        every: Show every n-th block only.
        zoom: Enlarge by this whole number.
        seconds: Length of the animation.
    """
    blocks = [json.loads(line) for line in (episode / "blocks.jsonl").read_text().splitlines()]
    frames = list(read_frames(episode / "video.mp4"))
    if sheet is not None:
        draw_sheet(frames, blocks[::every], columns, zoom).save(sheet, optimize=True, quality=88)
        print(f"wrote {sheet}: {len(blocks[::every])} of {len(blocks)} blocks")
    if animation is not None:
        pictures = [enlarge(frame, zoom) for frame in frames[: round(seconds * FRAMES_PER_SECOND)]]
        durations = [62 if n % 2 else 63 for n in range(len(pictures))]  # whole milliseconds, 62.5 on average
        pictures[0].save(
            animation, save_all=True, quality=70, method=4, append_images=pictures[1:], duration=durations, loop=0
        )
        print(f"wrote {animation}: {len(pictures)} pixel frames")


def read_frames(video: Path) -> Iterator[Frames]:
    """Yield every pixel frame of a video, H W 3."""
    with av.open(str(video)) as file:
        for frame in file.decode(video=0):
            yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def enlarge(frame: Frames, zoom: int) -> Image.Image:
    """Return a pixel frame as a picture, `zoom` times as wide and high."""
    picture = Image.fromarray(frame)
    return picture.resize((picture.width * zoom, picture.height * zoom), Image.Resampling.BICUBIC)


def draw_sheet(frames: list[Frames], blocks: list[dict[str, Any]], columns: int, zoom: int) -> Image.Image:
    """Draw blocks in reading order, each with its label below."""
    height, width = (side * zoom + GAP for side in frames[0].shape[:2])
    rows = -(-len(blocks) // columns)
    sheet = Image.new("RGB", (GAP + columns * width, GAP + rows * (height + LINE_HEIGHT)), BACKGROUND)
    pen = ImageDraw.Draw(sheet)
    for number, block in enumerate(blocks):
        left, top = GAP + number % columns * width, GAP + number // columns * (height + LINE_HEIGHT)
        middle = (block["first_frame"] + block["end_frame"]) // 2
        sheet.paste(enlarge(frames[middle], zoom), (left, top))
        pen.text((left, top + height - GAP), label(block), INK, font=ImageFont.load_default(10))
    return sheet


def label(block: dict[str, Any]) -> str:
    """Return the motion of a block and its transition, or the scene that a cut leads to."""
    if block["transition"] == "cut":
        return f"cut: {block['scene']}"
    return block["motion"] if block["transition"] == "continue" else f"{block['motion']} ({block['transition']})"


if __name__ == "__main__":
    run_program(main, description=__doc__)
