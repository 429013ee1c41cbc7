"""Images drawn for the experiment: one source task, and target tasks near to it and far from it.

Each task draws (count, 3, 32, 32) float32 images from -1 to 1 and their classes (count,) from a seed. The source is to
name a filled shape, whatever its colour, place, size and turn: what a network must learn to look away from there is
what several of the targets ask for.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

import matplotlib
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

SIDE = 32
DRAWN = 2 * SIDE  # and made smaller, for smooth edges
Points = list[tuple[float, float]]


def regular(corners: int) -> Points:
    return [(math.cos(2 * math.pi * i / corners), math.sin(2 * math.pi * i / corners)) for i in range(corners)]


def star(tips: int, inner: float) -> Points:
    return [
        (r * math.cos(math.pi * i / tips), r * math.sin(math.pi * i / tips))
        for i, r in ((i, inner if i % 2 else 1.0) for i in range(2 * tips))
    ]


def bars(*rectangles: tuple[float, float, float, float]) -> list[Points]:
    return [[(a, b), (c, b), (c, d), (a, d)] for a, b, c, d in rectangles]


def arc(start: float, end: float, radius: float = 1.0, right: float = 0.0) -> Points:
    return [(radius * math.cos(a) + right, radius * math.sin(a)) for a in np.linspace(start, end, 24)]


# A shape is some polygons in the unit circle.
SOURCE: dict[str, list[Points]] = {
    "triangle": [regular(3)],
    "square": [regular(4)],
    "disc": [regular(40)],
    "star": [star(5, 0.4)],
    "burst": [star(9, 0.6)],
    "plus": bars((-1, -0.3, 1, 0.3), (-0.3, -1, 0.3, 1)),
    "bar": bars((-1, -0.25, 1, 0.25)),
    "L": bars((-0.8, -0.8, -0.3, 0.8), (-0.8, 0.3, 0.8, 0.8)),
    "T": bars((-0.8, -0.8, 0.8, -0.3), (-0.25, -0.8, 0.25, 0.8)),
    "half": [arc(0, math.pi)],
    "two": bars((-0.9, -0.7, 0.9, -0.2), (-0.9, 0.2, 0.9, 0.7)),
    "arrow": [[(1, 0), (0, 0.8), (0, 0.3), (-1, 0.3), (-1, -0.3), (0, -0.3), (0, -0.8)]],
}
OTHERS: dict[str, list[Points]] = {
    "pentagon": [regular(5)],
    "kite": [[(1, 0), (0.2, 0.6), (-1, 0), (0.2, -0.6)]],
    "tristar": [star(3, 0.3)],
    "fourstar": [star(4, 0.3)],
    "U": bars((-0.8, -0.8, -0.4, 0.8), (0.4, -0.8, 0.8, 0.8), (-0.8, 0.4, 0.8, 0.8)),
    "H": bars((-0.8, -0.8, -0.4, 0.8), (0.4, -0.8, 0.8, 0.8), (-0.8, -0.2, 0.8, 0.2)),
    "Z": [*bars((-0.8, -0.8, 0.8, -0.5), (-0.8, 0.5, 0.8, 0.8)), [(0.8, -0.5), (0.4, -0.5), (-0.8, 0.5), (-0.4, 0.5)]],
    "moon": [arc(0.6, 5.7) + arc(5.4, 0.9, 0.5, 0.45)],
}
LETTERS = "AEFGKMPRSX"
FONT = ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans-Bold.ttf", 40)


def colour(draw: np.random.Generator) -> tuple[int, int, int]:
    return tuple(int(v) for v in draw.integers(0, 256, 3))


def two_colours(draw: np.random.Generator) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Two colours that are well apart."""
    while True:
        one, other = colour(draw), colour(draw)
        if sum(abs(a - b) for a, b in zip(one, other, strict=True)) > 200:
            return one, other


def stamp(
    canvas: ImageDraw.ImageDraw, shape: Sequence[Points], ink: tuple[int, ...], centre: tuple[float, float],
    radius: float, turn: float,
) -> None:  # fmt: skip
    c, s = math.cos(turn) * radius, math.sin(turn) * radius
    for polygon in shape:
        canvas.polygon([(centre[0] + c * x - s * y, centre[1] + s * x + c * y) for x, y in polygon], fill=ink)


def somewhere(draw: np.random.Generator, radius: float) -> tuple[float, float]:
    return tuple(draw.uniform(radius, DRAWN - radius, 2))


Drawing = Callable[[np.random.Generator, int], np.ndarray]  # an image (DRAWN, DRAWN, 3) of a class


def shapes(draw: np.random.Generator, label: int, which: dict[str, list[Points]]) -> np.ndarray:
    paper, ink = two_colours(draw)
    image = Image.new("RGB", (DRAWN, DRAWN), paper)
    radius = draw.uniform(12, 26)
    shape = list(which.values())[label]
    stamp(ImageDraw.Draw(image), shape, ink, somewhere(draw, radius), radius, draw.uniform(0, 7))
    return np.asarray(image)


def letters(draw: np.random.Generator, label: int) -> np.ndarray:
    paper, ink = two_colours(draw)
    image = Image.new("RGB", (DRAWN, DRAWN), paper)
    place = draw.uniform(24, 40, 2)
    ImageDraw.Draw(image).text(tuple(place), LETTERS[label], fill=ink, font=FONT, anchor="mm")
    return np.asarray(image.rotate(draw.uniform(-25, 25), fillcolor=paper, resample=Image.Resampling.BILINEAR))


def hues(draw: np.random.Generator, label: int) -> np.ndarray:
    image = Image.new("RGB", (DRAWN, DRAWN), (int(draw.integers(40, 216)),) * 3)
    hue = (label + draw.uniform(0.15, 0.85)) / 8
    parts = np.clip(np.abs((hue * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1) * draw.uniform(120, 255)
    radius = draw.uniform(10, 22)
    shape = list(SOURCE.values())[draw.integers(len(SOURCE))]
    stamp(ImageDraw.Draw(image), shape, tuple(map(int, parts)), somewhere(draw, radius), radius, draw.uniform(0, 7))
    return np.asarray(image)


def places(draw: np.random.Generator, label: int) -> np.ndarray:
    paper, ink = two_colours(draw)
    image = Image.new("RGB", (DRAWN, DRAWN), paper)
    cell = DRAWN / 3
    centre = ((label % 3 + draw.uniform(0.15, 0.85)) * cell, (label // 3 + draw.uniform(0.15, 0.85)) * cell)
    shape = list(SOURCE.values())[draw.integers(len(SOURCE))]
    stamp(ImageDraw.Draw(image), shape, ink, centre, draw.uniform(7, 14), draw.uniform(0, 7))
    return np.asarray(image)


def sizes(draw: np.random.Generator, label: int) -> np.ndarray:
    paper, ink = two_colours(draw)
    image = Image.new("RGB", (DRAWN, DRAWN), paper)
    radius = 6 + 4 * (label + draw.uniform(0.1, 0.9))
    stamp(ImageDraw.Draw(image), SOURCE["disc" if draw.random() < 0.5 else "square"], ink,
          somewhere(draw, radius), radius, draw.uniform(0, 7))  # fmt: skip
    return np.asarray(image)


def counts(draw: np.random.Generator, label: int) -> np.ndarray:
    paper, ink = two_colours(draw)
    image = Image.new("RGB", (DRAWN, DRAWN), paper)
    cells = draw.permutation(16)[: label + 1]
    for cell in cells:
        centre = ((cell % 4 + draw.uniform(0.4, 0.6)) * 16, (cell // 4 + draw.uniform(0.4, 0.6)) * 16)
        stamp(ImageDraw.Draw(image), SOURCE["disc"], ink, centre, draw.uniform(3.5, 6), 0.0)
    return np.asarray(image)


def directions(draw: np.random.Generator, label: int) -> np.ndarray:
    """Stripes of any width."""
    turn, width = (label + draw.uniform(0.15, 0.85)) * math.pi / 8, draw.uniform(6, 16)
    y, x = np.mgrid[:DRAWN, :DRAWN]
    wave = np.sin(2 * math.pi * (x * math.cos(turn) + y * math.sin(turn)) / width + draw.uniform(0, 7))[..., None]
    one, other = (np.array(c) for c in two_colours(draw))
    return (one + (other - one) * (wave + 1) / 2).astype(np.uint8)


def textures(draw: np.random.Generator, label: int) -> np.ndarray:
    """White noise, blotches, checks, dots, crosses, and noise along lines."""
    y, x = np.mgrid[:DRAWN, :DRAWN]
    step = draw.uniform(8, 14)
    x, y = x + draw.uniform(0, step), y + draw.uniform(0, step)
    if label == 0:
        field = draw.random((DRAWN // 2, DRAWN // 2)).repeat(2, 0).repeat(2, 1)
    elif label == 1:
        small = Image.fromarray((draw.random((9, 9)) * 255).astype(np.uint8))
        field = np.asarray(small.resize((DRAWN, DRAWN), Image.Resampling.BICUBIC)) / 255
    elif label == 2:
        field = ((x // step + y // step) % 2).astype(float)
    elif label == 3:
        field = ((x % step - step / 2) ** 2 + (y % step - step / 2) ** 2 < (step / 3.2) ** 2).astype(float)
    elif label == 4:
        field = ((x % step < step / 4) | (y % step < step / 4)).astype(float)
    else:
        field = draw.random((1, DRAWN // 2)).repeat(2, 1).repeat(DRAWN, 0)
        field = field.T if draw.random() < 0.5 else field
    one, other = (np.array(c) for c in two_colours(draw))
    return (one + (other - one) * field[..., None]).astype(np.uint8)


TASKS: dict[str, tuple[int, Drawing]] = {
    "source": (len(SOURCE), partial(shapes, which=SOURCE)),
    "other shapes": (len(OTHERS), partial(shapes, which=OTHERS)),
    "letters": (len(LETTERS), letters),
    "textures": (6, textures),
    "direction": (8, directions),
    "hue": (8, hues),
    "place": (9, places),
    "size": (5, sizes),
    "count": (8, counts),
}


def draw_task(task: str, count: int, seed: int, noise: float = 12.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images and classes of a task; every class as often as the others, up to one."""
    classes, drawing = TASKS[task]
    draw = np.random.default_rng([sum(task.encode()), seed])
    labels = draw.permutation(np.arange(count) % classes)
    images = np.empty((count, 3, SIDE, SIDE), dtype=np.float32)
    for i, label in enumerate(labels):
        large = drawing(draw, int(label)).astype(np.float32)
        small = large.reshape(SIDE, 2, SIDE, 2, 3).mean((1, 3)) + draw.normal(0, noise, (SIDE, SIDE, 3))
        images[i] = np.clip(small, 0, 255).transpose(2, 0, 1) / 127.5 - 1
    return torch.from_numpy(images), torch.from_numpy(labels)
