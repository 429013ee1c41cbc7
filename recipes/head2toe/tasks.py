"""Draw the images of the experiment: one source task, and eight other tasks near to it and far from it.

A task draws (count, 3, 32, 32) float32 images from -1 to 1 and their classes (count,) from a seed. The source task is
to name a filled shape, whatever its colour, position, size and rotation. A network that solves it learns to ignore
these, and they are what several of the other tasks ask for.

    x, y = draw_task("hue", 1000, seed=0)
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

import matplotlib
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

IMAGE_SIDE = 32
CANVAS_SIDE = 2 * IMAGE_SIDE  # images are drawn at twice their size and averaged, for smooth edges
MIN_COLOUR_DISTANCE = 200  # between two colours of an image, summed over red, green and blue (0 to 255 each)
Points = list[tuple[float, float]]
Colour = tuple[int, int, int]


def regular_polygon(corners: int) -> Points:
    """Return a regular polygon with its corners on the unit circle."""
    return [(math.cos(2 * math.pi * i / corners), math.sin(2 * math.pi * i / corners)) for i in range(corners)]


def star_polygon(tip_count: int, inner_radius: float) -> Points:
    """Return a star with tips on the unit circle."""
    points = []
    for i in range(2 * tip_count):
        radius = inner_radius if i % 2 else 1.0
        angle = math.pi * i / tip_count
        points.append((radius * math.cos(angle), radius * math.sin(angle)))
    return points


def rectangles(*bounds: tuple[float, float, float, float]) -> list[Points]:
    """Return rectangles from their (left, top, right, bottom)."""
    polygons = []
    for left, top, right, bottom in bounds:
        polygons.append([(left, top), (right, top), (right, bottom), (left, bottom)])
    return polygons


def arc(start: float, end: float, radius: float = 1.0, shift: float = 0.0) -> Points:
    """Return the points of an arc from angle `start` to `end`, in radians, shifted to the right."""
    angles = np.linspace(start, end, 24)
    return [(radius * math.cos(angle) + shift, radius * math.sin(angle)) for angle in angles]


# A shape is a list of polygons in the unit circle.
SOURCE_SHAPES: dict[str, list[Points]] = {
    "triangle": [regular_polygon(3)],
    "square": [regular_polygon(4)],
    "disc": [regular_polygon(40)],
    "star": [star_polygon(5, 0.4)],
    "burst": [star_polygon(9, 0.6)],
    "plus": rectangles((-1, -0.3, 1, 0.3), (-0.3, -1, 0.3, 1)),
    "bar": rectangles((-1, -0.25, 1, 0.25)),
    "L": rectangles((-0.8, -0.8, -0.3, 0.8), (-0.8, 0.3, 0.8, 0.8)),
    "T": rectangles((-0.8, -0.8, 0.8, -0.3), (-0.25, -0.8, 0.25, 0.8)),
    "half": [arc(0, math.pi)],
    "two": rectangles((-0.9, -0.7, 0.9, -0.2), (-0.9, 0.2, 0.9, 0.7)),
    "arrow": [[(1, 0), (0, 0.8), (0, 0.3), (-1, 0.3), (-1, -0.3), (0, -0.3), (0, -0.8)]],
}
OTHER_SHAPES: dict[str, list[Points]] = {
    "pentagon": [regular_polygon(5)],
    "kite": [[(1, 0), (0.2, 0.6), (-1, 0), (0.2, -0.6)]],
    "tristar": [star_polygon(3, 0.3)],
    "fourstar": [star_polygon(4, 0.3)],
    "U": rectangles((-0.8, -0.8, -0.4, 0.8), (0.4, -0.8, 0.8, 0.8), (-0.8, 0.4, 0.8, 0.8)),
    "H": rectangles((-0.8, -0.8, -0.4, 0.8), (0.4, -0.8, 0.8, 0.8), (-0.8, -0.2, 0.8, 0.2)),
    "Z": [
        *rectangles((-0.8, -0.8, 0.8, -0.5), (-0.8, 0.5, 0.8, 0.8)),
        [(0.8, -0.5), (0.4, -0.5), (-0.8, 0.5), (-0.4, 0.5)],
    ],
    "moon": [arc(0.6, 5.7) + arc(5.4, 0.9, 0.5, 0.45)],
}
LETTERS = "AEFGKMPRSX"
FONT = ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans-Bold.ttf", 40)


def draw_colour(rng: np.random.Generator) -> Colour:
    """Return a random colour."""
    red, green, blue = (int(value) for value in rng.integers(0, 256, 3))
    return red, green, blue


def draw_two_colours(rng: np.random.Generator) -> tuple[Colour, Colour]:
    """Return two colours that are easy to tell apart."""
    while True:
        first, second = draw_colour(rng), draw_colour(rng)
        if sum(abs(a - b) for a, b in zip(first, second, strict=True)) > MIN_COLOUR_DISTANCE:
            return first, second


def fill_shape(
    canvas: ImageDraw.ImageDraw,
    shape: Sequence[Points],
    ink: Colour,
    centre: tuple[float, float],
    radius: float,
    rotation: float,
) -> None:
    """Fill the polygons of a shape, rotated by `rotation` radians."""
    cosine, sine = math.cos(rotation) * radius, math.sin(rotation) * radius
    for polygon in shape:
        points = []
        for x, y in polygon:
            points.append((centre[0] + cosine * x - sine * y, centre[1] + sine * x + cosine * y))
        canvas.polygon(points, fill=ink)


def draw_centre(rng: np.random.Generator, radius: float) -> tuple[float, float]:
    """Return a random centre for which a shape of that radius is inside the canvas."""
    x, y = rng.uniform(radius, CANVAS_SIDE - radius, 2)
    return x, y


def new_canvas(paper: Colour) -> Image.Image:
    """Return an empty canvas."""
    return Image.new("RGB", (CANVAS_SIDE, CANVAS_SIDE), paper)


ClassDrawer = Callable[[np.random.Generator, int], np.ndarray]  # draws (CANVAS_SIDE, CANVAS_SIDE, 3) of a class


def draw_shape(rng: np.random.Generator, label: int, shapes: dict[str, list[Points]]) -> np.ndarray:
    """Class: the shape."""
    paper, ink = draw_two_colours(rng)
    image = new_canvas(paper)
    radius = rng.uniform(12, 26)
    shape = list(shapes.values())[label]
    fill_shape(ImageDraw.Draw(image), shape, ink, draw_centre(rng, radius), radius, rng.uniform(0, 7))
    return np.asarray(image)


def draw_letter(rng: np.random.Generator, label: int) -> np.ndarray:
    """Class: the letter."""
    paper, ink = draw_two_colours(rng)
    image = new_canvas(paper)
    centre = rng.uniform(24, 40, 2)
    ImageDraw.Draw(image).text(tuple(centre), LETTERS[label], fill=ink, font=FONT, anchor="mm")
    return np.asarray(image.rotate(rng.uniform(-25, 25), fillcolor=paper, resample=Image.Resampling.BILINEAR))


def draw_hue(rng: np.random.Generator, label: int) -> np.ndarray:
    """Class: the hue of any shape on grey paper."""
    grey = int(rng.integers(40, 216))
    image = new_canvas((grey, grey, grey))
    hue = (label + rng.uniform(0.15, 0.85)) / 8
    channels = np.clip(np.abs((hue * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1) * rng.uniform(120, 255)
    red, green, blue = map(int, channels)
    radius = rng.uniform(10, 22)
    shape = list(SOURCE_SHAPES.values())[rng.integers(len(SOURCE_SHAPES))]
    centre = draw_centre(rng, radius)
    fill_shape(ImageDraw.Draw(image), shape, (red, green, blue), centre, radius, rng.uniform(0, 7))
    return np.asarray(image)


def draw_position(rng: np.random.Generator, label: int) -> np.ndarray:
    """Class: in which of nine cells any shape is."""
    paper, ink = draw_two_colours(rng)
    image = new_canvas(paper)
    cell = CANVAS_SIDE / 3
    centre = ((label % 3 + rng.uniform(0.15, 0.85)) * cell, (label // 3 + rng.uniform(0.15, 0.85)) * cell)
    shape = list(SOURCE_SHAPES.values())[rng.integers(len(SOURCE_SHAPES))]
    fill_shape(ImageDraw.Draw(image), shape, ink, centre, rng.uniform(7, 14), rng.uniform(0, 7))
    return np.asarray(image)


def draw_size(rng: np.random.Generator, label: int) -> np.ndarray:
    """Class: the size of a disc or a square."""
    paper, ink = draw_two_colours(rng)
    image = new_canvas(paper)
    radius = 6 + 4 * (label + rng.uniform(0.1, 0.9))
    shape = SOURCE_SHAPES["disc" if rng.random() < 0.5 else "square"]
    fill_shape(ImageDraw.Draw(image), shape, ink, draw_centre(rng, radius), radius, rng.uniform(0, 7))
    return np.asarray(image)


def draw_count(rng: np.random.Generator, label: int) -> np.ndarray:
    """Class: how many dots there are, from one."""
    paper, ink = draw_two_colours(rng)
    image = new_canvas(paper)
    for cell in rng.permutation(16)[: label + 1]:
        centre = ((cell % 4 + rng.uniform(0.4, 0.6)) * 16, (cell // 4 + rng.uniform(0.4, 0.6)) * 16)
        fill_shape(ImageDraw.Draw(image), SOURCE_SHAPES["disc"], ink, centre, rng.uniform(3.5, 6), 0.0)
    return np.asarray(image)


def mix_colours(rng: np.random.Generator, field: np.ndarray) -> np.ndarray:
    """Return an image with two random colours, mixed by a field (CANVAS_SIDE, CANVAS_SIDE) from 0 to 1."""
    first, second = (np.array(colour) for colour in draw_two_colours(rng))
    return (first + (second - first) * field[..., None]).astype(np.uint8)


def draw_stripes(rng: np.random.Generator, label: int) -> np.ndarray:
    """Class: the direction of stripes of any width."""
    angle = (label + rng.uniform(0.15, 0.85)) * math.pi / 8
    width = rng.uniform(6, 16)
    y, x = np.mgrid[:CANVAS_SIDE, :CANVAS_SIDE]
    wave = np.sin(2 * math.pi * (x * math.cos(angle) + y * math.sin(angle)) / width + rng.uniform(0, 7))
    return mix_colours(rng, (wave + 1) / 2)


def draw_texture(rng: np.random.Generator, label: int) -> np.ndarray:
    """Class: white noise, blotches, checks, dots, crosses, or noise along lines."""
    y, x = np.mgrid[:CANVAS_SIDE, :CANVAS_SIDE]
    step = rng.uniform(8, 14)
    x, y = x + rng.uniform(0, step), y + rng.uniform(0, step)
    if label == 0:
        field = rng.random((CANVAS_SIDE // 2, CANVAS_SIDE // 2)).repeat(2, 0).repeat(2, 1)
    elif label == 1:
        blotches = Image.fromarray((rng.random((9, 9)) * 255).astype(np.uint8))
        field = np.asarray(blotches.resize((CANVAS_SIDE, CANVAS_SIDE), Image.Resampling.BICUBIC)) / 255
    elif label == 2:
        field = ((x // step + y // step) % 2).astype(float)
    elif label == 3:
        field = ((x % step - step / 2) ** 2 + (y % step - step / 2) ** 2 < (step / 3.2) ** 2).astype(float)
    elif label == 4:
        field = ((x % step < step / 4) | (y % step < step / 4)).astype(float)
    else:
        field = rng.random((1, CANVAS_SIDE // 2)).repeat(2, 1).repeat(CANVAS_SIDE, 0)
        field = field.T if rng.random() < 0.5 else field
    return mix_colours(rng, field)


# Of each task: the number of its classes, and what draws an image of a class.
TASKS: dict[str, tuple[int, ClassDrawer]] = {
    "source": (len(SOURCE_SHAPES), partial(draw_shape, shapes=SOURCE_SHAPES)),
    "other shapes": (len(OTHER_SHAPES), partial(draw_shape, shapes=OTHER_SHAPES)),
    "letters": (len(LETTERS), draw_letter),
    "textures": (6, draw_texture),
    "direction": (8, draw_stripes),
    "hue": (8, draw_hue),
    "place": (9, draw_position),
    "size": (5, draw_size),
    "count": (8, draw_count),
}


def draw_task(task: str, count: int, seed: int, noise: float = 12.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images (count, 3, 32, 32) and classes (count,) of a task, as many of each class, give or take one.
    once more.

    `noise`: the standard deviation of what is added to each pixel, on the scale of 0 to 255.
    """
    class_count, draw_class = TASKS[task]
    rng = np.random.default_rng([sum(task.encode()), seed])
    labels = rng.permutation(np.arange(count) % class_count)
    images = np.empty((count, 3, IMAGE_SIDE, IMAGE_SIDE), dtype=np.float32)
    for i, label in enumerate(labels):
        canvas = draw_class(rng, int(label)).astype(np.float32)
        image = canvas.reshape(IMAGE_SIDE, 2, IMAGE_SIDE, 2, 3).mean((1, 3))
        noisy_image = image + rng.normal(0, noise, (IMAGE_SIDE, IMAGE_SIDE, 3))
        images[i] = np.clip(noisy_image, 0, 255).transpose(2, 0, 1) / 127.5 - 1
    return torch.from_numpy(images), torch.from_numpy(labels)
