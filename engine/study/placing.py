"""Labels of points in a figure, put where they cover neither points nor each other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

_SIZE: Final = 9.0
_POINT: Final = 5.0  # points of a marker's half
_DISTANCES: Final = (8.0, 16.0, 26.0, 38.0, 52.0, 70.0, 92.0)  # points from the marker
# Where a label's middle lies from the marker: beside it first, then over, under, and across.
_WAYS: Final = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
# Far off it lies aside: straight above or below, the line to it would lie on the error bar.
_FAR_WAYS: Final = tuple((right, up) for up in (0, 0.4, -0.4, 1, -1, 2, -2) for right in (1, -1))
_NEAR: Final = 20.0  # from here on a line shows whose label it is


@dataclass(frozen=True, slots=True)
class Point:
    """A point with its label, and the ends of its error bar, in the data's units."""

    x: float
    y: float
    label: str
    low: float
    high: float
    colour: str


def place(axes: Axes, points: Sequence[Point], line: Sequence[tuple[float, float]] = ()) -> bool:
    """Writes each label beside its point, with a line to it where it had to go far.

    Call it when everything else is drawn: the axes must not move afterwards.

    Args:
        line: the corners of a line that labels keep away from, too.

    Returns:
        False where there was no room: then no label has been written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = axes.get_figure(root=True)
    assert figure is not None
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    scale = figure.dpi / 72
    taken = [box for point in points for box in _obstacles(axes, point, scale)]
    taken += _along([_pixel(axes, corner) for corner in line], scale)
    inside = axes.get_window_extent(renderer)
    written: list[Annotation] = []
    labels: list[Bbox] = []
    for point in sorted(points, key=lambda point: -len(point.label)):  # the long ones need room first
        text = axes.annotate(
            point.label, (point.x, point.y), (0, 0), textcoords="offset points", fontsize=_SIZE,
            ha="center", va="center", in_layout=False,
        )  # fmt: skip
        written.append(text)
        extent = text.get_window_extent(renderer)
        half = (extent.width / scale / 2, extent.height / scale / 2)
        x, y = _pixel(axes, (point.x, point.y))
        for dx, dy, distance in _places(half):
            box = _around(x + dx * scale, y + dy * scale, extent.width, extent.height)
            end = _edge(dx, dy, half)
            way = list(_along([(x, y), (x + end[0] * scale, y + end[1] * scale)], scale))
            is_crossing = any(part.overlaps(label) for part in way for label in labels)
            if _holds(inside, box) and not is_crossing and not any(box.overlaps(other) for other in taken):
                text.set_position((dx, dy))
                if distance > _NEAR:
                    written.append(_join(axes, point, end))
                    taken += way
                taken.append(box)
                labels.append(box)
                break
        else:
            for one in written:
                one.remove()
            return False
    return True


def _places(half: tuple[float, float]) -> Iterator[tuple[float, float, float]]:
    """Middles of a label of that half width and height, from the marker, nearest first; and the distance."""
    for distance in _DISTANCES:
        for right, up in _WAYS if distance <= _NEAR else _FAR_WAYS:
            yield right * (half[0] + distance), up * (half[1] + distance), distance


def _obstacles(axes: Axes, point: Point, scale: float) -> Iterator[Bbox]:
    """The marker and its error bar."""
    x, y = _pixel(axes, (point.x, point.y))
    yield _around(x, y, 2 * _POINT * scale, 2 * _POINT * scale)
    _, low = _pixel(axes, (point.x, point.low))
    _, high = _pixel(axes, (point.x, point.high))
    yield _around(x, (low + high) / 2, 4 * scale, high - low)


def _along(corners: Sequence[tuple[float, float]], scale: float) -> Iterator[Bbox]:
    """Small boxes on a line through corners in pixels, without a gap."""
    size = 3 * scale
    for (x, y), (to_x, to_y) in pairwise(corners):
        num = 1 + int(math.hypot(to_x - x, to_y - y) / size)
        for at in range(num + 1):
            yield _around(x + (to_x - x) * at / num, y + (to_y - y) * at / num, size, size)


def _edge(dx: float, dy: float, half: tuple[float, float]) -> tuple[float, float]:
    """The place of a label's edge that is nearest to its point."""
    return min(max(0.0, dx - half[0]), dx + half[0]), min(max(0.0, dy - half[1]), dy + half[1])


def _join(axes: Axes, point: Point, end: tuple[float, float]) -> Annotation:
    """A thin line from the marker to the label's edge."""
    line = {"arrowstyle": "-", "color": point.colour, "linewidth": 0.7, "shrinkA": 0, "shrinkB": 4}
    return axes.annotate(
        "", (point.x, point.y), end, textcoords="offset points", arrowprops=line, in_layout=False
    )


def _holds(outer: Bbox, box: Bbox) -> bool:
    return outer.x0 <= box.x0 and box.x1 <= outer.x1 and outer.y0 <= box.y0 and box.y1 <= outer.y1


def _pixel(axes: Axes, point: tuple[float, float]) -> tuple[float, float]:
    x, y = axes.transData.transform(point)
    return float(x), float(y)


def _around(x: float, y: float, width: float, height: float) -> Bbox:
    from matplotlib.transforms import Bbox

    return Bbox.from_extents(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
