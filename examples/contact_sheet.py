"""Pictures of a recording: a contact sheet, one frame for each block in its turn, and a moving picture for a page.

Try:
    python examples/contact_sheet.py rollouts/episode_000 --sheet sheet.png --film film.webp --seconds 20
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import av
import numpy as np
import tyro
from PIL import Image, ImageDraw, ImageFont

BACKGROUND, INK = "#101418", "#e8ecf0"
GAP, LINE = 6, 16
FRAME_RATE = 16


def main(
    episode: Annotated[Path, tyro.conf.Positional],
    sheet: Path | None = None,
    film: Path | None = None,
    columns: int = 8,
    every: int = 1,
    zoom: int = 1,
    seconds: float = 20,
) -> None:
    """Read the video and the log of an episode.

    Args:
        episode: a folder that `infrope record` or `infrope play --record` has written.
        sheet: the picture to write, from the middle frame of every block.
        film: the moving picture to write, an animated WebP.
        columns: blocks in a row of the sheet.
        every: show one block in so many.
        zoom: enlarge by a whole number.
        seconds: length of the film.
    """
    lines = [json.loads(line) for line in (episode / "blocks.jsonl").read_text().splitlines()]
    blocks = [line for line in lines if "end_frame" in line]  # the log's last line only says how it ended
    frames = list(read_frames(episode / "video.mp4"))
    if sheet is not None:
        draw_sheet(frames, blocks[::every], columns, zoom).save(sheet, optimize=True, quality=88)
        print(f"wrote {sheet}: {len(blocks[::every])} of {len(blocks)} blocks")
    if film is not None:
        pictures = [enlarged(frame, zoom) for frame in frames[: round(seconds * FRAME_RATE)]]
        durations = [62 if n % 2 else 63 for n in range(len(pictures))]  # milliseconds; a sixteenth is 62.5
        rest = {"append_images": pictures[1:], "duration": durations, "loop": 0}
        pictures[0].save(film, save_all=True, quality=70, method=4, **rest)
        print(f"wrote {film}: {len(pictures)} frames")


def read_frames(video: Path) -> Iterator[np.ndarray]:
    """Every frame, H W 3 in uint8."""
    with av.open(str(video)) as file:
        for frame in file.decode(video=0):
            yield frame.to_ndarray(format="rgb24")


def enlarged(frame: np.ndarray, zoom: int) -> Image.Image:
    """A frame as a picture."""
    picture = Image.fromarray(frame)
    return picture.resize((picture.width * zoom, picture.height * zoom), Image.Resampling.BICUBIC)


def draw_sheet(frames: list[np.ndarray], blocks: list[dict[str, Any]], columns: int, zoom: int) -> Image.Image:
    """Blocks in reading order, the action written under each; a cut or a switch is named."""
    height, width = (side * zoom + GAP for side in frames[0].shape[:2])
    rows = -(-len(blocks) // columns)
    sheet = Image.new("RGB", (GAP + columns * width, GAP + rows * (height + LINE)), BACKGROUND)
    pen = ImageDraw.Draw(sheet)
    for number, block in enumerate(blocks):
        left, top = GAP + number % columns * width, GAP + number // columns * (height + LINE)
        middle = (block["first_frame"] + block["end_frame"]) // 2
        sheet.paste(enlarged(frames[middle], zoom), (left, top))
        pen.text((left, top + height - GAP), label(block), INK, font=ImageFont.load_default(10))
    return sheet


def label(block: dict[str, Any]) -> str:
    """The motion, or where a cut leads."""
    if block["transition"] == "cut":
        return f"cut: {block['scene']}"
    return f"{block['motion']} ({block['transition']})" if block["transition"] != "continue" else block["motion"]


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
