"""What a guided calibration shows, as plain values, and how that becomes rows of text.

A row is a list of pieces, each with a style's name; only ``terminal.py`` knows how a style looks. So a test
reads the screen as a person does.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from agent.calibrating.sketch import Sketch

Piece = tuple[str, str]
"""Text and style: "" plain, "dim", "strong", "good", "bad", "warn"."""
Row = list[Piece]

EIGHTHS = " ▏▎▍▌▋▊▉█"
BAR_CHARS = 24
NAME_CHARS = 9
GAP = "   "


@dataclass(frozen=True, slots=True)
class Gauge:
    """A bar: how full, whether that is good (None: neither), and the figures in words."""

    name: str
    part: float
    words: str
    good: bool | None = None


@dataclass(frozen=True, slots=True)
class View:
    """One screen. ``now``: where in the session; ``ask``: what the person is to do; ``said``: the last news.

    ``steps``: what is done and what is to come, each with its mark: "done", "now" or "later".
    ``trouble``: what keeps it from going on, if anything.
    """

    title: str
    device: str
    now: str
    ask: str
    keys: str
    sketches: tuple[Sketch, ...] = ()
    gauges: tuple[Gauge, ...] = ()
    steps: tuple[tuple[str, str], ...] = ()
    said: str = ""
    said_style: str = ""
    trouble: str = ""


def counted(number: int, thing: str) -> str:
    """Return how many there are: "1 step", "2 steps"."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def bar(part: float, width: int, *, unicode: bool = True) -> str:
    """Draw a bar, in eighths of a character where there are such."""
    part = max(0.0, min(1.0, part))
    if not unicode:
        return ("#" * round(part * width)).ljust(width, ".")
    full, rest = divmod(round(part * width * 8), 8)
    return ("█" * full + (EIGHTHS[rest] if rest else "")).ljust(width)


def rows_of(view: View, width: int, height: int, *, unicode: bool = True) -> list[Row]:
    """Lay `view` out in at most `height` rows of at most `width` characters.

    What an installer needs least goes first where it is too low: steps long done, then the sketches.
    """
    head: list[Row] = [
        _ends((view.title, "strong"), (view.device, "dim"), width),
        [(("─" if unicode else "-") * width, "dim")],
    ]
    ask = [[(line, "strong")] for line in _wrap(view.ask, width)]
    body: list[Row] = [[(view.now, "dim")], *ask]
    if view.trouble:
        body += [[(line, "bad")] for line in _wrap(view.trouble, width)]
    meters: list[Row] = [[], *(_gauge(gauge, width, unicode) for gauge in view.gauges)] if view.gauges else []
    said: list[Row] = (
        [[]] + [[(line, view.said_style)] for line in _wrap(view.said, width)] if view.said else []
    )
    foot: list[Row] = [[], [(line, "dim") for line in [_cut(view.keys, width)]]]
    left = height - len(head) - len(body) - len(meters) - len(said) - len(foot)
    middle = _middle(view, width, left, unicode)
    return [*head, *body, *middle, *meters, *said, *foot][:height]


def _middle(view: View, width: int, room: int, unicode: bool) -> list[Row]:
    """Return sketches side by side, the steps beside or below them, in at most `room` rows."""
    sketches = list(view.sketches)
    while sketches and sum(s.width + len(GAP) for s in sketches) > width:
        sketches.pop(0)
    drawn = _side_by_side(sketches)
    if len(drawn) + 1 > room:
        drawn = _without_blank(drawn)
    if len(drawn) + 1 > room:
        drawn = []
    taken = sum(s.width + len(GAP) for s in sketches) if drawn else 0
    step_width = max((len(words) for words, _ in view.steps), default=0) + 2
    if drawn and taken + step_width <= width:
        listed = _steps(view.steps, len(drawn), width - taken, unicode)
        rows = []
        for i, row in enumerate(drawn):
            used = sum(len(text) for text, _ in row)
            rows.append([*row, (" " * (taken - used), ""), *(listed[i] if i < len(listed) else [])])
        return [[], *rows]
    listed = _steps(view.steps, max(0, room - len(drawn) - 2), width, unicode)
    return [*([[], *drawn] if drawn else []), *([[], *listed] if listed else [])]


def _side_by_side(sketches: Sequence[Sketch]) -> list[Row]:
    if not sketches:
        return []
    high = max(len(s.rows) for s in sketches)
    rows: list[Row] = []
    for i in range(high):
        row: Row = []
        for s in sketches:
            row += [
                ((s.rows[i] if i < len(s.rows) else "").ljust(s.width), "" if s.strong else "dim"),
                (GAP, ""),
            ]
        rows.append(row)
    captions: Row = []
    for s in sketches:
        captions += [(s.caption.center(s.width), "strong" if s.strong else "dim"), (GAP, "")]
    return [*rows, captions]


def _without_blank(rows: list[Row]) -> list[Row]:
    """Return the rows without those at the top and the bottom of the drawing in which nothing is drawn."""
    *drawn, captions = rows
    full = [i for i, row in enumerate(drawn) if any(text.strip() for text, _ in row)]
    return [*drawn[full[0] : full[-1] + 1], captions] if full else rows


def _steps(steps: Sequence[tuple[str, str]], room: int, width: int, unicode: bool) -> list[Row]:
    marks = {
        "done": ("✓" if unicode else "x", "good"),
        "now": ("▶" if unicode else ">", "strong"),
        "later": (" ", "dim"),
    }
    if room <= 0:
        return []
    current = next((i for i, (_, mark) in enumerate(steps) if mark != "done"), len(steps))
    first = max(0, min(current - room // 2, len(steps) - room))
    rows = []
    for words, mark in steps[first : first + room]:
        sign, style = marks[mark]
        rows.append([(sign, style), (" " + _cut(words, width - 2), "" if mark == "done" else style)])
    return rows


def _gauge(gauge: Gauge, width: int, unicode: bool) -> Row:
    bar_width = max(4, min(BAR_CHARS, width - NAME_CHARS - len(gauge.words) - 2))
    style = {True: "good", False: "bad", None: ""}[gauge.good]
    return [
        (gauge.name.ljust(NAME_CHARS), "dim"),
        (bar(gauge.part, bar_width, unicode=unicode), style),
        (" " + _cut(gauge.words, width - NAME_CHARS - bar_width - 1), style),
    ]


def _ends(left: Piece, right: Piece, width: int) -> Row:
    room = width - len(left[0]) - 1
    if room < 4:
        return [(_cut(left[0], width), left[1])]
    words = _cut(right[0], room)
    return [left, (" " * (width - len(left[0]) - len(words)), ""), (words, right[1])]


def _wrap(text: str, width: int) -> list[str]:
    return [line for part in text.split("\n") for line in textwrap.wrap(part, max(8, width))]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"
