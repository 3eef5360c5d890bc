"""Settings changed on the command line, one by one or over a grid, and the table that comes of it.

--set detect.shock.peak_mps2=60
--sweep detect.shock.peak_mps2=40:80:10 --sweep detect.bump.level_mps2=8,9  ──►  ten combinations
"""

from __future__ import annotations

import csv
import itertools
import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from agent.errors import UsageError
from agent.replay.totals import Totals, together

SWEEP_JSON = "sweep.json"
SWEEP_CSV = "sweep.csv"
MOST_COMBINATIONS = 10_000
LONGEST_NAME = 120  # of a folder; file systems take 255 bytes
ROWS_SHOWN = 60

_NUMBER = r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER}):({_NUMBER}):({_NUMBER})$")


@dataclass(frozen=True, slots=True)
class Combination:
    """One point of the grid: the folder of its results, and what it sets."""

    folder: Path
    values: Mapping[str, Any]


def parse_settings(options: Sequence[str]) -> dict[str, Any]:
    """Read ``KEY=VALUE`` of ``--set``. Raises UsageError."""
    return {key: _value(text) for key, text in (_split(option, "--set") for option in options)}


def combinations(options: Sequence[str]) -> tuple[Combination, ...]:
    """Return the grid that ``KEY=v1,v2`` and ``KEY=from:to:step`` of ``--sweep`` span. Raises UsageError."""
    axes: dict[str, list[Any]] = {}
    for option in options:
        key, text = _split(option, "--sweep")
        if key in axes:
            raise UsageError(
                "reading --sweep",
                got=f"{key} twice",
                expected="each key once",
                remedy="Give all its values in one --sweep, with commas between them.",
            )
        axes[key] = _values(key, text)
    count = 1
    for values in axes.values():
        count *= len(values)
    if count > MOST_COMBINATIONS:
        raise UsageError(
            "reading --sweep",
            got=f"{count:,} combinations",
            expected=f"at most {MOST_COMBINATIONS:,}",
            remedy="Take fewer values, or sweep one key after the other.",
        )
    tails = Counter(key.rpartition(".")[2] for key in axes)
    taken: Counter[str] = Counter()
    grid = []
    for point in itertools.product(*axes.values()):
        setting = dict(zip(axes, point, strict=True))
        name = ",".join(f"{_short(key, tails)}={_shown(value)}" for key, value in setting.items())
        name = re.sub(r"[^\w.,=+-]", "_", name)[:LONGEST_NAME]
        taken[name] += 1
        grid.append(Combination(Path(name if taken[name] == 1 else f"{name}-{taken[name]}"), setting))
    return tuple(grid)


def _split(option: str, what: str) -> tuple[str, str]:
    key, sign, text = option.partition("=")
    key = key.strip()
    if not sign or not text.strip() or not all(key.split(".")):
        raise UsageError(
            f"reading {what}",
            got=repr(option),
            expected="KEY=VALUE, as detect.shock.peak_mps2=60",
            remedy="docs/operators.md lists the keys; the table and the key have a dot between them.",
        )
    return key, text.strip()


def _value(text: str) -> Any:
    """Return what TOML reads in `text`; what it cannot read is a word."""
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        return text


def _values(key: str, text: str) -> list[Any]:
    if stretch := _RANGE.match(text):
        return list(_stretch(key, *(Decimal(number) for number in stretch.groups())))
    try:
        found = tomllib.loads(f"v = [{text}]")["v"]
    except tomllib.TOMLDecodeError:
        found = [_value(part.strip()) for part in text.split(",")]
    if not found or "" in found:
        raise UsageError(
            "reading --sweep",
            got=f"{key}={text}",
            expected="values with commas between them, or from:to:step",
            remedy=f"For instance {key}=10,15,20 or {key}=10:20:5.",
        )
    return list(found)


def _stretch(key: str, low: Decimal, high: Decimal, step: Decimal) -> Iterator[int | float]:
    """Yield from `low` to `high`, both of them, in decimals, so that 0.1 three times is 0.3."""
    if not step or (high - low) / step < 0 or (high - low) / step >= MOST_COMBINATIONS:
        raise UsageError(
            "reading --sweep",
            got=f"{key}={low}:{high}:{step}",
            expected=f"a step that leads from the first to the last in at most {MOST_COMBINATIONS:,}",
            remedy=f"For instance {key}=10:20:5, or {key}=20:10:-5.",
        )
    whole = all(number == number.to_integral_value() for number in (low, step))
    for k in range(int((high - low) / step) + 1):
        value = low + k * step
        yield int(value) if whole else float(value)


def _short(key: str, tails: Mapping[str, int]) -> str:
    tail = key.rpartition(".")[2]
    return tail if tails[tail] == 1 else key


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


# -- the table ---------------------------------------------------------------------------------------


def document(points: Sequence[tuple[Combination, Totals]]) -> dict[str, Any]:
    """Return what ``sweep.json`` says."""
    return {
        "keys": list(points[0][0].values) if points else [],
        "combinations": [
            {
                "folder": str(combination.folder),
                "values": dict(combination.values),
                **_figures(together(totals)),
                "failed": sorted(totals.failed),
                "logs": {name: _figures(summary) for name, summary in totals.done.items()},
            }
            for combination, totals in points
        ],
    }


def _figures(summary: Mapping[str, Any]) -> dict[str, Any]:
    names = ("events", "upload_ratio", "published_bytes", "raw_bytes", "gaps", "missing_samples")
    return {name: summary[name] for name in names}


def rows(told: Mapping[str, Any], *, each_log: bool = True) -> list[dict[str, Any]]:
    """Return the table as rows: one for all logs of a combination (``log`` is empty), one for each log."""
    found = told["combinations"]
    kinds = sorted({kind for one in found for kind in one["events"]})

    def row(one: Mapping[str, Any], log: str, figures: Mapping[str, Any], failed: int) -> dict[str, Any]:
        events = figures["events"]
        return {
            **{key: _shown(value) for key, value in one["values"].items()},
            "log": log,
            "events": sum(events.values()),
            **{kind: events.get(kind, 0) for kind in kinds},
            "upload_ratio": figures["upload_ratio"],
            "gaps": figures["gaps"],
            "missing_samples": figures["missing_samples"],
            "failed": failed,
        }

    table = []
    for one in found:
        table.append(row(one, "", one, len(one["failed"])))
        if each_log:
            table += [
                row(one, log, figures, int(log in one["failed"])) for log, figures in one["logs"].items()
            ]
    return table


def write_csv(path: Path, table: Sequence[Mapping[str, Any]]) -> None:
    """Write the rows as ``sweep.csv``."""
    part = path.with_name(f"{path.name}.part")
    with part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    part.replace(path)


def in_words(told: Mapping[str, Any]) -> str:
    """Return the table for people: with a row for each log where it is not too long for that."""
    table = rows(told)
    short = len(table) <= ROWS_SHOWN
    if not short or all(len(one["logs"]) <= 1 for one in told["combinations"]):
        table = rows(told, each_log=False)
    keys = told["keys"]
    tails = Counter(key.rpartition(".")[2] for key in keys)
    head = {name: _short(name, tails) if name in keys else name for name in table[0]}
    lines = [head, *({**row, "log": row["log"] or "all"} for row in table)]
    cells = [[str(line[name]) for name in head] for line in lines]
    widths = [max(len(row[k]) for row in cells) for k in range(len(head))]
    left = len(keys) + 1
    text = [
        "  ".join(
            cell.ljust(width) if k < left else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
    if not short:
        text.append(f"{SWEEP_CSV} has a row for each log as well")
    return "\n".join(text)
