"""A trip as one page that people read: what happened, when, how hard, and how far to trust it.

    records.jsonl, summary.json, the log  ──►  report.html, report.pdf

``trip.py`` reads what the agent said of a trip, ``samples.py`` reads the log beside it once, ``panels.py``
makes lines of both, ``words.py`` says it plainly, ``page.py`` and ``pdf.py`` lay it out; ``overview.py`` puts
many trips, or a sweep, on one page.
"""

from __future__ import annotations

from agent.report.overview import trips_below, write_overview
from agent.report.trip import is_trip
from agent.report.writing import PDF_FILE, REPORT_FILE, write_report

__all__ = ["PDF_FILE", "REPORT_FILE", "is_trip", "trips_below", "write_overview", "write_report"]
