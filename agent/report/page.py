"""The page of one trip: one HTML file that needs nothing else, neither network nor another file.

Its words and tables are in the markup, so they can be read, searched and printed without a script; the script
draws the timeline and the incidents. The policy in its head lets nothing run or load but what is in the file
(Content Security Policy Level 3: hashes).
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from agent.report.text import embedded, escaped
from agent.report.trip import Event, Trip
from agent.report.words import (
    CONTEXTS,
    REASONS,
    SEVERITIES,
    clock,
    clock_words,
    date,
    duration,
    facts,
    headline,
    moment,
    name_of,
    percent,
    size,
)

if TYPE_CHECKING:
    from agent.report.climate import TemperatureRecord
    from agent.report.writing import Findings

MOST_EVENTS = 400
MOST_GAPS = 200
KINDS = {
    "alarm": "alarms",
    "event": "lesser events, and how events went on",
    "features": "features: levels, load, climate",
    "snippet": "raw samples around events",
    "gap": "what is missing",
    "health": "how the box does",
}


def page_of(found: Findings, document: dict[str, Any]) -> str:
    """Return the page of a trip."""
    trip = found.trip
    title = f"Trip of {trip.box}, {date(trip.start_s)}" if trip.has_dates else f"Trip of {trip.box}"
    body = "\n".join(
        (
            _header(found),
            _timeline(found),
            _incidents(trip),
            _climate(trip, found.temperatures),
            _budget(trip),
            _gaps(found),
            _calibration(found),
            _about(found),
        )
    )
    return whole_page(title, body, document, ("vendor/uplot.css", "page.css"), ("vendor/uplot.js", "page.js"))


def whole_page(
    title: str, body: str, document: dict[str, Any] | None, styles: Sequence[str], scripts: Sequence[str]
) -> str:
    """Return a page with its own styles and scripts inside, and a policy that allows nothing else."""
    style, script = ("\n".join(asset(name) for name in names) for names in (styles, scripts))
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    data = f'<script type="application/json" id="data">{embedded(document)}</script>' if document else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>{escaped(title)}</title>
<style>{style}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the story</a>
{body}
{data}
<script>{script}</script>
</body>
</html>
"""


def asset(name: str) -> str:
    """Return a file of this package."""
    return files("agent.report").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _header(found: Findings) -> str:
    trip = found.trip
    cards = [("Duration", duration(trip.duration_s), _span(trip))]
    counts = Counter(event.severity for event in trip.events)
    grave = ", ".join(f"{counts[s]} {SEVERITIES[s]}" for s in (4, 3, 2, 1) if counts[s]) or "nothing happened"
    cards.append(("Events", str(len(trip.events)), grave))
    for record in found.temperatures[:1]:
        out = (
            "no band was given"
            if not record.has_band
            else (
                f"within {record.band_words}"
                if not record.out_s
                else f"{duration(record.out_s)} outside {record.band_words}"
            )
        )
        out += f"; {record.covers}" if record.covers else ""
        cards.append(("Temperature", f"{record.least_degc:.1f} to {record.most_degc:.1f} °C", out))
    raw, sent = trip.summary.get("raw_bytes", 0), trip.summary.get("published_bytes", 0)
    cards.append(("Uploaded", percent(sent / raw) if raw else "–", f"{size(sent)} of {size(raw)}"))
    none = "temperature apart" if _is_broken(found) else "none missing"
    missing = int(trip.summary.get("missing_samples", sum(gap.samples for gap in trip.gaps)))
    cards.append(("Gaps", str(len(trip.gaps)), f"{missing:,} samples missing" if missing else none))
    shown = "".join(
        f"<div class='card'><dt>{escaped(name)}</dt>"
        f"<dd>{escaped(value)}<small>{escaped(more)}</small></dd></div>"
        for name, value, more in cards
    )
    boot = f" · start {escaped(trip.boot[:8])}" if trip.boot else ""
    return f"""<header>
<p class="eyebrow">Trip report · box <b>{escaped(trip.box or "unnamed")}</b>{boot}</p>
<h1 id="main" tabindex="-1">{escaped(found.story)}</h1>
<dl class="cards">{shown}</dl>
</header>"""


def _span(trip: Trip) -> str:
    if not trip.has_dates:
        return "time of day not known"
    about = "about " if trip.within_s > 1 else ""
    if date(trip.start_s) == date(trip.end_s):
        return f"{about}{moment(trip.start_s)} to {moment(trip.end_s)} UTC"
    return (
        f"{date(trip.start_s)}, {moment(trip.start_s, seconds=False)} to "
        f"{date(trip.end_s)}, {moment(trip.end_s, seconds=False)} UTC"
    )


def _timeline(found: Findings) -> str:
    kinds = sorted({event.type for event in found.trip.events})
    chips = "".join(
        f'<label class="chip"><input type="checkbox" name="kind" value="{escaped(kind)}" checked> '
        f"{escaped(name_of(kind))}</label>"
        for kind in kinds
    )
    filters = f"""<fieldset class="filters screen"><legend>Show events</legend>
<label>from severity <select id="least"><option value="1">minor</option><option value="2">general</option>
<option value="3">major</option><option value="4">critical</option></select></label>{chips}</fieldset>"""
    notes = "".join(f"<p class='note'>{escaped(note)}</p>" for note in found.notes)
    return f"""<main>
<section aria-labelledby="h-timeline">
<h2 id="h-timeline">Timeline</h2>
{filters if kinds else ""}
<div class="tools screen" role="group" aria-label="Zoom">
<button type="button" id="zoom-in" aria-label="Zoom in">+</button>
<button type="button" id="zoom-out" aria-label="Zoom out">−</button>
<button type="button" id="zoom-left" aria-label="Earlier">←</button>
<button type="button" id="zoom-right" aria-label="Later">→</button>
<button type="button" id="zoom-all">Whole trip</button>
<output id="span" aria-live="polite"></output>
</div>
<div id="charts" tabindex="0" role="group"
 aria-label="Timeline charts. Arrow keys move, plus and minus zoom, 0 shows the whole trip."></div>
<p class="hint screen">Drag to zoom, Shift and drag to move, double-click for the whole trip; two fingers on a
touch screen; keys <kbd>←</kbd> <kbd>→</kbd> <kbd>+</kbd> <kbd>−</kbd> <kbd>0</kbd>. A click on an event opens
it.</p>
<noscript><p class="note">The lines need JavaScript, which is switched off; all else is below.</p></noscript>
{notes}
</section>"""


def _incidents(trip: Trip) -> str:
    if not trip.events:
        return "<section><h2>Events</h2><p>Nothing happened that the box was told to watch for.</p></section>"
    shown = sorted(trip.events, key=lambda event: -event.severity)[:MOST_EVENTS]
    kept = {event.id for event in shown}
    rows = "".join(_row(trip, i, event) for i, event in enumerate(trip.events) if event.id in kept)
    left = len(trip.events) - len(shown)
    more = (
        f"<p class='note'>{left} lesser events are not in this table; the timeline has them.</p>"
        if left
        else ""
    )
    return f"""<section aria-labelledby="h-incident" id="incident">
<h2 id="h-incident">Incident</h2>
<div class="tools screen"><button type="button" id="previous">← Previous</button>
<button type="button" id="next">Next →</button>
<button type="button" id="locate">Show in the timeline</button>
<span id="position"></span>
<span class="hint">keys <kbd>p</kbd> and <kbd>n</kbd></span></div>
<div id="viewer" aria-live="polite"><p>Choose one in the timeline or in the table.</p></div>
</section>
<section aria-labelledby="h-events">
<h2 id="h-events">Events</h2>
<table class="events stack"><thead><tr><th>{clock_words(trip)}</th><th>What</th><th>Severity</th>
<th>Lasted</th><th>Figures</th></tr></thead><tbody>{rows}</tbody></table>{more}
</section>"""


def _row(trip: Trip, index: int, event: Event) -> str:
    figures = "; ".join(f"{label} {value}" for label, value in facts(event))
    if event.context in CONTEXTS:
        figures += f"; {CONTEXTS[event.context]}"
    if event.trust and event.trust != "trusted":
        figures += f" (figures {event.trust})"
    lasted = "not over" if event.end_s is None else duration(event.end_s - event.start_s)
    how = headline(event)
    return (
        f'<tr data-event="{index}" data-kind="{escaped(event.type)}" data-severity="{event.severity}">'
        f'<td data-label="Time">{clock(trip, event.start_s)}</td>'
        f'<td data-label="What"><span><button type="button" class="open" data-open="{index}">'
        f"{escaped(name_of(event.type))}</button> {escaped(how)}</span></td>"
        f'<td data-label="Severity">{severity_mark(event.severity)}</td>'
        f'<td data-label="Lasted" class="short">{escaped(lasted)}</td>'
        f'<td data-label="Figures" class="figures">{escaped(figures)}</td></tr>'
    )


def severity_mark(severity: int) -> str:
    """Return a severity as a word with a sign of its own: never by colour alone."""
    sign = {1: "○", 2: "■", 3: "▲", 4: "◆"}.get(severity, "")
    word = SEVERITIES.get(severity, "none")
    return f'<span class="severity s{severity}"><span aria-hidden="true">{sign}</span> {word}</span>'


def _climate(trip: Trip, records: Iterable[TemperatureRecord]) -> str:
    parts = []
    for record in records:
        facts_ = [
            ("lowest", f"{record.least_degc:.2f} °C"),
            ("highest", f"{record.most_degc:.2f} °C"),
            ("mean", f"{record.mean_degc:.2f} °C"),
            ("mean kinetic temperature", f"{record.kinetic_degc:.2f} °C"),
            ("band", record.band_words or "none was given"),
        ]
        if record.has_band:
            facts_.append(("time out of the band", duration(record.out_s) if record.out_s else "none"))
        gaps = ", ".join(f"{clock(trip, a)} to {clock(trip, b)}" for a, b in record.gaps[:20]) or "none"
        facts_.append(("recorded", record.covers.removeprefix("covers ") or "all of the trip"))
        facts_.append(("gaps in the record", gaps))
        parts.append(f"<h3>{escaped(record.stream)}</h3>{definitions(facts_)}")
    if not parts:
        return ""
    return f"""<section aria-labelledby="h-climate"><h2 id="h-climate">Temperature record</h2>{"".join(parts)}
<p class="hint">Mean kinetic temperature says how much the trip as a whole has aged the goods. It never
clears an excursion.</p></section>"""


def definitions(pairs: Iterable[tuple[str, str]]) -> str:
    """Return a list of facts."""
    rows = "".join(f"<div><dt>{escaped(name)}</dt><dd>{escaped(value)}</dd></div>" for name, value in pairs)
    return f'<dl class="facts">{rows}</dl>'


def _budget(trip: Trip) -> str:
    raw, sent = trip.summary.get("raw_bytes", 0), trip.summary.get("published_bytes", 0)
    total = sum(size_bytes for _, size_bytes in trip.sent.values()) or 1
    rows = "".join(
        f'<tr><td data-label="What">{escaped(KINDS.get(kind, kind))}</td>'
        f'<td data-label="Records" class="number">{count:,}</td>'
        f'<td data-label="Size" class="number">{size(size_bytes)}</td>'
        f'<td data-label="Share"><span><meter min="0" max="1" value="{size_bytes / total:.4f}" '
        f'aria-label="share of {escaped(kind)}"></meter> {percent(size_bytes / total)}</span></td></tr>'
        for kind, (count, size_bytes) in sorted(trip.sent.items(), key=lambda item: -item[1][1])
    )
    if not trip.sent:
        return f"""<section aria-labelledby="h-budget"><h2 id="h-budget">Data</h2>
<p>The sensors gave {size(raw)}; nothing of that went up.</p></section>"""
    how = "" if abs(total - sent) < 1 else " Sizes by kind are as JSON; the box packs some of it tighter."
    part = f" ({percent(sent / raw)})" if raw else ""
    return f"""<section aria-labelledby="h-budget"><h2 id="h-budget">Data</h2>
<p>The sensors gave {size(raw)}; {size(sent)} of that{part} went up. The rest stayed in the box.{how}</p>
<table class="stack"><thead><tr><th>What went up</th><th class="number">Records</th>
<th class="number">Size</th><th>Share</th></tr></thead><tbody>{rows}</tbody></table></section>"""


def _is_broken(found: Findings) -> bool:
    return any(record.gaps for record in found.temperatures)


def _gaps(found: Findings) -> str:
    trip = found.trip
    if not trip.gaps:
        apart = " but in the temperature record, above" if _is_broken(found) else ""
        return f"<section><h2>Gaps</h2><p>No sample is missing{apart}.</p></section>"
    by: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0, 0, 0.0])
    for gap in trip.gaps:
        row = by[gap.stream, gap.reason]
        row[0] += 1
        row[1] += gap.samples
        row[2] += gap.end_s - gap.start_s
    total = "".join(
        f'<tr><td data-label="Stream">{escaped(stream)}</td>'
        f'<td data-label="Reason">{escaped(REASONS.get(reason, reason.replace("_", " ")))}</td>'
        f'<td data-label="Gaps" class="number">{count:.0f}</td>'
        f'<td data-label="Samples" class="number">{samples:,.0f}</td>'
        f'<td data-label="Time" class="number">{duration(lost_s)}</td></tr>'
        for (stream, reason), (count, samples, lost_s) in sorted(by.items())
    )
    single = "".join(
        f"<li>{clock(trip, gap.start_s)} to {clock(trip, gap.end_s)}: {escaped(gap.stream)}, "
        f"{gap.samples:,} samples, {escaped(REASONS.get(gap.reason, gap.reason.replace('_', ' ')))}</li>"
        for gap in trip.gaps[:MOST_GAPS]
    )
    more = len(trip.gaps) - MOST_GAPS
    left = f"<p class='note'>and {more} more</p>" if more > 0 else ""
    return f"""<section aria-labelledby="h-gaps"><h2 id="h-gaps">Gaps</h2>
<table class="stack"><thead><tr><th>Stream</th><th>Reason</th><th class="number">Gaps</th>
<th class="number">Samples</th><th class="number">Time</th></tr></thead><tbody>{total}</tbody></table>
<details><summary>Each gap</summary><ul>{single}</ul>{left}</details></section>"""


def _calibration(found: Findings) -> str:
    trip = found.trip
    said = []
    certificates = found.samples.certificates if found.samples is not None else ()
    for certificate in certificates:
        until = f", valid until {certificate.valid_until}" if certificate.valid_until else ""
        sensor = f" ({certificate.sensor})" if certificate.sensor else ""
        made = f", made {certificate.made_at}" if certificate.made_at else ""
        said.append(f"{certificate.stream}: certificate {certificate.hash}{sensor}{made}{until}")
    if not said and trip.certificates:
        said = [
            f"certificate {name}: {count} records stand on it" for name, count in trip.certificates.items()
        ]
    if not said:
        return f"""<section aria-labelledby="h-cal"><h2 id="h-cal">Calibration</h2>
<p>No certificate was used: figures are the sensors' own, by their datasheets.</p>{_notes(trip)}</section>"""
    total = trip.trust.total() or 1
    told = "; ".join(f"{percent(count / total)} {state}" for state, count in trip.trust.most_common())
    doubt = "" if trip.doubted_s is None else f" First in doubt at {clock(trip, trip.doubted_s)}."
    items = "".join(f"<li>{escaped(line)}</li>" for line in said)
    return f"""<section aria-labelledby="h-cal"><h2 id="h-cal">Calibration and how far to trust it</h2>
<ul>{items}</ul><p>Of the records that stand on it: {escaped(told or "none said")}.{escaped(doubt)}</p>
{_notes(trip)}</section>"""


def _notes(trip: Trip) -> str:
    notes = [str(note) for note in trip.summary.get("notes", ())]
    if not notes:
        return ""
    items = "".join(f"<li>{escaped(note)}</li>" for note in notes)
    return f"<details open><summary>What was noticed</summary><ul>{items}</ul></details>"


def _about(found: Findings) -> str:
    trip = found.trip
    streams = trip.summary.get("streams", {})
    rows = "".join(
        f'<tr><td data-label="Stream">{escaped(name)}</td>'
        f'<td data-label="Rate" class="number">{float(s.get("rate_hz", 0)):g} Hz</td>'
        f'<td data-label="Samples" class="number">{int(s.get("samples", 0)):,}</td>'
        f'<td data-label="Missing" class="number">{int(s.get("missing", 0)):,}</td></tr>'
        for name, s in streams.items()
    )
    times = "All times are UTC." if trip.has_dates else "Times count from the begin of the trip."
    full = "Samples around events are shown as the sensor gave them, " + (
        "corrected by the certificates above."
        if found.samples is not None and found.samples.certificates
        else "in SI units."
    )
    return f"""<section aria-labelledby="h-about"><h2 id="h-about">What was measured</h2>
<table class="stack"><thead><tr><th>Stream</th><th class="number">Rate</th><th class="number">Samples</th>
<th class="number">Missing</th></tr></thead><tbody>{rows}</tbody></table>
<p class="hint">{full if found.samples is not None else ""} Box {escaped(trip.box or "unnamed")},
start {escaped(trip.boot)}, software {escaped(trip.software)}. {times}</p></section>
</main>"""
