"""What `replay` says of its logs on stderr: a block for one, a line for each of many, a bar on a terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from agent.replay.runner import Summary

EXIT_INTERRUPTED = 130

Progress = Callable[[int, float], None]
Say = Callable[[str], None]


def block(log: str, folder: Path, summary: Summary, *, resumed: bool = False) -> str:
    """Return in words what came of a single log."""
    how = f" ({summary['realtime_factor']:.0f} × real time)" if not resumed else ", done before"
    lines = [
        f"{log}: {summary['duration_s']:.1f} s in {summary['wall_s']:.2f} s{how}",
        *_figures(summary),
        *(f"  note       {note}" for note in summary["notes"]),
        f"  written    {folder}",
    ]
    return "\n".join(lines)


def sums(together: Mapping[str, Any]) -> str:
    """Return in words what came of many."""
    count, failed = len(together["logs"]), len(together["failed"])
    trouble = f", {failed} with errors (above)" if failed else ""
    lines = [f"{count} log{'s' * (count != 1)}{trouble}: {together['duration_s']:.1f} s", *_figures(together)]
    return "\n".join(lines)


def _figures(summary: Mapping[str, Any]) -> list[str]:
    return [
        f"  events     {events_of(summary)}",
        f"  gaps       {summary['gaps']} ({summary['missing_samples']} samples missing)",
        f"  published  {summary['published_bytes']:,} of {summary['raw_bytes']:,} bytes "
        f"({100 * summary['upload_ratio']:.1f} %)",
    ]


def line(log: str, folder: Path, summary: Summary, *, resumed: bool) -> str:
    """Return the line of one log among many; its notes stand in its summary."""
    how = "done before" if resumed else f"{summary['realtime_factor']:.0f} × real time"
    return (
        f"{log}: {summary['duration_s']:.1f} s, events {events_of(summary)}, "
        f"published {100 * summary['upload_ratio']:.1f} %, {how} -> {folder}"
    )


def events_of(summary: Mapping[str, Any]) -> str:
    """Return the events by type."""
    return ", ".join(f"{n} {kind}" for kind, n in summary["events"].items()) or "none"


@contextlib.contextmanager
def bar(count: int, what: str) -> Iterator[tuple[Progress, Say]]:
    """Show one bar over all on a terminal; yield what takes progress, and what says a line above it."""
    if not sys.stderr.isatty():
        yield lambda _place, _part: None, lambda text: print(text, file=sys.stderr)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    parts = [0.0] * count
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[logs]}")
    console = Console(stderr=True)
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as display:
        task = display.add_task(what, total=count, logs=f"0/{count}")
        done = 0

        def progress(place: int, part: float) -> None:
            nonlocal done
            done += part >= 1.0 > parts[place]
            parts[place] = part
            display.update(task, completed=sum(parts), logs=f"{done}/{count}")

        yield progress, lambda text: console.print(text, markup=False, highlight=False, soft_wrap=True)
