"""A trip as one page that people read: what happened, when, how hard, and how far to trust it.

    records.jsonl, summary.json, the log  ──►  report.html, report.pdf

``trip.py`` reads what the agent said of a trip, ``samples.py`` reads the log beside it once, ``panels.py``
makes lines of both, ``words.py`` says it plainly, ``page.py`` and ``pdf.py`` lay it out; ``overview.py`` puts
many trips, or a sweep, on one page.
"""

from __future__ import annotations


from agent.report.writing import write_report

__all__ = ["write_report"]
