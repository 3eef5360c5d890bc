"""The demo's screen: levels, tilt, events as they come, and what stayed at home."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from rich.align import Align
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from agent.blocks import Block
from agent.commands.demo_judge import Judged, SaidEvent
from agent.pipeline import Item, Tally
from agent.streams import StreamSpec

BAR_WIDTH = 24
LEVEL_FULL_MPS2 = 6.0  # a full bar: rough road through the sprung box
SEVERITY_STYLE = {1: "dim", 2: "yellow", 3: "bold yellow", 4: "bold red"}
SEVERITY_WORD = {1: "minor", 2: "general", 3: "major", 4: "critical"}
BLOCKS_ = " ▏▎▍▌▋▊▉█"
UNIT_WORDS = {
    "deg": "°",
    "degc": " °C",
    "kg": " kg",
    "m": " m",
    "mps2": " m/s²",
    "pa": " Pa",
    "percent": " %",
    "s": " s",
}


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
                si = item.values * self.specs[item.stream].scale
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


def bar(part: float, width: int = BAR_WIDTH) -> str:
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

    def __rich__(self) -> RenderableType:
        """Draw the screen as it is now."""
        if self.levels is None:
            return Panel("plugging the box in …", title="cargobox demo")
        with self.levels.lock:
            now = self._now(self.levels)
        return Group(self._head(), now, self._events(), self._home())

    def _head(self) -> RenderableType:
        done_s = self.tally.duration_s
        line = Table.grid(expand=True)
        line.add_column(ratio=1)
        line.add_column(justify="right")
        line.add_row(
            Text.assemble(("cargobox demo  ", "bold"), (self._what, "dim")),
            Text(f"{done_s:5.1f} of {self._seconds:.0f} s   Ctrl-C ends"),
        )
        progress = Table.grid(expand=True)
        progress.add_row(ProgressBar(total=self._seconds, completed=min(done_s, self._seconds)))
        return Group(line, progress)

    def _now(self, levels: Levels) -> RenderableType:
        table = Table.grid(padding=(0, 1), expand=False)
        table.add_column(style="dim", width=12)
        table.add_column(width=BAR_WIDTH)
        table.add_column()
        for axis, value in zip("xyz", levels.rms, strict=True):
            table.add_row(f"vibration {axis}", bar(value / LEVEL_FULL_MPS2), f"{value:5.2f} m/s² rms")
        tilt_limit = self._limits["tilt_deg"]
        style = "bold red" if levels.tilt_deg > tilt_limit else ""
        table.add_row(
            "tilt",
            Text(bar(levels.tilt_deg / 45), style=style),
            Text(f"{levels.tilt_deg:5.1f}° of {tilt_limit:.0f}°", style=style),
        )
        if "load" in levels.latest:
            cells = levels.latest["load"]
            total = sum(cells)
            right = (cells[1] + cells[3] - cells[0] - cells[2]) / total if total else 0.0
            table.add_row("load", _slider(right), f"{total:5.1f} kg, centre {right:+.2f} to the right")
        if "pressure" in levels.latest:
            value = levels.latest["pressure"][0]
            table.add_row("tank", bar(value / 12_000), f"{value / 1000:5.2f} kPa")
        self._climate(table, levels, "temperature", "°C", 15.0)
        self._climate(table, levels, "humidity", "%", 100.0)
        return Panel(table, title="now, as the box feels it", title_align="left")

    def _climate(self, table: Table, levels: Levels, name: str, unit: str, full: float) -> None:
        if name not in levels.latest:
            return
        value = levels.latest[name][0]
        low = self._limits.get(f"{name}_low", -math.inf)
        high = self._limits.get(f"{name}_high", math.inf)
        style = "bold red" if not low <= value <= high else ""
        band = f"at most {high:g}" if low == -math.inf else f"{low:g} to {high:g}"
        table.add_row(
            name, Text(bar(value / full), style=style), Text(f"{value:5.1f} {unit}, band {band}", style=style)
        )

    def _events(self) -> RenderableType:
        table = Table.grid(padding=(0, 2))
        for event in list(self.events):
            style = SEVERITY_STYLE[event.severity]
            table.add_row(
                Text(f"{event.said_s:5.1f} s", style="dim"),
                Text(event.type.replace("_", " "), style=style),
                Text(SEVERITY_WORD[event.severity], style=style),
                Text(words_of(event.values)),
                Text(f"{event.delivered_ms:.0f} ms", style="dim"),
            )
        if not self.events:
            table.add_row(Text("nothing yet", style="dim"))
        return Panel(table, title="what the broker delivered", title_align="left", height=10)

    def _home(self) -> RenderableType:
        tally = self.tally
        ratio = tally.upload_ratio
        text = Text.assemble(
            (bar(1.0 - ratio), "green"),
            f" {100 * (1 - ratio):.1f} % stayed at home: ",
            f"{tally.published_bytes:,} of {tally.raw_bytes:,.0f} bytes went up in "
            f"{sum(tally.published.values())} records",
        )
        return Panel(Align.left(text), title="the data", title_align="left")


def _slider(value: float, width: int = BAR_WIDTH) -> str:
    """Draw where a value of −1…1 stands."""
    place = round((max(-1.0, min(1.0, value * 2)) + 1) / 2 * (width - 1))
    return "".join("●" if i == place else "┼" if i == width // 2 else "─" for i in range(width))


def words_of(values: Mapping[str, Any]) -> str:
    """Say the figures of an event shortly."""
    parts = []
    for key, given in values.items():
        value = f"{given:g}" if isinstance(given, float) else given
        name, _, unit = key.rpartition("_")
        if unit in UNIT_WORDS and name:
            parts.append(f"{name.replace('_', ' ')} {value}{UNIT_WORDS[unit]}")
        elif isinstance(value, bool):
            parts.append(key.replace("_", " "))
        else:
            parts.append(f"{key.replace('_', ' ')} {value}")
    return ", ".join(parts)


def print_summary(
    console: Console, judged: Sequence[Judged], unexplained: Sequence[SaidEvent], facts: Mapping[str, Any]
) -> None:
    """Print the trip's story and what it came to."""
    table = Table(title="the trip, and what the box said of it", title_justify="left", pad_edge=False)
    for name in ("from", "what happened", "event", "said after", "the box"):
        table.add_column(name, justify="right" if name in {"from", "said after"} else "left")
    for one in judged:
        happening = one.happening
        event = one.events[0] if one.events else None
        style = "dim" if happening.expected_event is None else ""
        said = ("✓ " if one.right else "✗ ") + one.verdict
        if event is not None:
            said += f": {words_of(event.values)}"
        table.add_row(
            f"{happening.start_s:.1f} s",
            happening.what,
            happening.expected_event or "none",
            f"{event.delivered_ms:.0f} ms" if event else "",
            Text(said, style="green" if one.right else "bold red"),
            style=style,
        )
    console.print(table)
    for event in unexplained:
        console.print(
            f"✗ {event.type} at {event.start_s:.1f} s: nothing in the trip explains it", style="red"
        )
    console.print(
        f"upload_ratio {facts['upload_ratio']:.4f}: {facts['published_bytes']:,} of "
        f"{facts['raw_bytes']:,} bytes went up, in {facts['delivered']} records; "
        f"{facts['holes']} missing, {facts['duplicates']} twice",
        highlight=False,
    )
    console.print(
        f"{facts['samples']:,} samples in {facts['duration_s']:.1f} s, {facts['gaps']} gaps; "
        f"{facts['firmware']} firmware, {facts['broker']}",
        highlight=False,
    )


def encode(document: Mapping[str, Any]) -> str:
    """Return the JSON document of ``--json``."""
    return msgspec.json.encode(document).decode()
