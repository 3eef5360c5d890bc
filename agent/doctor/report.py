"""The findings for a person at a terminal: aligned, wrapped, the remedy under what it mends."""

from __future__ import annotations

import os
import re
import textwrap
import threading
from collections.abc import Sequence
from typing import TextIO

from agent.doctor.examination import count
from agent.doctor.finding import Area, Finding, State

WORDS = {State.OK: "ok", State.WARNING: "warning", State.WRONG: "WRONG", State.SKIPPED: "skipped"}
COLOURS = {State.OK: "32", State.WARNING: "33", State.WRONG: "31;1", State.SKIPPED: "2"}  # ECMA-48, SGR
STATE_COLUMNS = 9
SUBJECT_COLUMNS = 13  # a longer subject has a line of its own
LEAST_WIDTH = 40
# what is to be copied: a command, or lines for a configuration (TOML bears no line break within braces)
WHOLE = re.compile(r"`[^`]*`|\[?\{.*\}\]?")
BLANK = "\0"  # stands for the blanks within them while lines are broken


class Report:
    """Writes findings as they come; `say` shows on a terminal what is being waited for."""

    def __init__(self, out: TextIO, *, width: int, colour: bool, progress: TextIO) -> None:
        self._out = out
        self._width = max(width, LEAST_WIDTH)
        self._colour = colour and "NO_COLOR" not in os.environ
        self._progress = progress if progress.isatty() else None
        self._area: Area | None = None
        self._said = ""
        self._lock = threading.Lock()

    def say(self, words: str) -> None:
        """Show what is being done, in one line that is written over."""
        with self._lock:
            if self._progress is not None and words != self._said:
                self._progress.write(f"\r\x1b[K{words[: self._width - 1]}")
                self._progress.flush()
                self._said = words

    def clear(self) -> None:
        """Take that line away."""
        with self._lock:
            self._clear()

    def _clear(self) -> None:
        if self._progress is not None and self._said:
            self._progress.write("\r\x1b[K")
            self._progress.flush()
            self._said = ""

    def show(self, findings: Sequence[Finding]) -> None:
        """Write findings under the heading of their area."""
        with self._lock:
            self._clear()
            for finding in findings:
                if finding.area is not self._area:
                    self._area = finding.area
                    self._line(self._painted(finding.area.value, "1"))
                self._line(self._entry(finding))
            self._out.flush()

    def close(self, counts: dict[str, int]) -> None:
        """Write what it came to."""
        self._line("")
        parts = [f"{counts['wrong']} wrong", f"{counts['warnings']} to be known", f"{counts['ok']} ok"]
        if counts["skipped"]:
            parts.append(f"{counts['skipped']} not looked at")
        worst = State.WRONG if counts["wrong"] else State.WARNING if counts["warnings"] else State.OK
        self._line(self._painted(", ".join(parts), COLOURS[worst]))

    def _entry(self, finding: Finding) -> str:
        word = f"{WORDS[finding.state]:{STATE_COLUMNS}}"
        indent = " " * (2 + STATE_COLUMNS)
        if len(finding.subject) < SUBJECT_COLUMNS:
            lines = _wrapped(finding.found, self._width, indent + " " * SUBJECT_COLUMNS)
            lines[0] = f"{indent}{finding.subject:{SUBJECT_COLUMNS}}{lines[0].lstrip()}"
        else:
            lines = [f"{indent}{finding.subject}", *_wrapped(finding.found, self._width, indent)]
        lines[0] = f"  {self._painted(word, COLOURS[finding.state])}{lines[0].removeprefix(indent)}"
        if finding.remedy:
            lines += _wrapped(f"→ {finding.remedy}", self._width, indent, further="  ")
        return "\n".join(lines)

    def _painted(self, words: str, colour: str) -> str:
        return f"\x1b[{colour}m{words}\x1b[0m" if self._colour else words

    def _line(self, text: str) -> None:
        self._out.write(f"{text}\n")


def summary(findings: Sequence[Finding]) -> dict[str, int]:
    """Return how many findings there are of each state."""
    counted = dict(count(findings))
    return {
        "wrong": counted[State.WRONG],
        "warnings": counted[State.WARNING],
        "ok": counted[State.OK],
        "skipped": counted[State.SKIPPED],
    }


def _wrapped(text: str, width: int, indent: str, *, further: str = "") -> list[str]:
    # what is to be copied stays whole, also where it is longer than the line
    whole = WHOLE.sub(lambda found: found[0].replace(" ", BLANK), text)
    lines = textwrap.wrap(
        whole,
        width,
        initial_indent=indent,
        subsequent_indent=indent + further,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(BLANK, " ") for line in lines]
