"""Many trips on one page: the worst first, their sums, and for a sweep what each value of a key came to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from agent.config import Config
from agent.errors import FourPartError, UsageError
from agent.replay.runner import SUMMARY_FILE
from agent.report.documents import OfMany, OfSweep, read_document
from agent.report.page import severity_mark, whole_page
from agent.report.text import escaped, plain
from agent.report.trip import Trip, is_trip
from agent.report.words import count_of, date, duration, moment, name_of, percent, size
from agent.report.writing import REPORT_FILE, Findings, put, write_findings

SWEEP_FILE = "sweep.json"
DEEPEST = 4
MOST_LINKS = 20  # in one row of a sweep


@dataclass(frozen=True, slots=True)
class _Line:
    """One trip on the page of many."""

    folder: str
    trip: Trip
    story: str


def trips_below(folder: Path) -> list[Path]:
    """Return the folders below one that hold a trip each, in the order of their names."""
    found: list[Path] = []

    def look(here: Path, depth: int) -> None:
        for one in sorted(path for path in here.iterdir() if path.is_dir() and not path.is_symlink()):
            if is_trip(one):
                found.append(one)
            elif depth < DEEPEST:
                look(one, depth + 1)

    look(folder, 1)
    return found


def write_overview(
    out: Path,
    *,
    config: Config | None = None,
    pdf: bool = False,
    on_trip: Callable[[str], None] = lambda _: None,
) -> Path:
    """Write a report into each trip's folder below `out`, and one of all of them into `out`; return that.

    Each is shown as it was replayed, under its own limits; ``config`` is for folders that do not say how
    that was. A trip that cannot be read is told of on the page, and the rest goes on. Raises UsageError where
    there is none.
    """
    folders = trips_below(out)
    if not folders:
        raise UsageError(
            f"reading the trips below {out}",
            got="no folder with a records.jsonl and a summary.json" if out.is_dir() else "no such folder",
            expected="what `cargobox replay LOG... --out DIR` wrote",
            remedy="Replay the logs first, or correct the path.",
        )
    if pdf:
        import agent.report.pdf  # noqa: F401  # before anything is written: the extra may be missing
    lines: list[_Line] = []
    failed: dict[str, str] = {}
    for folder in folders:
        name = folder.relative_to(out).as_posix()
        on_trip(name)
        try:
            found: Findings = write_findings(folder, config=config, pdf=pdf)
        except FourPartError as error:
            failed[name] = str(error)
            continue
        lines.append(_Line(name, found.trip, found.story))
    summary = read_document(out / SUMMARY_FILE, OfMany) if (out / SUMMARY_FILE).is_file() else {}
    failed |= summary.get("failed") or {}
    sweep = read_document(out / SWEEP_FILE, OfSweep) if (out / SWEEP_FILE).is_file() else {}
    put(out / REPORT_FILE, _page(out, lines, failed, sweep).encode())
    return out / REPORT_FILE


def _page(out: Path, lines: Sequence[_Line], failed: Mapping[str, str], sweep: Mapping[str, Any]) -> str:
    body = "\n".join(
        part
        for part in (_head(out, lines, sweep), _sweep(sweep, lines), _trips(lines), _failed(failed))
        if part
    )
    return whole_page(f"{len(lines)} trips", body + "</main>", None, ("page.css",), ("overview.js",))


def _head(out: Path, lines: Sequence[_Line], sweep: Mapping[str, Any]) -> str:
    trips = [line.trip for line in lines]
    counts: Counter[str] = Counter(event.type for trip in trips for event in trip.events)
    raw, sent = (sum(trip.summary.get(key, 0) for trip in trips) for key in ("raw_bytes", "published_bytes"))
    worst = sum(trip.worst >= 3 for trip in trips)
    said = ", ".join(count_of(kind, count) for kind, count in counts.most_common(4)) or "nothing happened"
    all_s = sum(trip.duration_s for trip in trips)
    what = (
        f"{len(lines)} replays of a sweep" if sweep else f"{len(lines)} trip{'' if len(lines) == 1 else 's'}"
    )
    cards = (
        ("Together", duration(all_s), f"{what}"),
        ("Major or critical", str(worst), "trips with such an event"),
        ("Events", f"{sum(counts.values()):,}", said),
        ("Uploaded", percent(sent / raw) if raw else "–", f"{size(sent)} of {size(raw)}"),
        ("Gaps", f"{sum(len(trip.gaps) for trip in trips):,}", "in all"),
    )
    shown = "".join(
        f"<div class='card'><dt>{escaped(a)}</dt><dd>{escaped(b)}<small>{escaped(c)}</small></dd></div>"
        for a, b, c in cards
    )
    story = f"{what.capitalize()}, {duration(all_s)}: {worst} with something major or critical; {said}."
    return f"""<header><p class="eyebrow">{"Sweep" if sweep else "Trips"} in {escaped(out.resolve().name)}</p>
<h1 id="main" tabindex="-1">{escaped(story)}</h1><dl class="cards">{shown}</dl></header><main>"""


def _header(name: str, *, number: bool = False, sort: str = "") -> str:
    return (
        f'<th{" class=number" if number else ""}{f" aria-sort={sort}" if sort else ""} scope="col">'
        f'<button type="button" class="sort">{escaped(name)}</button></th>'
    )


def _trips(lines: Sequence[_Line]) -> str:
    def rank(line: _Line) -> tuple[int, int, int]:
        grave = sum(event.severity == line.trip.worst for event in line.trip.events)
        return -line.trip.worst, -grave, -len(line.trip.events)

    rows = "".join(_trip_row(line) for line in sorted(lines, key=rank))
    return f"""<section aria-labelledby="h-trips"><h2 id="h-trips">Trips, the worst first</h2>
<table class="stack sortable"><thead><tr>{_header("Trip")}{_header("Worst", sort="descending")}
{_header("Events", number=True)}{_header("Began (UTC)")}{_header("Lasted", number=True)}
{_header("Uploaded", number=True)}{_header("Gaps", number=True)}<th scope="col">Story</th></tr></thead>
<tbody>{rows}</tbody></table></section>"""


def _trip_row(line: _Line) -> str:
    trip = line.trip
    raw = trip.summary.get("raw_bytes", 0)
    ratio = trip.summary.get("published_bytes", 0) / raw if raw else 0.0
    began = f"{date(trip.start_s)}, {moment(trip.start_s, seconds=False)}" if trip.has_dates else "not known"
    href = quote(f"{line.folder}/{REPORT_FILE}")
    return (
        f'<tr><td data-label="Trip"><a href="{escaped(href)}">{escaped(line.folder)}</a></td>'
        f'<td data-label="Worst" data-sort="{trip.worst}">{severity_mark(trip.worst)}</td>'
        f'<td data-label="Events" class="number" data-sort="{len(trip.events)}">{len(trip.events):,}</td>'
        f'<td data-label="Began" data-sort="{trip.start_s}">{escaped(began)}</td>'
        f'<td data-label="Lasted" class="number" data-sort="{trip.duration_s}">'
        f"{duration(trip.duration_s)}</td>"
        f'<td data-label="Uploaded" class="number" data-sort="{ratio}">{percent(ratio)}</td>'
        f'<td data-label="Gaps" class="number" data-sort="{len(trip.gaps)}">{len(trip.gaps):,}</td>'
        f'<td data-label="Story" class="figures">{escaped(line.story)}</td></tr>'
    )


def _failed(failed: Mapping[str, str]) -> str:
    if not failed:
        return ""
    items = "".join(f"<li><b>{escaped(log)}</b>: {escaped(why)}</li>" for log, why in failed.items())
    return f"""<section aria-labelledby="h-failed"><h2 id="h-failed">Could not be read, or not wholly</h2>
<ul>{items}</ul></section>"""


def _sweep(sweep: Mapping[str, Any], lines: Sequence[_Line]) -> str:
    """Return the table of a sweep: a row a combination of values, a column a type of event."""
    rows = sweep.get("combinations", ())
    names = [line.folder for line in lines]
    if not rows:
        return ""
    keys = [str(key) for key in sweep.get("keys", ())]
    kinds = sorted({str(kind) for row in rows for kind in row.get("events") or ()})
    head = "".join(_header(plain(key)) for key in keys)
    head += "".join(_header(name_of(kind), number=True) for kind in kinds)
    head += _header("Uploaded", number=True) + _header("Gaps", number=True) + '<th scope="col">Replay</th>'
    body = "".join(_sweep_row(row, keys, kinds, names) for row in rows)
    return f"""<section aria-labelledby="h-sweep"><h2 id="h-sweep">Sweep</h2>
<p>How many events of each type there are, by the value of {escaped(" and ".join(keys))}.</p>
<table class="stack sortable"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></section>"""


def _sweep_row(
    row: Mapping[str, Any], keys: Sequence[str], kinds: Sequence[str], names: Sequence[str]
) -> str:
    values, events = dict(row.get("values") or {}), dict(row.get("events") or {})
    cells = "".join(
        f'<td data-label="{escaped(key)}" data-sort="{escaped(values.get(key, ""))}">'
        f"<b>{escaped(values.get(key, ''))}</b></td>"
        for key in keys
    )
    cells += "".join(
        f'<td data-label="{escaped(name_of(kind))}" class="number">{int(events.get(kind, 0))}</td>'
        for kind in kinds
    )
    ratio = float(row.get("upload_ratio") or 0.0)
    cells += f'<td data-label="Uploaded" class="number" data-sort="{ratio}">{percent(ratio)}</td>'
    cells += f'<td data-label="Gaps" class="number">{int(row.get("gaps") or 0)}</td>'
    folder = str(row.get("folder") or "")
    below = [name for name in names if name == folder or name.startswith(f"{folder}/")]
    links = [
        f'<a href="{escaped(quote(f"{name}/{REPORT_FILE}"))}">{escaped(name.removeprefix(f"{folder}/"))}</a>'
        for name in below[:MOST_LINKS]
    ]
    if len(below) > MOST_LINKS:
        links.append(f"{len(below) - MOST_LINKS} more in the table below")
    where = ", ".join(links) or escaped(folder)
    failed = len(row.get("failed") or ())
    return f'<tr>{cells}<td data-label="Replay">{where}{f", {failed} failed" if failed else ""}</td></tr>'
