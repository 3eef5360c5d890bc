"""The document inside a report's page: what its script draws. Small: numbers are packed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.report.climate import LATE_PERIODS, LEAST_GAP_S
from agent.report.clips import Clip
from agent.report.packing import packed_times, packed_values
from agent.report.panels import Panel, angles_deg
from agent.report.text import plain
from agent.report.trip import Event, Trip
from agent.report.words import (
    CONTEXTS,
    GRAVITY_MPS2,
    SEVERITIES,
    clock,
    date,
    duration,
    facts,
    figure,
    headline,
    name_of,
)
from agent.streams import Unit

MOST_GAPS = 2000
BREAK_STEPS = 4.0  # a line is broken where rows are missing for so many of their usual steps
NEAR_STEPS = 4
REST_S = 0.4
UNIT_WORDS = {
    "mps2": "m/s²",
    "radps": "rad/s",
    "degC": "°C",
    "percent": "%",
    "Pa": "Pa",
    "kg": "kg",
    "V": "V",
}
F64 = npt.NDArray[np.float64]


def document_of(
    trip: Trip,
    panels: Sequence[Panel],
    clips: Mapping[str, Sequence[Clip]],
    up: Sequence[float] | None,
) -> dict[str, Any]:
    """Return all that the script of the page needs. Times are seconds after ``t0``."""
    t0 = min([trip.start_s, *(float(panel.times_s[0]) for panel in panels if len(panel.times_s))])
    last = [float(panel.times_s[-1]) for panel in panels if len(panel.times_s)]
    t1 = max([trip.end_s, t0 + 1.0, *last])
    shown_s = t0 if trip.has_dates else max(0.0, t0 - trip.start_s)
    return {
        "t0": shown_s,
        "t1": shown_s + (t1 - t0),
        "dated": trip.has_dates,
        "panels": [_panel(panel, t0) for panel in panels],
        "events": [_event(trip, event, t0, clips.get(event.id, ()), up) for event in trip.events],
        "gaps": [
            [plain(gap.stream), gap.start_s - t0, gap.end_s - t0, plain(gap.reason)]
            for gap in trip.gaps[:MOST_GAPS]
        ]
        + [
            [plain(stream), begin_s - t0, end_s - t0, "not told"]
            for stream, begin_s, end_s in _untold(trip, panels)
        ],
    }


def _panel(panel: Panel, t0: float) -> dict[str, Any]:
    times_s, lines = panel.times_s, [(line.low, line.high) for line in panel.lines]
    broken = _breaks(times_s, panel.step_s)
    if len(broken):
        at = broken + 1
        times_s = np.insert(times_s, at, times_s[broken] + panel.step_s)
        lines = [
            (np.insert(low, at, np.nan), None if high is None else np.insert(high, at, np.nan))
            for low, high in lines
        ]
    return {
        "title": plain(panel.title),
        "unit": panel.unit,
        "stream": plain(panel.stream),
        "about": panel.about,
        "digits": panel.digits,
        "zero": panel.from_zero,
        "band": list(panel.band),
        "t": packed_times(np.rint((times_s - t0) * 1000).astype(np.int64)),
        "lines": [
            {
                "label": line.label,
                "low": packed_values(low),
                "high": None if high is None else packed_values(high),
            }
            for line, (low, high) in zip(panel.lines, lines, strict=True)
        ],
    }


def _breaks(times_s: F64, step_s: float) -> npt.NDArray[np.int64]:
    """Return behind which rows the line is to be broken."""
    steps_s = np.diff(times_s)
    if not len(steps_s):
        return np.empty(0, np.int64)
    # a log at 2 Hz that goes on at 100 Hz has two usual steps; the longer one counts, or that of the stretch
    around = np.lib.stride_tricks.sliding_window_view(np.pad(steps_s, NEAR_STEPS, "edge"), 2 * NEAR_STEPS + 1)
    usual_s = np.maximum(np.median(around, axis=1), max(step_s, float(np.quantile(steps_s, 0.9))))
    return np.flatnonzero(steps_s > BREAK_STEPS * usual_s)


def _untold(trip: Trip, panels: Sequence[Panel]) -> list[tuple[str, float, float]]:
    """Return what each stream did not tell of the begin and the end of the trip."""
    found = {}
    for panel in panels:
        if not len(panel.times_s):
            continue
        first_s, last_s = float(panel.times_s[0]), float(panel.times_s[-1])
        usual_s = float(np.median(np.diff(panel.times_s))) if len(panel.times_s) > 1 else panel.step_s
        patience_s = max(LEAST_GAP_S, LATE_PERIODS * usual_s)
        for begin_s, end_s in ((trip.start_s, first_s), (last_s + usual_s, trip.end_s)):
            if end_s - begin_s > patience_s:
                found[panel.stream, end_s == first_s] = (panel.stream, begin_s, end_s)
    return list(found.values())


def _event(
    trip: Trip, event: Event, t0: float, clips: Sequence[Clip], up: Sequence[float] | None
) -> dict[str, Any]:
    end_s = event.end_s
    into_s = event.start_s if trip.has_dates else max(0.0, event.start_s - trip.start_s)
    began = f"{clock(trip, event.start_s)}.{int(into_s % 1 * 1000):03d}"
    told: list[tuple[str, str]] = [
        (
            "severity",
            SEVERITIES.get(event.severity, str(event.severity)) + (", alarm" if event.alarm else ""),
        ),
        ("began", f"{date(event.start_s)}, {began} UTC" if trip.has_dates else f"{began} into the trip"),
        ("lasted", "not over when the log ended" if end_s is None else duration(end_s - event.start_s)),
        *facts(event),
        *_attitude(event, clips, up),
    ]
    if event.context in CONTEXTS:
        told.append(("happened", CONTEXTS[event.context]))
    if event.trust and event.trust != "trusted":
        told.append(("figures", plain(event.trust)))
    return {
        "id": plain(event.id),
        "type": plain(event.type),
        "name": name_of(event.type),
        "how": headline(event),
        "severity": event.severity,
        "start": event.start_s - t0,
        "end": None if end_s is None else end_s - t0,
        "facts": told,
        "clips": [_clip(clip, event) for clip in clips],
    }


def _clip(clip: Clip, event: Event) -> dict[str, Any]:
    spec = clip.spec
    step = spec.scale if clip.exact else None
    rate_hz = (len(clip.offsets_us) - 1) / (clip.offsets_us[-1] / 1e6) if len(clip.offsets_us) > 1 else 0.0
    return {
        "stream": plain(spec.name),
        "unit": UNIT_WORDS.get(spec.unit.value, ""),
        "axes": [plain(axis) for axis in spec.axes],
        "total": spec.unit is Unit.MPS2 and len(spec.axes) == 3,
        "rate": figure(rate_hz),
        "start": clip.start_s - event.start_s,
        "cut": clip.cut,
        "t": packed_times(clip.offsets_us),
        "values": [packed_values(clip.values[:, i], step) for i in range(clip.values.shape[1])],
    }


def _attitude(event: Event, clips: Sequence[Clip], up: Sequence[float] | None) -> list[tuple[str, str]]:
    """Say how the box stood before and after, and where the hardest hit came from, of an event of motion."""
    clip = next((c for c in clips if c.spec.unit is Unit.MPS2 and c.values.shape[1] == 3), None)
    if clip is None or len(clip.values) < 5 or event.type not in {"drop", "shock", "tilt", "bump"}:
        return []
    told: list[tuple[str, str]] = []
    after_s = clip.offsets_us / 1e6 + clip.start_s - event.start_s
    before = clip.values[after_s < -0.05]
    after = clip.values[after_s > after_s[-1] - REST_S]
    for label, part in (("stood before", before), ("stood after", after)):
        if len(part) and (words := _stood(part, up)):
            told.append((label, words))
    if event.type in {"drop", "shock", "bump"}:
        sizes = np.sqrt((clip.values**2).sum(axis=1))
        at = int(sizes.argmax())
        axis = int(np.abs(clip.values[at]).argmax())
        sign = "+" if clip.values[at, axis] > 0 else "−"
        told.append(
            (
                "largest sample",
                f"{figure(float(sizes[at] / GRAVITY_MPS2))} g, mostly along "
                f"{sign}{plain(clip.spec.axes[axis])}, {1000 * after_s[at]:.0f} ms after the begin",
            )
        )
    return told


def _stood(values: F64, up: Sequence[float] | None) -> str:
    """Say an attitude in words, of samples at rest; nothing where the box did not rest."""
    mean = values.mean(axis=0)
    length = float(np.sqrt((mean**2).sum()))
    if abs(length - GRAVITY_MPS2) > 1.5 or float(values.std(axis=0).max()) > 2.5:
        return "moving"
    axis = int(np.abs(mean).argmax())
    which = f"{'+' if mean[axis] > 0 else '−'}{'xyz'[axis]} up"
    if up is None:
        return which
    return f"{angles_deg(mean[None, :], up)[0]:.0f}° from upright, {which}"
