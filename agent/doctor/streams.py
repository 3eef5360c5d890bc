"""What the streams bring while we listen: measured rate, losses by cause, stuck and saturated sensors."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.doctor.finding import Area, Finding, Patient, State
from firmware_bridge.describe import BoardStream, Description
from firmware_bridge.link import Link

SLOW_STREAMS_S = 8.0  # for the slowest, three samples: but a person waits
READ_S = 0.1
NS_PER_S = 1_000_000_000

RATE_TOLERANCE = 0.1  # an HX711's own oscillator is the worst
RATE_SPANS = 2  # intervals between samples that it takes to tell a rate
STUCK_SAMPLES = 30  # so many equal values of a sensor that has noise
COARSE_MPS2 = 0.25  # steps beyond this hide the noise: a LIS3DH at 16 g has steps of 48 mg
COARSE_COUNTS = 64  # they come as 10 bits, left-justified in 16
CONFIGURATION = "config"  # what a board calls a mistake in its configuration (docs/protocol.md)
LOSS_WRONG = 0.01  # part of the samples
SATURATED_WRONG = 0.5  # part of the samples: not a blow, but an open wire

MOVING_UNITS = frozenset({"mps2", "radps", "kg"})
"""Their converters have noise of several counts: no two seconds are alike."""

# what can be in a box on a road or a ship; the datasheets' ranges, gravity as far as one sensor errs
PLAUSIBLE: dict[str, tuple[float, float]] = {"degC": (-40.0, 85.0), "percent": (0.0, 100.0)}
GRAVITY_MPS2 = (8.8, 10.8)

UNIT_WORDS = {"mps2": "m/s²", "radps": "rad/s", "degC": "°C", "percent": "%"}
_CAUSES = {
    "cable": "lost on the cable",
    "overflow": "ran over on the board",
    "reboot": "lost in a restart of the board",
}


@dataclass(slots=True)
class Heard:
    """What one stream brought."""

    stream: BoardStream
    count: int = 0
    first_index: int = 0
    first_ns: int = 0
    last_index: int = 0
    last_ns: int = 0
    next_index: int = 0
    missing: Counter[str] = field(default_factory=Counter)
    values: list[npt.NDArray[np.float64]] = field(default_factory=list)

    def take(self, first: int, time_ns: int, values: npt.NDArray[Any], missing_reason: str) -> None:
        """Take consecutive samples: `values` (n, axes) counts, the first with index and time."""
        if not self.count:
            self.first_index = self.next_index = first
            self.first_ns = time_ns
        if first > self.next_index:
            self.missing[missing_reason or "cable"] += first - self.next_index
        self.count += len(values)
        self.last_index, self.last_ns = first, time_ns
        self.next_index = first + len(values)
        self.values.append(np.asarray(values, np.float64))

    @property
    def rate_hz(self) -> float | None:
        """Samples a second by the times that they carry, missing ones counted; None if too few came."""
        steps = self.last_index - self.first_index
        if steps < RATE_SPANS or self.last_ns <= self.first_ns:
            return None
        return steps * NS_PER_S / (self.last_ns - self.first_ns)


@dataclass(slots=True)
class HeardAll:
    """What all streams brought, and in how long a time."""

    streams: list[Heard]
    seconds: float = 0.0
    failure: str = ""
    damaged_before: int = 0
    garbage_before: int = 0
    """What came before we listened: a board that boots says so in plain letters, which are no frames."""


def listen(link: Link, about: Description, patient: Patient) -> HeardAll:
    """Start the board and listen as long as asked, or longer for streams slower than one sample a second."""
    heard = {stream.name: Heard(stream) for stream in about.streams}
    all_heard = HeardAll(
        list(heard.values()),
        damaged_before=link.counters.damaged_frames,
        garbage_before=link.counters.garbage_bytes,
    )
    slowest_s = max((1 / stream.rate_hz for stream in about.streams), default=0.0)
    listen_s = max(patient.listen_s, min(SLOW_STREAMS_S, (RATE_SPANS + 1) * slowest_s))
    begin_s = time.monotonic()
    while not patient.stop.is_set() and (passed_s := time.monotonic() - begin_s) < listen_s:
        all_heard.seconds = passed_s
        patient.say(f"listening to the streams: {passed_s:.0f} of {listen_s:.0f} s …")
        for some in link.read(READ_S):
            heard[some.stream.name].take(some.first, some.time_ns, some.values, some.missing_reason)
    all_heard.seconds = time.monotonic() - begin_s
    if link.last_error is not None:
        all_heard.failure = str(link.last_error)
    return all_heard


def judge(heard: HeardAll, link: Link) -> Iterator[Finding]:
    """Say of each stream how it is, and then what the cable did to them all."""
    if heard.failure or link.counters.disconnects:
        yield Finding(
            Area.STREAMS,
            State.WRONG,
            "connection",
            f"it broke {link.counters.disconnects} × while we listened: {heard.failure or 'back again'}",
            "Plug and cable: move them while you look again. Then the board's power supply.",
            {"disconnects": link.counters.disconnects},
        )
    faults = link.counters.faults
    for one in heard.streams:
        yield _judge_one(one, heard.seconds, faults.get(one.stream.name, ""))
    for name, words in faults.items():
        if all(one.stream.name != name for one in heard.streams):
            found, remedy = f"the board says: {words}", "Look at wires and power there."
            if name.partition(" ")[0] == CONFIGURATION:
                remedy = (
                    "Correct the board's config.json (docs/boards.md); "
                    "`cargobox flash --board-config FILE` puts it on the board."
                )
            yield Finding(Area.STREAMS, State.WRONG, name, found, remedy)
    yield _cable(heard, link)


def _judge_one(one: Heard, seconds: float, fault: str) -> Finding:
    """Say the worst of a stream; all its figures come with it."""
    stream = one.stream
    rate_hz = one.rate_hz
    lost = sum(one.missing.values())
    figures: dict[str, object] = {
        "nominal_hz": stream.rate_hz,
        "measured_hz": None if rate_hz is None else round(rate_hz, 2),
        "samples": one.count,
        "missing": dict(one.missing),
    }
    if fault:
        return Finding(
            Area.STREAMS,
            State.WRONG,
            stream.name,
            f"the board says: {fault}",
            "Look at the wires, the plug and the power of this sensor.",
            figures,
        )
    if not one.count:
        return Finding(
            Area.STREAMS,
            State.WRONG,
            stream.name,
            f"no sample in {seconds:.1f} s, expected {stream.rate_hz:g} a second",
            "Look at the wires, the plug and the power of this sensor.",
            figures,
        )
    values = np.concatenate(one.values) * stream.scale
    figures["mean"] = [round(float(v), 4) for v in values.mean(axis=0)]
    figures["spread"] = [round(float(v), 4) for v in values.std(axis=0)]
    measured = f"{one.count} samples" if rate_hz is None else f"{rate_hz:.1f} Hz"
    found = f"{measured}, nominal {stream.rate_hz:g} Hz; {_means(stream, values)}"
    state, trouble, remedy = _trouble(one, values, figures)
    off = rate_hz is not None and abs(rate_hz / stream.rate_hz - 1) > RATE_TOLERANCE
    if state is not State.WRONG and lost:
        part = lost / (lost + one.count)
        state = State.WRONG if part > LOSS_WRONG else State.WARNING
        causes = ", ".join(f"{n} {_CAUSES.get(why, why)}" for why, n in one.missing.most_common())
        trouble = f"{part:.1%} of the samples are missing: {causes}"
        remedy = "Another cable, no hub, and nothing else that keeps this computer busy."
    elif state is State.OK and off:
        state, trouble = State.WARNING, "the sensor has another rate than the firmware believes"
        remedy = "On an HX711, pin RATE chooses 10 or 80 Hz; else the board's configuration is another box's."
    return Finding(
        Area.STREAMS, state, stream.name, f"{found}; {trouble}" if trouble else found, remedy, figures
    )


def _trouble(
    one: Heard, values: npt.NDArray[np.float64], figures: dict[str, object]
) -> tuple[State, str, str]:
    """Say what the values themselves tell: `values` (n, axes) in the stream's unit."""
    stream = one.stream
    saturated = _saturated(stream, values)
    figures["saturated"] = {axis: n for axis, n in zip(stream.axes, saturated, strict=True) if n}
    if max(saturated) > SATURATED_WRONG * len(values):
        axes = _axes(stream, [n > SATURATED_WRONG * len(values) for n in saturated])
        return (
            State.WRONG,
            f"at the end of the range all the time{axes}",
            "A wire of the sensor is off or two are exchanged; a load cell: E+, E-, A+, A-.",
        )
    constant = [bool(same) for same in np.ptp(values, axis=0) == 0]
    if (
        stream.unit in MOVING_UNITS
        and len(values) >= STUCK_SAMPLES
        and any(constant)
        and not _is_coarse(stream, values)
    ):
        axes = _axes(stream, constant)
        return (
            State.WRONG if all(constant) else State.WARNING,
            f"stuck{axes}: {len(values)} times the same value",
            "A sensor that lives has noise. Look at its wires and power, and press the board's reset button.",
        )
    implausible = _implausible(stream, values)
    if implausible:
        return State.WARNING, implausible, "Is it the right sensor, and the right scale in the configuration?"
    if any(saturated):
        return (
            State.WARNING,
            f"{sum(saturated)} values at the end of the range{_axes(stream, [n > 0 for n in saturated])}",
            "Let the box rest and look again; if it stays, the range is too small, or a wire is off.",
        )
    return State.OK, "", ""


def _means(stream: BoardStream, values: npt.NDArray[np.float64]) -> str:
    """Return what each axis gave on average, for whoever knows what stands on the scale."""
    unit = UNIT_WORDS.get(stream.unit, stream.unit)
    means = [f"{mean:.4g}" for mean in values.mean(axis=0)]
    if len(means) == 1:
        return f"{means[0]} {unit}"
    return ", ".join(f"{axis} {m}" for axis, m in zip(stream.axes, means, strict=True)) + f" {unit}"


def _saturated(stream: BoardStream, values: npt.NDArray[np.float64]) -> list[int]:
    """Return how many samples of each axis are at or beyond what sensor or converter can say."""
    rail = (2 ** (stream.sample_bits - 1) - 1) * abs(stream.scale)
    limit = rail if stream.full_scale is None else min(rail, stream.full_scale)
    if stream.unit == "state":
        return [0] * len(stream.axes)
    return [int(n) for n in (np.abs(values) >= limit * (1 - 1e-9)).sum(axis=0)]


def _is_coarse(stream: BoardStream, values: npt.NDArray[np.float64]) -> bool:
    """Return whether the steps of an accelerometer are wider than its noise: at rest it gives one value."""
    if stream.unit != "mps2" or COARSE_COUNTS * stream.scale < COARSE_MPS2 or not values.any():
        return False
    return not (np.rint(values / stream.scale).astype(np.int64) % COARSE_COUNTS).any()


def _implausible(stream: BoardStream, values: npt.NDArray[np.float64]) -> str:
    if stream.name == "accel" and stream.unit == "mps2" and values.shape[1] == 3:
        mean = float(np.sqrt((values**2).sum(axis=1)).mean())
        low, high = GRAVITY_MPS2
        return "" if low <= mean <= high else f"gravity alone gives 9.8 m/s², and here is {mean:.1f}"
    if stream.unit in PLAUSIBLE:
        low, high = PLAUSIBLE[stream.unit]
        mean = float(values.mean())
        return "" if low <= mean <= high else "no box has that"
    return ""


def _axes(stream: BoardStream, which: list[bool]) -> str:
    if all(which):
        return ""
    return " in " + ", ".join(axis for axis, one in zip(stream.axes, which, strict=True) if one)


def _cable(heard: HeardAll, link: Link) -> Finding:
    counters = link.counters
    refilled = counters.refilled_frames
    damaged = counters.damaged_frames - heard.damaged_before
    garbage = counters.garbage_bytes - heard.garbage_before
    received_kb_s = counters.received_bytes / 1000 / max(heard.seconds, 0.1)
    figures = {
        "received_kB_s": round(received_kb_s, 1),
        "frames": counters.frames,
        "damaged_frames": damaged,
        "garbage_bytes": garbage,
        "refilled_frames": refilled,
        "frames_damaged_on_the_way_to_the_board": counters.board_bad_input,
        "bytes_lost_by_the_board": counters.board_input_lost,
        "writes_that_the_board_could_not_finish": counters.board_stalls,
        "listened_s": round(heard.seconds, 2),
    }
    found = f"{counters.frames} frames in {heard.seconds:.1f} s, {received_kb_s:.0f} kB/s"
    if not damaged and not garbage and not refilled:
        return Finding(Area.STREAMS, State.OK, "cable", f"{found}, none damaged", "", figures)
    mended = f", {refilled} asked for again and received" if refilled else ""
    harm = f"{damaged} damaged" if damaged else "some did not come"
    return Finding(
        Area.STREAMS,
        State.WARNING,
        "cable",
        f"{found}, {harm}{mended}",
        "Another cable, shorter and shielded, away from motors; plugs that sit firmly.",
        figures,
    )
