"""The form of a snippet's records: what they say of samples, and the very same samples out of what they say.

Times are told exactly. A run of samples is told by its clock: sample `first` + k of a regular one is at
start + floor((since + k)·period_ps / 1000) - floor(since·period_ps / 1000) ns, where `since` counts from the
sample that the clock was anchored at; a listed one tells each time. ``box_s`` and ``box_ns`` make the box
time of the first sample, in two numbers because many readers of JSON keep no more than 53 bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from agent.blocks import NS_PER_S, PS_PER_NS, Block, Clock, ListedClock, RegularClock
from agent.snippets.coding import RAW, Coded, decoded
from agent.snippets.stage import Snippet
from agent.streams import StreamClass, StreamSpec, Unit

Body = dict[str, Any]
MOST_NS = 1 << 61  # so that nothing that is reckoned with two of them overflows
MOST_INDEX = 1 << 52
MOST_PERIOD_PS = 1 << 60  # two weeks
MOST_SAMPLES = 1 << 20
"""Of a part that is read; a box of ours sends a sixty-fourth of it."""


def body_of(
    snippet: Snippet, number: int, coded: Coded, spec: StreamSpec, start: str, boot: str = ""
) -> Body:
    """Return what the record of part `number` (from 0) says.

    `start`: the wall time of its first sample. `boot`: of an earlier start of the agent, which measured it.
    """
    runs = snippet.parts[number].runs
    start_ns = runs[0].start_ns
    body: Body = {
        "id": snippet.id,
        "events": list(snippet.events),
        "severity": int(snippet.severity),
        "part": number + 1,
        "parts": len(snippet.parts),
        "stream": snippet.stream,
        "axes": list(spec.axes),
        "unit": spec.unit.value,
        "kind": spec.kind.value,
        "rate_hz": spec.rate_hz,
        "sample_bits": spec.sample_bits,
        "scale": spec.scale,
    }
    if spec.offset:
        body["offset"] = spec.offset
    if spec.full_scale is not None:
        body["full_scale"] = spec.full_scale
    if spec.sensor:
        body["sensor"] = spec.sensor
    if boot:
        body["of"] = boot
    body |= {
        "start": start,
        "box_s": start_ns // NS_PER_S,
        "box_ns": start_ns % NS_PER_S,
        "first": runs[0].first,
        "n": sum(len(run) for run in runs),
        "runs": [_run(run, start_ns) for run in runs],
    }
    flags = np.concatenate([_flags(run) for run in runs])
    if (at := np.flatnonzero(flags)).size:
        body["flagged"] = {"at": at.tolist(), "flags": flags[at].tolist()}
    body |= {"dtype": runs[0].values.dtype.name, "codec": coded.codec, "data": coded.data.hex()}
    return body


def _run(run: Block, start_ns: int) -> Body:
    said: Body = {"first": run.first, "n": len(run), "period_ps": run.clock.period_ps}
    if isinstance(run.clock, RegularClock):
        said |= {"after_ns": run.start_ns - start_ns, "since": run.first - run.clock.anchor_index}
    else:
        said["times_ns"] = (run.times_ns() - start_ns).tolist()
    if run.missing_reason:
        said["reason"] = run.missing_reason
    return said


def _flags(run: Block) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.zeros(len(run), np.uint8) if run.quality is None else run.quality


def spec_of(body: Mapping[str, Any]) -> StreamSpec:
    """Return what a part says of its stream. Raises KeyError, TypeError, ValueError."""
    axes = tuple(str(axis) for axis in body["axes"])
    spec = StreamSpec(
        name=str(body["stream"]),
        axes=axes,
        unit=Unit(body["unit"]),
        rate_hz=float(body["rate_hz"]),
        sample_bits=int(body["sample_bits"]),
        kind=StreamClass(body["kind"]),
        scale=float(body["scale"]),
        offset=float(body.get("offset", 0.0)),
        full_scale=None if body.get("full_scale") is None else float(body["full_scale"]),
        sensor=str(body.get("sensor", "")),
    )
    spec.check()
    return spec


def blocks_of(body: Mapping[str, Any]) -> list[Block]:
    """Return the samples of a part, as they were. Raises KeyError, TypeError, ValueError, OverflowError."""
    axes, n = len(body["axes"]), int(body["n"])
    if not 0 < n <= MOST_SAMPLES or not axes:
        raise ValueError(f"{n} samples of {axes} axes")
    dtype = str(body["dtype"])
    if dtype not in ("int16", "int32", "float32", "float64"):
        raise ValueError(f"values of {dtype!r}")
    values = decoded(str(body.get("codec", RAW)), bytes.fromhex(body["data"]), dtype, axes)
    if len(values) != n:
        raise ValueError(f"{len(values)} samples, said were {n}")
    flags = None
    if flagged := body.get("flagged"):
        flags = np.zeros(n, np.uint8)
        flags[np.array(flagged["at"], np.int64)] = np.array(flagged["flags"], np.uint8)
    start_ns = _within(int(body["box_s"]) * NS_PER_S + int(body["box_ns"]), MOST_NS)
    blocks, at = [], 0
    for run in body["runs"]:
        first, length = _within(int(run["first"]), MOST_INDEX), int(run["n"])
        end = at + length
        if length < 1 or end > n:
            raise ValueError(f"runs of {end} samples, there are {n}")
        quality = None if flags is None else flags[at:end]
        clock = _clock(run, first, length, start_ns)
        blocks.append(
            Block(str(body["stream"]), first, clock, values[at:end], quality, str(run.get("reason", "")))
        )
        at = end
    if at != n:
        raise ValueError(f"runs of {at} samples, there are {n}")
    return blocks


def _clock(run: Mapping[str, Any], first: int, length: int, start_ns: int) -> Clock:
    period_ps = _within(int(run["period_ps"]), MOST_PERIOD_PS)
    if period_ps < PS_PER_NS:
        raise ValueError(f"a period of {period_ps} ps")
    if "times_ns" in run:
        times_ns = np.array(run["times_ns"], np.int64)
        if times_ns.ndim != 1 or (times_ns.size and np.abs(times_ns).max() > MOST_NS):
            raise ValueError("times that are none")
        times_ns += start_ns
        if len(times_ns) != length or (np.diff(times_ns) <= 0).any():
            raise ValueError("times that do not rise, or are too few")
        return ListedClock(first, times_ns, period_ps)
    since, after_ns = _within(int(run["since"]), MOST_INDEX), _within(int(run["after_ns"]), MOST_NS)
    _within(since * period_ps // PS_PER_NS, MOST_NS)
    anchor_ns = start_ns + after_ns - since * period_ps // PS_PER_NS
    return RegularClock(first - since, anchor_ns, period_ps)


def _within(number: int, most: int) -> int:
    if abs(number) > most:
        raise ValueError(f"{number}, more than {most}")
    return number
