"""A trip for the customer's file: one or two pages of A4, with its temperature record.

It says what a temperature record is expected to say (EU guidelines on good distribution practice, 2013/C
343/01, 9.4): what was measured, by what, when, and what is missing. Needs reportlab, of the extra
``engineer``.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from reportlab.graphics.shapes import Circle, Drawing, Line, PolyLine, Rect, String
from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import KeepTogether, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from agent.report.climate import TemperatureRecord
from agent.report.pdf_text import BOLD, REGULAR, markup, writable
from agent.report.trip import Event, Trip
from agent.report.words import (
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
    from agent.report.writing import Findings

INK, SOFT, LINE = HexColor("#1b1f24"), HexColor("#5b6470"), HexColor("#c9ced4")
BLUE, GREEN, RED = HexColor("#0072b2"), HexColor("#d9f0e8"), HexColor("#d55e00")
WIDTH = A4[0] - 36 * mm
PLOT_HEIGHT = 46 * mm
MOST_EVENTS = 14
MOST_POINTS = 1200
MKT_WORDS = (
    "The mean kinetic temperature (ΔH 83.144 kJ/mol) says how much the trip as a whole has aged the goods. "
    "It never clears a transport excursion."
)


def pdf_of(found: Findings) -> bytes:
    """Return the PDF of a trip."""
    out = io.BytesIO()
    trip = found.trip
    pages = SimpleDocTemplate(
        out,
        pagesize=A4,
        leftMargin=18 * mm,
        rightMargin=18 * mm,
        topMargin=16 * mm,
        bottomMargin=18 * mm,
        title=writable(
            f"Trip of {trip.box}, {date(trip.start_s)}" if trip.has_dates else f"Trip of {trip.box}"
        ),
        author=writable(f"box {trip.box}"),
        subject="Trip report",
    )
    styles = _styles()
    flow: list[Any] = [
        Paragraph(markup(f"Trip report · box {trip.box}"), styles["soft"]),
        Paragraph(markup(found.story), styles["story"]),
        Spacer(1, 3 * mm),
    ]
    for record in found.temperatures:
        flow += _temperature(record, trip, styles)
    if not found.temperatures:
        flow.append(Paragraph("No temperature was measured.", styles["text"]))
    flow += _events(trip, styles)
    flow += _gaps(found, styles)
    flow += _origin(found, styles)
    pages.build(
        flow,
        canvasmaker=_numbered(writable(f"box {trip.box} · start {trip.boot} · software {trip.software}")),
    )
    return out.getvalue()


def _styles() -> dict[str, ParagraphStyle]:
    writable("")  # the fonts are known from here on
    text = ParagraphStyle("text", fontName=REGULAR, fontSize=8.5, leading=11.5, textColor=INK)
    return {
        "text": text,
        "soft": ParagraphStyle("soft", parent=text, textColor=SOFT, fontSize=8, leading=10.5),
        "story": ParagraphStyle(
            "story", parent=text, fontName=BOLD, fontSize=13, leading=17.5, spaceBefore=2
        ),
        "head": ParagraphStyle("head", parent=text, fontName=BOLD, fontSize=10.5, leading=14, spaceBefore=9),
    }


def _numbered(foot: str) -> type[Canvas]:
    """Return a canvas that writes "page 1 of 2" below, which is known at the end only."""

    class Numbered(Canvas):  # type: ignore[misc]  # reportlab has no types
        def __init__(self, *args: Any, **named: Any) -> None:
            super().__init__(*args, **{**named, "initialFontName": REGULAR})
            self._pages: list[dict[str, Any]] = []

        def showPage(self) -> None:
            self._pages.append(dict(self.__dict__))
            self._startPage()

        def save(self) -> None:
            for number, page in enumerate(self._pages, 1):
                self.__dict__.update(page)
                self.setFont(REGULAR, 7.5)
                self.setFillColor(SOFT)
                self.drawString(18 * mm, 10 * mm, foot)
                self.drawRightString(A4[0] - 18 * mm, 10 * mm, f"page {number} of {len(self._pages)}")
                super().showPage()
            super().save()

    return Numbered


def _table(rows: Sequence[Sequence[Any]], widths: Sequence[float], *, head: bool = True) -> Table:
    style = [
        ("FONT", (0, 0), (-1, -1), REGULAR, 8),
        ("TEXTCOLOR", (0, 0), (-1, -1), INK),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LINEBELOW", (0, 0), (-1, -1), 0.4, LINE),
        ("LEFTPADDING", (0, 0), (-1, -1), 0),
        ("TOPPADDING", (0, 0), (-1, -1), 2.2),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2.6),
    ]
    if head:
        style.append(("TEXTCOLOR", (0, 0), (-1, 0), SOFT))
    return Table(
        rows, colWidths=list(widths), style=TableStyle(style), repeatRows=1 if head else 0, hAlign="LEFT"
    )


def _temperature(record: TemperatureRecord, trip: Trip, styles: dict[str, ParagraphStyle]) -> list[Any]:
    out = "not judged: no band was given"
    if record.has_band:
        sides = [
            f"{duration(seconds)} {word}"
            for seconds, word in ((record.below_s, "below"), (record.above_s, "above"))
            if seconds
        ]
        out = ", ".join(sides) or "none"
    gaps = "; ".join(f"{clock(trip, a)} to {clock(trip, b)} ({duration(b - a)})" for a, b in record.gaps[:8])
    more = f" and {len(record.gaps) - 8} more" if len(record.gaps) > 8 else ""
    cells = [
        ("Band", record.band_words or "none was given"),
        ("Time out of the band", out),
        ("Lowest / highest", f"{record.least_degc:.2f} / {record.most_degc:.2f} °C"),
        ("Mean", f"{record.mean_degc:.2f} °C"),
        ("Mean kinetic temperature", f"{record.kinetic_degc:.2f} °C"),
        (
            "Recorded",
            f"{record.covers.removeprefix('covers ') or 'all of the trip'}, {len(record.degc):,} "
            f"reading{'' if len(record.degc) == 1 else 's'}",
        ),
        ("Gaps in the record", gaps + more if gaps else "none"),
    ]
    rows = [
        [Paragraph(markup(name), styles["soft"]), Paragraph(markup(value), styles["text"])]
        for name, value in cells
    ]
    return [
        KeepTogether(
            [
                Paragraph(markup(f"Temperature record · {record.stream}"), styles["head"]),
                _plot(record, trip),
                _table(rows, (46 * mm, WIDTH - 46 * mm), head=False),
                Spacer(1, 1.5 * mm),
                Paragraph(markup(MKT_WORDS), styles["soft"]),
            ]
        )
    ]


def _plot(record: TemperatureRecord, trip: Trip) -> Drawing:
    """Draw the record: its band, its line, broken at gaps, extremes kept however many readings there are."""
    drawing = Drawing(WIDTH, PLOT_HEIGHT)
    left, right, bottom, top = 11 * mm, WIDTH - 2 * mm, 6 * mm, PLOT_HEIGHT - 3 * mm
    begin_s, end_s = record.span_s[0], max(record.span_s[1], record.span_s[0] + 1.0)
    limits = [v for v in (record.low_degc, record.high_degc) if v is not None]
    low, high = min([record.least_degc, *limits]), max([record.most_degc, *limits])
    room = max(0.08 * (high - low), 0.2)
    low, high = low - room, high + room

    def x(time_s: float) -> float:
        return float(left + (right - left) * (time_s - begin_s) / (end_s - begin_s))

    def y(degc: float) -> float:
        return float(bottom + (top - bottom) * (degc - low) / (high - low))

    if record.has_band:
        from_y = y(record.low_degc) if record.low_degc is not None else bottom
        to_y = y(record.high_degc) if record.high_degc is not None else top
        drawing.add(Rect(left, from_y, right - left, to_y - from_y, fillColor=GREEN, strokeColor=None))
    for degc in _ticks(low, high):
        drawing.add(Line(left, y(degc), right, y(degc), strokeColor=LINE, strokeWidth=0.3))
        drawing.add(
            String(
                left - 3,
                y(degc) - 2.5,
                f"{degc:g}",
                fontName=REGULAR,
                fontSize=7,
                fillColor=SOFT,
                textAnchor="end",
            )
        )
    for i in range(5):
        time_s = begin_s + (end_s - begin_s) * i / 4
        anchor = "start" if i == 0 else "end" if i == 4 else "middle"
        words = clock(trip, time_s, seconds=end_s - begin_s < 7200)
        drawing.add(
            String(x(time_s), 1, words, fontName=REGULAR, fontSize=7, fillColor=SOFT, textAnchor=anchor)
        )
    for a, b in record.gaps:
        drawing.add(
            Rect(
                x(a),
                bottom,
                max(x(b) - x(a), 0.5),
                top - bottom,
                fillColor=HexColor("#e4e7ea"),
                strokeColor=None,
            )
        )
    edges = [0, *(np.searchsorted(record.times_s, [b for _, b in record.gaps]).tolist()), len(record.degc)]
    for first, last in pairwise(edges):
        points = _thinned(record, first, last)
        flat = [value for i in points for value in (x(float(record.times_s[i])), y(float(record.degc[i])))]
        if len(points) > 1:
            drawing.add(PolyLine(flat, strokeColor=BLUE, strokeWidth=0.9))
        elif points:
            drawing.add(Circle(*flat, 1.2, fillColor=BLUE, strokeColor=None))
    drawing.add(String(0, top - 5, "°C", fontName=REGULAR, fontSize=7, fillColor=SOFT))
    return drawing


def _ticks(low: float, high: float) -> list[float]:
    step = next(
        s for s in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 1000.0) if (high - low) / s <= 6
    )
    first = int(np.ceil(low / step))
    return [round(i * step, 3) for i in range(first, int(np.floor(high / step)) + 1)]


def _thinned(record: TemperatureRecord, first: int, last: int) -> list[int]:
    """Return which readings to draw: of each bucket the lowest and the highest."""
    count = last - first
    if count <= MOST_POINTS:
        return list(range(first, last))
    chosen: set[int] = {first, last - 1}
    for part in np.array_split(np.arange(first, last), MOST_POINTS // 2):
        values = record.degc[part]
        chosen |= {int(part[values.argmin()]), int(part[values.argmax()])}
    return sorted(chosen)


def _events(trip: Trip, styles: dict[str, ParagraphStyle]) -> list[Any]:
    head = Paragraph("Events", styles["head"])
    if not trip.events:
        return [head, Paragraph("Nothing happened that the box was told to watch for.", styles["text"])]
    shown = sorted(trip.events, key=lambda event: -event.severity)[:MOST_EVENTS]
    shown.sort(key=lambda event: event.start_s)
    rows: list[list[Any]] = [[clock_words(trip), "What", "Severity", "Lasted", "Figures"]]
    rows += [_event_row(trip, event, styles) for event in shown]
    out: list[Any] = [head, _table(rows, (19 * mm, 37 * mm, 17 * mm, 17 * mm, WIDTH - 90 * mm))]
    if (left := len(trip.events) - len(shown)) > 0:
        out.append(
            Paragraph(
                f"{left} more, none of them graver than these, are in the page beside this file.",
                styles["soft"],
            )
        )
    return out


def _event_row(trip: Trip, event: Event, styles: dict[str, ParagraphStyle]) -> list[Any]:
    told = "; ".join(f"{name} {value}" for name, value in facts(event)[:5])
    lasted = "not over" if event.end_s is None else duration(event.end_s - event.start_s)
    return [
        clock(trip, event.start_s),
        Paragraph(markup(f"{name_of(event.type)} {headline(event)}"), styles["text"]),
        SEVERITIES.get(event.severity, str(event.severity)),
        lasted,
        Paragraph(markup(told), styles["soft"]),
    ]


def _gaps(found: Findings, styles: dict[str, ParagraphStyle]) -> list[Any]:
    trip = found.trip
    broken = any(record.gaps for record in found.temperatures)
    words = f"No sample is missing{' but in the temperature record, above' if broken else ''}."
    if trip.gaps:
        streams = sorted({gap.stream for gap in trip.gaps})
        samples = sum(gap.samples for gap in trip.gaps)
        words = f"{samples:,} samples are missing in {len(trip.gaps)} gaps, of {', '.join(streams)}."
    return [Paragraph("Missing data", styles["head"]), Paragraph(markup(words), styles["text"])]


def _origin(found: Findings, styles: dict[str, ParagraphStyle]) -> list[Any]:
    trip = found.trip
    raw, sent = trip.summary.get("raw_bytes", 0), trip.summary.get("published_bytes", 0)
    certificates = found.samples.certificates if found.samples is not None else ()
    said = (
        "; ".join(
            f"{c.stream}: {c.hash}"
            + (f" ({c.sensor})" if c.sensor else "")
            + (f", valid until {c.valid_until}" if c.valid_until else "")
            for c in certificates
        )
        or ", ".join(trip.certificates)
        or "none: figures are the sensors' own, by their datasheets"
    )
    span = f"{date(trip.start_s)}, {moment(trip.start_s)} to {date(trip.end_s)}, {moment(trip.end_s)} UTC"
    if trip.within_s > 1:
        span += f", to within {duration(trip.within_s)}: the log was not at hand"
    cells = (
        ("Box, start", f"{trip.box}, {trip.boot}"),
        (
            "From, to",
            span if trip.has_dates else "the clock was never set: durations are right, dates are not",
        ),
        ("Software", f"cargobox {trip.software}"),
        ("Certificates", said),
        ("Uploaded", f"{size(sent)} of {size(raw)}" + (f" ({percent(sent / raw)})" if raw else "")),
    )
    rows = [
        [Paragraph(markup(name), styles["soft"]), Paragraph(markup(value), styles["text"])]
        for name, value in cells
    ]
    return [
        KeepTogether(
            [
                Paragraph("Where this comes from", styles["head"]),
                _table(rows, (46 * mm, WIDTH - 46 * mm), head=False),
            ]
        )
    ]
