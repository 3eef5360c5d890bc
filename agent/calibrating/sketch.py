r"""Sketches in text: a box lying in any way, and the plate over four load cells seen from above.

The box is projected in parallel onto the screen, seen from above and from its front left; only
sides that one would see are drawn. With `unicode` lines are made of Braille dots (2 × 4 a character,
Unicode chapter 21.1), without it of ``/ \ | -``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
Vector = tuple[float, float, float]

SIDES: Mapping[str, Vector] = {
    "TOP": (0.0, 0.0, 1.0),
    "BOTTOM": (0.0, 0.0, -1.0),
    "FRONT": (1.0, 0.0, 0.0),
    "BACK": (-1.0, 0.0, 0.0),
    "LEFT": (0.0, 1.0, 0.0),
    "RIGHT": (0.0, -1.0, 0.0),
}
"""Names of the sides in the box's axes: x forward, y left, z up."""

_HALF = np.array([1.0, 0.72, 0.5])  # of the box: longer than wide, wider than high, so that sides differ
_PART_OF = 0.34  # sin 20°: a side that is turned up by less than that is not meant
_EYE_AZIMUTH_RAD = math.radians(28.0)
_EYE_ELEVATIONS_DEG = (24.0, 62.0)  # three sides of a corner that looks upwards are seen from above only
_YAWS_DEG = sorted(range(-165, 181, 15), key=abs)
_SEEN = 0.22  # cosine between a side and the eye; of less there is no room for the name
_REACH = float(np.linalg.norm(_HALF))  # of a corner from the middle: any pose fits
_CELL_ASPECT = 2.0  # a character is twice as high as it is wide
_DOTS_WIDE, _DOTS_HIGH = 2, 4
_DOT_BITS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))


@dataclass(frozen=True, slots=True)
class Sketch:
    """A drawing with words under it."""

    caption: str
    rows: tuple[str, ...]
    strong: bool = False

    @property
    def width(self) -> int:
        """Characters of the widest row."""
        return max(map(len, (self.caption, *self.rows)), default=0)


AXES: Mapping[str, Vector] = {
    "+Z": (0.0, 0.0, 1.0),
    "-Z": (0.0, 0.0, -1.0),
    "+X": (1.0, 0.0, 0.0),
    "-X": (-1.0, 0.0, 0.0),
    "+Y": (0.0, 1.0, 0.0),
    "-Y": (0.0, -1.0, 0.0),
}
"""For a sensor whose place in the box nobody said: the axes that are printed beside the chip."""


def turned(up: Sequence[float]) -> F64:
    """Return the rotation (3, 3) that tips a level box, on the shortest way, until its `up` is upwards."""
    u = np.asarray(up, np.float64)
    length = float(np.linalg.norm(u))
    if not length > 0:
        return np.eye(3)
    u = u / length
    if u[2] < -1.0 + 1e-9:
        return np.diag([1.0, -1.0, -1.0])  # upside down: rolled over its long axis
    v = np.array([u[1], -u[0], 0.0])  # u × z
    k = np.array([[0.0, -v[2], v[1]], [v[2], 0.0, -v[0]], [-v[1], v[0], 0.0]])
    rotation: F64 = np.eye(3) + k + k @ k / (1.0 + float(u[2]))
    return rotation


def _eye(elevation_rad: float) -> tuple[F64, F64]:
    """Return the projection (2, 3) to the screen (right, up), and the direction (3,) towards the eye."""
    a, e = _EYE_AZIMUTH_RAD, elevation_rad
    to_eye = np.array([math.cos(e) * math.cos(a), math.cos(e) * math.sin(a), math.sin(e)])
    right = np.array([-math.sin(a), math.cos(a), 0.0])
    return np.stack((right, np.cross(to_eye, right))), to_eye


def _seen(up: Sequence[float], sides: Mapping[str, Vector]) -> tuple[F64, F64, F64]:
    """Return how the box is turned (3, 3), projection and direction of the eye.

    It is walked around, as little as need be, until all sides that look upwards are seen.
    """
    tipped = turned(up)
    upward = np.array([sides[name] for name in _upward(up, sides)])
    best = -1.0
    for elevation_deg in _EYE_ELEVATIONS_DEG:
        screen, to_eye = _eye(math.radians(elevation_deg))
        for yaw_deg in _YAWS_DEG:
            c, s = math.cos(math.radians(yaw_deg)), math.sin(math.radians(yaw_deg))
            rotation = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]) @ tipped
            facing = min(float((upward @ rotation.T @ to_eye).min()), 1.5 * _SEEN)
            if facing > best + 1e-9:
                best, chosen = facing, (rotation, screen, to_eye)
        if best >= _SEEN:
            break
    return chosen


def _upward(up: Sequence[float], sides: Mapping[str, Vector]) -> list[str]:
    """Return the sides that look upwards, in the order of `sides`; at least the one that does most."""
    u = np.asarray(up, np.float64) / max(float(np.linalg.norm(up)), 1e-12)
    share = {name: float(np.dot(u, normal)) for name, normal in sides.items()}
    return [name for name in share if share[name] > _PART_OF] or [max(share, key=lambda name: share[name])]


def side_words(up: Sequence[float], sides: Mapping[str, Vector] = SIDES) -> str:
    """Say which sides look upwards: "TOP up", "the edge of FRONT and LEFT up", "the corner of … up"."""
    upward = _upward(up, sides)
    if len(upward) == 1:
        return f"{upward[0]} up"
    names = ", ".join(upward[:-1]) + f" and {upward[-1]}"
    return f"the {'edge' if len(upward) == 2 else 'corner'} of {names} up"


def box_rows(
    up: Sequence[float],
    *,
    sides: Mapping[str, Vector] = SIDES,
    width: int = 28,
    height: int = 11,
    unicode: bool = True,
) -> tuple[str, ...]:
    """Draw the box with the direction `up`, in its own axes, upwards; `sides` that are seen bear names."""
    rotation, screen, to_eye = _seen(up, sides)
    scale = min(width / 2.0, height * _CELL_ASPECT / 2.0) / _REACH
    canvas = _Canvas(width, height, unicode)
    labels: list[tuple[float, float, str]] = []
    for name, normal in sides.items():
        n = rotation @ np.array(normal)
        facing = float(n @ to_eye)
        if facing <= 1e-6:
            continue
        axis = int(np.argmax(np.abs(normal)))
        others = [i for i in range(3) if i != axis]
        corners = []
        for s, t in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
            point = np.array(normal) * _HALF
            point[others[0]], point[others[1]] = s * _HALF[others[0]], t * _HALF[others[1]]
            corners.append(screen @ (rotation @ point) * scale)
        for a, b in zip(corners, corners[1:] + corners[:1], strict=True):
            canvas.line(float(a[0]), float(a[1]), float(b[0]), float(b[1]))
        if facing > _SEEN / 1.1:  # a side seen edge on has no room for its name
            x, y = screen @ (n * float(_HALF[axis])) * scale
            labels.append((float(x), float(y), name))
    for x, y, name in labels:
        canvas.write(x, y, name)
    return canvas.rows()


class _Canvas:
    """Characters around a middle; coordinates in characters' widths, y upwards."""

    def __init__(self, width: int, height: int, unicode: bool) -> None:
        self._width, self._height, self._unicode = width, height, unicode
        self._bits = [[0] * width for _ in range(height)]
        self._text = [[""] * width for _ in range(height)]

    def line(self, x0: float, y0: float, x1: float, y1: float) -> None:
        steps = max(1, round(max(abs(x1 - x0) * _DOTS_WIDE, abs(y1 - y0) * _DOTS_HIGH / _CELL_ASPECT)) * 2)
        mark = _stroke(x1 - x0, y1 - y0)
        for i in range(steps + 1):
            x, y = x0 + (x1 - x0) * i / steps, y0 + (y1 - y0) * i / steps
            column = x + self._width / 2
            row = self._height / 2 - y / _CELL_ASPECT
            c, r = int(column), int(row)
            if not (0 <= c < self._width and 0 <= r < self._height):
                continue
            if self._unicode:
                dot_x = min(_DOTS_WIDE - 1, int((column - c) * _DOTS_WIDE))
                dot_y = min(_DOTS_HIGH - 1, int((row - r) * _DOTS_HIGH))
                self._bits[r][c] |= _DOT_BITS[dot_x][dot_y]
            else:
                self._text[r][c] = mark

    def write(self, x: float, y: float, word: str) -> None:
        r = min(self._height - 1, max(0, int(self._height / 2 - y / _CELL_ASPECT)))
        c = min(self._width - len(word), max(0, round(x + self._width / 2 - len(word) / 2)))
        for i, letter in enumerate(word):
            self._text[r][c + i] = letter
            self._bits[r][c + i] = 0

    def rows(self) -> tuple[str, ...]:
        return tuple(
            "".join(
                text or (chr(0x2800 + bits) if bits else " ") for text, bits in zip(texts, dots, strict=True)
            )
            for texts, dots in zip(self._text, self._bits, strict=True)
        )


def _stroke(dx: float, dy: float) -> str:
    if abs(dy) / _CELL_ASPECT < 0.35 * abs(dx) / _CELL_ASPECT:
        return "-"
    if abs(dx) < 0.5 * abs(dy) / _CELL_ASPECT:
        return "|"
    return "/" if dx * dy > 0 else "\\"


def plate_rows(
    cells: Mapping[str, str],
    *,
    load: str | None = None,
    width: int = 34,
    height: int = 11,
    unicode: bool = True,
) -> tuple[str, ...]:
    """Draw the plate from above, front at the top: `cells` name → words beside it.

    `load`: where the mass stands, "centre" or a cell's name; None for an empty plate.
    """
    corner = "┌┐└┘─│█●" if unicode else "++++-|#o"
    tl, tr, bl, br, horizontal, vertical, full, foot = tuple(corner)
    grid = [[" "] * width for _ in range(height)]
    left, right, top, bottom = 3, width - 4, 1, height - 2

    def put(row: int, column: int, word: str) -> None:
        for i, letter in enumerate(word):
            if 0 <= column + i < width:
                grid[row][column + i] = letter

    for c in range(left + 1, right):
        grid[top][c] = grid[bottom][c] = horizontal
    for r in range(top + 1, bottom):
        grid[r][left] = grid[r][right] = vertical
    for (r, c), letter in zip(
        ((top, left), (top, right), (bottom, left), (bottom, right)), (tl, tr, bl, br), strict=True
    ):
        grid[r][c] = letter
    put(0, width // 2 - 2, "front")
    corners = {"fl": (top, left), "fr": (top, right), "rl": (bottom, left), "rr": (bottom, right)}
    names = list(cells)
    places = corners if set(names) <= set(corners) else dict(zip(names, corners.values(), strict=False))
    inner: dict[str, tuple[int, int]] = {}
    for name, (r, c) in places.items():
        if name not in cells:
            continue
        grid[r][c] = foot
        word = f"{name} {cells[name]}".strip()
        at = c + 2 if c == left else c - 1 - len(word)
        row = r + 1 if r == top else r - 1
        put(row, at, word)
        inner[name] = (row + (1 if r == top else -1), c + 3 if c == left else c - 6)
    if load is not None:
        r, c = inner.get(load, (height // 2, width // 2 - 2))
        put(r, c, full * 4)
        if load not in inner:
            put(r - 1, c, full * 4)
    return tuple("".join(row).rstrip() for row in grid)
