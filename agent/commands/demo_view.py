"""The demo's screen: levels, tilt, events as they come, and what stayed at home."""

from __future__ import annotations

import math
import re
import textwrap
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from agent.blocks import Block
from agent.commands.demo_judge import Judged, SaidEvent
from agent.commands.words import SEVERITY_WORD, words_of
from agent.pipeline import Item
from agent.streams import StreamSpec
from agent.tally import Tally

BAR_WIDTH = 24
NAME_WIDTH = 12
FIGURE_WIDTH = 35  # of the longest figure beside a bar
FRAME = 4  # columns of a panel's border and padding
EVENT_ROWS = 8  # at most; a low terminal shows fewer, the newest
FOLD_ROWS = 5  # with fewer, an event has one row and is cut short
HEAD_ROWS = 2
HOME_ROWS = 3
FROM_WIDTH = 6
HARD_BLANK = "\u00a0"
LEVEL_FULL_MPS2 = 6.0  # a full bar: rough road through the sprung box
SEVERITY_STYLE = {1: "dim", 2: "yellow", 3: "bold yellow", 4: "bold red"}
BLOCKS_ = " ▏▎▍▌▋▊▉█"


@dataclass(slots=True)
class Levels:
    """The newest figures, kept from the raw blocks as they pass; read by the screen's thread."""

    specs: Mapping[str, StreamSpec]
    latest: dict[str, list[float]] = field(default_factory=dict)
    rms: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    gravity: list[float] = field(default_factory=lambda: [0.0, 0.0, 9.8])
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, items: Sequence[Item]) -> None:
        """Look at what came from the box."""
        with self.lock:
            for item in items:
                if not isinstance(item, Block) or not len(item):
                    continue
                spec = self.specs[item.stream]
                si = item.values * spec.scale + spec.offset
                mean = si.mean(axis=0)
                if item.stream == "accel":
                    # about a second's memory; a block is a few ms
                    gain = min(1.0, len(item) * item.period_ns / 4e8)
                    self.gravity = [g + gain * (m - g) for g, m in zip(self.gravity, mean, strict=True)]
                    square = ((si - self.gravity) ** 2).mean(axis=0)
                    self.rms = [
                        math.sqrt(r * r + gain * (s - r * r)) for r, s in zip(self.rms, square, strict=True)
                    ]
                elif item.stream == "load":
                    known = self.latest.get("load", mean.tolist())
                    self.latest["load"] = [k + 0.1 * (m - k) for k, m in zip(known, mean, strict=True)]
                else:
                    self.latest[item.stream] = mean.tolist()

    @property
    def tilt_deg(self) -> float:
        """Angle of gravity from the up axis."""
        x, y, z = self.gravity
        return math.degrees(math.atan2(math.hypot(x, y), z))


def bar(part: float, width: int) -> str:
    """Draw a bar of eighths of a character."""
    eighths = round(max(0.0, min(1.0, part)) * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (BLOCKS_[rest] if rest else "")).ljust(width)


class Screen:
    """What rich's Live shows; it asks anew at each refresh."""

    def __init__(self, *, seconds: float, limits: Mapping[str, float], what: str) -> None:
        self._seconds = seconds
        self._limits = limits
        self._what = what
        self.levels: Levels | None = None
        self.tally = Tally()
        self.events: deque[SaidEvent] = deque(maxlen=8)
        self.connected = False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Draw the screen as it is now, no higher and no wider than the terminal."""
        if self.levels is None:
            yield Panel("plugging the box in …", title="cargobox demo")
            return
        inner = options.max_width - FRAME
        with self.levels.lock:
            now = self._now(self.levels, inner)
        left = (options.height or console.height) - HEAD_ROWS - now.row_count - 2 - 2
        yield self._head()
        yield Panel(now, title="now, as the box feels it", title_align="left")
        with_home = left > HOME_ROWS
        room = min(EVENT_ROWS, left - HOME_ROWS if with_home else left)
        if room > 0:
            yield self._events(inner, room)
        if with_home:
            yield self._home(inner)

    def _head(self) -> RenderableType:
        done_s = self.tally.duration_s
        line = Table.grid(expand=True)
        line.add_column(ratio=1, no_wrap=True)
        line.add_column(justify="right", no_wrap=True)
        line.add_row(
            Text.assemble(("cargobox demo  ", "bold"), (self._what, "dim")),
            Text(f"{done_s:5.1f} of {self._seconds:.0f} s   Ctrl-C ends"),
        )
        progress = Table.grid(expand=True)
        progress.add_row(ProgressBar(total=self._seconds, completed=min(done_s, self._seconds)))
        return Group(line, progress)

    def _now(self, levels: Levels, inner: int) -> Table:
        width = max(1, min(BAR_WIDTH, inner - NAME_WIDTH - FIGURE_WIDTH - 2))
        table = Table.grid(padding=(0, 1), expand=False)
        table.add_column(style="dim", width=NAME_WIDTH, no_wrap=True)
        table.add_column(width=width, no_wrap=True)
        table.add_column(no_wrap=True)
        for axis, value in zip("xyz", levels.rms, strict=True):
            table.add_row(f"vibration {axis}", bar(value / LEVEL_FULL_MPS2, width), f"{value:5.2f} m/s² rms")
        tilt_limit = self._limits["tilt_deg"]
        style = "bold red" if levels.tilt_deg > tilt_limit else ""
        table.add_row(
            "tilt",
            Text(bar(levels.tilt_deg / 45, width), style=style),
            Text(f"{levels.tilt_deg:5.1f}° of {tilt_limit:.0f}°", style=style),
        )
        if "load" in levels.latest:
            cells = levels.latest["load"]
            total = sum(cells)
            right = (cells[1] + cells[3] - cells[0] - cells[2]) / total if total else 0.0
            table.add_row("load", _slider(right, width), f"{total:5.1f} kg, centre {right:+.2f} to the right")
        if "pressure" in levels.latest:
            value = levels.latest["pressure"][0]
            table.add_row("tank", bar(value / 12_000, width), f"{value / 1000:5.2f} kPa")
        self._climate(table, levels, "temperature", "°C", 15.0, width)
        self._climate(table, levels, "humidity", "%", 100.0, width)
        return table

    def _climate(self, table: Table, levels: Levels, name: str, unit: str, full: float, width: int) -> None:
        if name not in levels.latest:
            return
        value = levels.latest[name][0]
        low = self._limits.get(f"{name}_low", -math.inf)
        high = self._limits.get(f"{name}_high", math.inf)
        style = "bold red" if not low <= value <= high else ""
        band = f"at most {high:g}" if low == -math.inf else f"{low:g} to {high:g}"
        table.add_row(
            name,
            Text(bar(value / full, width), style=style),
            Text(f"{value:5.1f} {unit}, band {band}", style=style),
        )

    def _events(self, inner: int, room: int) -> RenderableType:
        rows = []
        for event in list(self.events):
            style = SEVERITY_STYLE[event.severity]
            head = (
                Text(f"{event.said_s:5.1f} s", style="dim"),
                Text(event.type.replace("_", " "), style=style),
                Text(SEVERITY_WORD[event.severity], style=style),
            )
            rows.append((head, event.values, Text(f"{event.delivered_ms:.0f} ms", style="dim")))
        # as wide as the columns beside it leave
        taken = [max((row[0][i].cell_len for row in rows), default=0) for i in range(3)]
        taken.append(max((row[2].cell_len for row in rows), default=0))
        width = max(12, inner - sum(taken) - 2 * len(taken))
        said = [fold(words_of(values), width - 2 if room < FOLD_ROWS else width) for _, values, _ in rows]
        if room < FOLD_ROWS:
            said = [first + " …" if rest else first for first, _, rest in (w.partition("\n") for w in said)]
        while len(said) > 1 and sum(words.count("\n") + 1 for words in said) > room:
            said, rows = said[1:], rows[1:]
        table = Table.grid(padding=(0, 2))
        for (head, _, delay), words in zip(rows, said, strict=True):
            table.add_row(*head, words, delay)
        if not rows:
            table.add_row(Text("nothing yet", style="dim"))
        return Panel(table, title="what the broker delivered", title_align="left", height=room + 2)

    def _home(self, inner: int) -> RenderableType:
        tally = self.tally
        ratio = tally.upload_ratio
        words = (
            f" {tally.published_bytes:,} of {tally.raw_bytes:,.0f} bytes went up in "
            f"{sum(tally.published.values())} records"
        )
        width = max(1, min(BAR_WIDTH, inner - len(words)))
        text = Text.assemble((bar(1.0 - ratio, width), "green"), words, no_wrap=True, overflow="ellipsis")
        title = f"the data: {100 * (1 - ratio):.1f} % stayed at home"
        return Panel(text, title=title, title_align="left")


def _slider(value: float, width: int) -> str:
    """Draw where a value of −1…1 stands."""
    place = round((max(-1.0, min(1.0, value * 2)) + 1) / 2 * (width - 1))
    return "".join("●" if i == place else "┼" if i == width // 2 else "─" for i in range(width))


def fold(words: str, width: int) -> str:
    """Break figures into lines between them, not between a number and its unit."""
    parts = re.split(r", (?![^\[]*\])", words)  # not within a vector
    hard = ", ".join(part.replace(" ", HARD_BLANK) for part in parts)
    return textwrap.fill(hard, max(1, width), break_on_hyphens=False).replace(HARD_BLANK, " ")


def print_summary(
    console: Console, judged: Sequence[Judged], unexplained: Sequence[SaidEvent], facts: Mapping[str, Any]
) -> None:
    """Print the trip's story and what it came to."""
    table = Table(title="the trip, and what the box said of it", title_justify="left")
    left = max(2, console.width - FROM_WIDTH - 10)  # 10: borders and padding
    widths = (FROM_WIDTH, left * 2 // 5, left - left * 2 // 5)
    for name, width in zip(("from", "what happened", "what the box said"), widths, strict=True):
        table.add_column(name, justify="right" if name == "from" else "left", max_width=width)
    for one in judged:
        happening = one.happening
        expected = (happening.expected_event or "").replace("_", " ")
        said = ("✓ " if one.right else "✗ ") + f"{expected} {one.verdict}".strip()
        if one.events:
            event = one.events[0]
            said += f", after {event.delivered_ms:.0f} ms\n" + fold(words_of(event.values), widths[-1])
        table.add_row(
            f"{happening.start_s:.1f} s",
            happening.what,
            Text(said, style="green" if one.right else "bold red"),
            style="dim" if happening.expected_event is None else "",
        )
    console.print(table)
    for event in unexplained:
        console.print(
            f"✗ {event.type} at {event.start_s:.1f} s: nothing in the trip explains it", style="red"
        )
    console.print(
        f"upload_ratio {facts['upload_ratio']:.4f}: {facts['published_bytes']:,} of "
        f"{facts['raw_bytes']:,} bytes went up",
        highlight=False,
    )
    console.print(
        f"{facts['delivered']} records arrived, {facts['holes']} missing, {facts['duplicates']} twice; "
        f"{facts['samples']:,} samples in {facts['duration_s']:.1f} s, {facts['gaps']} gaps",
        highlight=False,
    )
    console.print(
        f"{facts['firmware']} firmware, {facts['broker']}",
        highlight=False,
    )


def encode(document: Mapping[str, Any]) -> str:
    """Return the JSON document of ``--json``."""
    return msgspec.json.encode(document).decode()
