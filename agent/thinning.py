"""Thinning: records of features that wait, into fewer with longer windows, column by column.

What a record tells is rendered: rounded numbers a window, without the sums that they came from. So windows
count alike, and each column has its own rule (`RULES`): a mean is the mean of means; r.m.s. the quadratic
mean, about the means of the windows that were; peaks, crests, swings and jerks the largest of them; an
uncertainty the largest; a mean kinetic temperature by the ageing that it stands for. A column without a rule
is left out and named in ``left_out``. A level of a spectrum is that of the mean power.

The record that comes out carries the number of the last one that it replaces, and in ``seqs`` those of all.
Pure: documents in, documents out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from agent.records import Document

REASON = "outbox_full"
COARSER = {1: 10, 10: 60}
"""What windows of so many seconds become; longer ones stay as they are."""
MOST_ROWS = 60
"""In a record that was thinned."""
MOST_APART = 0.1
"""Of a window, by which the rows of two records may miss the same grid: clocks are corrected."""

Cells = list[Any]
_Rule = Callable[[Sequence[float]], float]

# ΔH/R of agent.features.kinetic
_ACTIVATION_K = 83_144.0 / 8.314462618
_ZERO_DEGC_K, _REFERENCE_K = 273.15, 298.15


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _quadratic(values: Sequence[float]) -> float:
    return math.sqrt(math.fsum(v * v for v in values) / len(values))


def _kinetic(values: Sequence[float]) -> float:
    ageing = _mean([math.exp(_ACTIVATION_K * (1 / _REFERENCE_K - 1 / (v + _ZERO_DEGC_K))) for v in values])
    return 1 / (1 / _REFERENCE_K - math.log(ageing) / _ACTIVATION_K) - _ZERO_DEGC_K


RULES: tuple[tuple[re.Pattern[str], _Rule], ...] = tuple(
    (re.compile(rf".+{end}"), rule)
    for end, rule in (
        (r"_rms_[a-z0-9]+", _quadratic),
        (r"_slosh_[a-z0-9]+", _quadratic),
        (r"_peak_[a-z0-9]+", max),
        (r"_crest", max),
        (r"_jerk_mps3", max),
        (r"_swing_pa", max),
        (r"_min_v", min),
        (r"_mean_[a-z0-9]+", _mean),
        (r"_mass_u95_kg", max),
        (r"_(total|mass)_kg", _mean),
        (r"_centre_(right|front)", _mean),
        (r"_closed", _mean),
        (r"_kinetic_degc", _kinetic),
        (r"_(degc|percent|pa)", _mean),
    )
)
"""By the end of a column's name, the first that fits: streams of the configuration have their own."""

_OWN = {"seq", "seqs", "t", "trust", "window_s", "coarsened", "left_out", "start", "n", "at"}
_OWN |= {"columns", "spectrum_db"}  # the other keys are what records must share
_WORST = ("", "trusted", "degraded", "not trusted")


def rule_of(column: str) -> _Rule | None:
    """Return how the cells of a column become one; None where that is not known."""
    return next((rule for name, rule in RULES if name.fullmatch(column)), None)


def runs_of(numbers: Iterable[int]) -> list[list[int]]:
    """Return numbers as runs [first, last], ascending."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and runs[-1][1] + 1 == number:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return runs


def joined_runs(runs: Iterable[Sequence[int]]) -> list[list[int]]:
    """Return runs [first, last] with those that touch or overlap made one, ascending."""
    joined: list[list[int]] = []
    for first, last in sorted((run[0], run[1]) for run in runs):
        if joined and first <= joined[-1][1] + 1:
            joined[-1][1] = max(joined[-1][1], last)
        else:
            joined.append([first, last])
    return joined


def seqs_of(document: Document) -> list[list[int]]:
    """Return the numbers of the records that this one stands for, as runs."""
    own = document["seq"]
    return joined_runs([*document.get("seqs", []), [own, own]])


def can_be_thinned(document: Document) -> bool:
    """Tell whether its windows can become longer."""
    return (
        document.get("window_s") in COARSER
        and isinstance(document.get("columns"), dict)
        and isinstance(document.get("n"), int)
    )


def groups(documents: Sequence[Document]) -> list[list[int]]:
    """Return which documents, by their places in the order of `seq`, become one record each."""
    found: list[list[int]] = []
    for i, document in enumerate(documents):
        group = found[-1] if found else []
        if group and _goes_on(documents[group[0]], documents[group[-1]], document):
            group.append(i)
        else:
            found.append([i])
    return found


def thinned(documents: Sequence[Document]) -> Document:
    """Return one record, of windows a step longer, in place of a group of them."""
    first, last = documents[0], documents[-1]
    window_s: int = first["window_s"]
    step = COARSER[window_s] // window_s
    rows = [row for document in documents for row in _rows(first, document)]
    bins = sorted({row // step for row in rows})
    place = {number: i for i, number in enumerate(bins)}
    into = [place[row // step] for row in rows]
    columns, left_out = _columns(documents, into, len(bins))
    out = dict(last)
    out["seqs"] = joined_runs(run for document in documents for run in seqs_of(document))
    if "trust" in first:
        out["trust"] = max((d.get("trust", "") for d in documents), key=_WORST.index)
    out |= {"window_s": COARSER[window_s], "coarsened": REASON, "start": first["start"], "n": len(bins)}
    out.pop("at", None)
    if bins[-1] - bins[0] != len(bins) - 1:
        out["at"] = [number - bins[0] for number in bins]
    out["columns"] = columns
    left_out |= {name for document in documents for name in document.get("left_out", [])}
    if left_out:
        out["left_out"] = sorted(left_out)
    if spectra := _spectra(documents):
        out["spectrum_db"] = spectra
    return out


def _goes_on(first: Document, before: Document, after: Document) -> bool:
    shared = {k: v for k, v in first.items() if k not in _OWN}
    if shared != {k: v for k, v in after.items() if k not in _OWN}:
        return False
    if first["window_s"] != after["window_s"] or ("trust" in first) != ("trust" in after):
        return False
    away = _windows_between(first, after)
    number = round(away)
    if abs(away - number) > MOST_APART or number <= _rows(first, before)[-1]:
        return False
    window_s: int = first["window_s"]
    step = COARSER[window_s] // window_s
    return (number + _at(after)[-1]) // step < MOST_ROWS


def _at(document: Document) -> list[int]:
    at: list[int] | None = document.get("at")
    return at or list(range(document["n"]))


def _rows(first: Document, document: Document) -> list[int]:
    """Return which window each row is, counted from the first of the group."""
    begin = round(_windows_between(first, document))
    return [begin + at for at in _at(document)]


def _windows_between(first: Document, document: Document) -> float:
    window_us = 1e6 * int(first["window_s"])
    return (_time_us(document["start"]) - _time_us(first["start"])) / window_us


def _time_us(text: str) -> int:
    since = datetime.fromisoformat(text).astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _columns(documents: Sequence[Document], into: list[int], count: int) -> tuple[dict[str, Any], set[str]]:
    names = list(dict.fromkeys(name for d in documents for name in d["columns"]))
    columns: dict[str, Any] = {}
    left_out: set[str] = set()
    for name in names:
        rule = rule_of(name)
        parts = [d["columns"].get(name) for d in documents]
        if rule is None or len({isinstance(part, dict) for part in parts if part is not None}) > 1:
            left_out.add(name)
        elif any(isinstance(part, dict) for part in parts):
            axes = list(dict.fromkeys(axis for part in parts if part for axis in part))
            columns[name] = {
                axis: _merged(
                    _long(documents, [part and part.get(axis) for part in parts]), into, count, rule
                )
                for axis in axes
            }
        else:
            columns[name] = _merged(_long(documents, parts), into, count, rule)
    return columns, left_out


def _long(documents: Sequence[Document], parts: Sequence[Cells | None]) -> Cells:
    cells: Cells = []
    for document, part in zip(documents, parts, strict=True):
        cells += part if part is not None else [None] * document["n"]
    return cells


def _merged(cells: Cells, into: list[int], count: int, rule: _Rule) -> Cells:
    known: list[list[float]] = [[] for _ in range(count)]
    for cell, row in zip(cells, into, strict=True):
        if cell is not None:
            known[row].append(cell)
    decimals = _decimals(cells)
    return [_told(rule(values), decimals) if values else None for values in known]


def _decimals(cells: Cells) -> int:
    """Return to how many decimals a column is told: as many as its finest number has."""
    return max((len(repr(c).partition(".")[2]) for c in cells if isinstance(c, float)), default=0)


def _told(value: float, decimals: int) -> float | int:
    return round(value, decimals) + 0.0 if decimals else round(value)


def _spectra(documents: Sequence[Document]) -> dict[str, Any]:
    told = [(d["spectrum_db"], int(d["n"])) for d in documents if d.get("spectrum_db")]
    out: dict[str, Any] = {}
    for stream in dict.fromkeys(name for spectrum, _ in told for name in spectrum):
        axes = dict.fromkeys(axis for spectrum, _ in told for axis in spectrum.get(stream, {}))
        out[stream] = {axis: _bands([(s.get(stream, {}).get(axis, []), n) for s, n in told]) for axis in axes}
    return out


def _bands(told: Sequence[tuple[Cells, int]]) -> Cells:
    count = max(len(levels) for levels, _ in told)
    cells: Cells = []
    for band in range(count):
        known = [(levels[band], n) for levels, n in told if band < len(levels) and levels[band] is not None]
        weight = sum(n for _, n in known)
        powers = math.fsum(n * 10 ** (level / 10) for level, n in known)
        cells.append(round(10 * math.log10(powers / weight), 1) if weight else None)
    return cells
