"""Lists of records as chance writes them: events that touch and overlap, gaps, features in batches."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
from hypothesis import strategies as st

from agent.compare import Comparison, Rules, Run, compare
from agent.timebase import rfc3339

BEGAN_NS = 1_700_000_000 * 10**9
Body = dict[str, Any]
Record = tuple[str, Body]  # kind, payload


def lines(records: list[Record]) -> list[bytes]:
    return [
        msgspec.json.encode({"topic": f"cargobox/1/f/b/{kind}", "qos": 1, "payload": body})
        for kind, body in records
    ]


def compared(a: list[Record], b: list[Record], rules: Rules | None = None) -> Comparison:
    return compare(Run(lines(a)), Run(lines(b)), rules or Rules())


def at(s: float) -> str:
    return rfc3339(BEGAN_NS + round(s * 1e6) * 1000)


def head(t_s: float, **more: Any) -> Body:
    return {
        "v": 1,
        "box": "b",
        "boot": "0" * 16,
        "seq": 0,
        "t": at(t_s),
        "tq": "synced",
        "cal": "none",
        **more,
    }


def event(
    name: str, number: int, start_s: float, lasts_s: float, severity: int = 3, **values: Any
) -> list[Record]:
    """The alarm and the end of an event."""
    body = {"type": name, "id": f"{name}-{number}", "severity": severity, "streams": ["accel"]}
    first = {"phase": "start", "start": at(start_s), "end": None, "values": dict(values)}
    last = {"phase": "end", "start": at(start_s), "end": at(start_s + lasts_s), "values": dict(values)}
    kind = "alarm" if severity >= 3 else "event"
    return [
        (kind, {**head(start_s + 0.1), **body, **first}),
        ("event", {**head(start_s + lasts_s + 0.1), **body, **last}),
    ]


def gap(stream: str, start_s: float, first: int, last: int) -> Record:
    times = {"start": at(start_s), "end": at(start_s + 1.0)}
    return "gap", {
        **head(start_s + 1.0),
        "stream": stream,
        "first": first,
        "last": last,
        "reason": "cable",
        **times,
    }


def features(start_s: float, values: list[float | None], width_s: int = 1) -> Record:
    columns = {"accel_rms_mps2": {"x": [*values], "y": [*values]}, "temperature_degc": [*values]}
    body = {"window_s": width_s, "start": at(start_s), "n": len(values), "columns": columns}
    return "features", {**head(start_s + width_s * len(values)), **body}


def in_order(records: list[Record]) -> list[Record]:
    made = sorted(copy.deepcopy(records), key=lambda record: record[1]["t"])
    for seq, (_, body) in enumerate(made):
        body["seq"] = seq
    return made


figures = st.one_of(st.none(), st.integers(-100, 100).map(lambda n: n / 8))
moments = st.integers(0, 4000).map(lambda n: n / 10)


@st.composite
def trips(draw: st.DrawFn) -> list[Record]:
    records: list[Record] = []
    for number in range(draw(st.integers(0, 12))):
        name = draw(st.sampled_from(["drop", "tilt", "shock"]))
        severity, lasts_s = draw(st.integers(1, 4)), draw(st.sampled_from([0.0, 0.5, 30.0, 300.0]))
        records += event(name, number, draw(moments), lasts_s, severity, peak_mps2=draw(figures))
    for number in range(draw(st.integers(0, 3))):
        records.append(gap("accel", draw(moments), number * 10, number * 10 + draw(st.integers(0, 9))))
    for start_s in range(0, draw(st.integers(0, 60)), 10):
        records.append(features(start_s, draw(st.lists(figures, min_size=1, max_size=10))))
    return in_order(records)
