"""Trips on which the box says all that it can say: ordinary, odd, short of budget, harsh, rough and wet."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from agent.blocks import Block, FaultKind, FaultPhase, Quality, RegularClock, SensorFault, Silence
from agent.detection import DetectorSettings
from agent.detection.harsh import HarshSettings
from agent.detection.humidity import HumiditySettings
from agent.detection.temperature import TemperatureSettings
from agent.health import Monitor, Reporter, Surroundings
from agent.outbox import Outbox
from agent.pipeline import Item, Pipeline
from agent.records import Head, Record
from agent.reduction import UploadSettings
from agent.restamping import Step
from agent.snippets import SnippetSettings
from agent.streams import TABLE, StreamSpec, Unit
from agent.timebase import TimeMark, TimeQuality
from agent.uplink import BrokerConfig, Uplink
from calibration.certificate import Certificate
from firmware_bridge.virtual.streams import MOUNT_UP
from firmware_bridge.virtual.trip import Trip
from tests.docs.harsh_ride import harsh_items
from tests.docs.rough_ride import rough_items
from tests.docs.wet_trip import WET, WET_STREAMS, wet_items

HEAD = Head(box="box-7", boot="0123456789abcdef", software="0.1.0")
TRIP_S = 75
ODD_STREAMS = ("accel", "gyro", "load", "temperature", "humidity", "air_pressure", "lid", "leak")


def trip_blocks() -> Iterator[Block]:
    """A trip as its box would send it, second by second, with a piece lost on the cable."""
    trip = Trip(seed=1)
    clocks = {s.name: RegularClock.of_rate(s.rate_hz) for s in trip.streams}
    for second in range(TRIP_S):
        for stream in trip.streams:
            values = trip.second(second)[stream.name]
            block = Block(stream.name, second * stream.rate_hz, clocks[stream.name], values)
            if second == 33 and stream.name == "accel":
                rest = block.cut(400, len(block))
                yield block.cut(0, 363)
                yield Block(rest.stream, rest.first, rest.clock, rest.values, None, "cable")
            else:
                yield block


def trip_specs() -> list[StreamSpec]:
    return [
        StreamSpec(
            name=s.name,
            axes=s.axes,
            unit=Unit(s.unit),
            rate_hz=s.rate_hz,
            sample_bits=s.sample_bits,
            kind=TABLE[s.name].kind,
            scale=s.scale,
            full_scale=s.full_scale,
        )
        for s in Trip().streams
    ]


def run(pipeline: Pipeline, items: Iterator[Item]) -> list[Record]:
    """Push, finish, and give the records."""
    pipeline.push(TimeMark(0, 1_780_000_000_000_000_000, TimeQuality.SYNCED))
    records = [record for item in items for record in pipeline.push(item)]
    return records + pipeline.finish()


def odd_items() -> Iterator[Item]:
    """What the trip has not: zeros, an impact beyond full scale, an empty scale, sensors that fail."""
    rate_hz, seconds = 200, 40
    t = np.arange(seconds * rate_hz) / rate_hz
    accel = np.zeros((len(t), 3), np.float32)
    accel[:, 2] = 9.8
    accel[(t > 3) & (t < 6)] = 0.0
    accel[(t > 12) & (t < 12.4)] = 0.2
    impact = (t >= 12.4) & (t < 12.43)
    accel[impact] = 100.0
    quality = np.where(impact, np.uint8(Quality.SATURATED), np.uint8(0))
    yield from holed(Block("accel", 0, RegularClock.of_rate(rate_hz), accel, quality), rate_hz)
    yield from holed(Block("gyro", 0, RegularClock.of_rate(rate_hz), accel), rate_hz)
    yield from holed(Block("load", 0, RegularClock.of_rate(1), np.zeros((seconds, 4), np.float32)), 1)
    for name in ("temperature", "humidity"):
        value = np.where(np.arange(seconds) > 8, -3.0, 50.0)[:, None].astype(np.float32)
        yield from holed(Block(name, 0, RegularClock.of_rate(1), value), 1)
    for name, level, rate in (("air_pressure", 101_325.0, 1), ("lid", 1.0, 10), ("leak", 3.3, 10)):
        values = np.full((seconds * rate, 1), level, np.float32)
        yield from holed(Block(name, 0, RegularClock.of_rate(rate), values), rate)
    yield from faults()


def faults() -> Iterator[Item]:
    """Then the leak rope is gone for two minutes, in two ways; and in each way for a moment."""
    for second, phase, kind in (
        (41, FaultPhase.START, FaultKind.MISSING),
        (110, FaultPhase.UPDATE, FaultKind.NACK),
    ):
        yield word(phase, kind, second * 10**9)
        yield Silence("leak", (second + 60) * 10**9)
    yield word(FaultPhase.END, FaultKind.NACK, 170 * 10**9)
    for i, kind in enumerate(FaultKind):
        yield word(FaultPhase.START, kind, (171 + i) * 10**9)
        yield word(FaultPhase.END, kind, (171 + i) * 10**9 + 1)


def word(phase: FaultPhase, kind: FaultKind, at_ns: int) -> SensorFault:
    sensor, got = "ADS1115 at i2c-1 0x48", "no answer"
    return SensorFault("leak", at_ns, phase, kind, sensor, ("leak",), got, "an answer")


def holed(block: Block, rate_hz: int) -> Iterator[Block]:
    """Leave seconds 22 to 26 out, as a reboot of the board would."""
    rest = block.cut(26 * rate_hz, len(block))
    yield block.cut(0, 22 * rate_hz)
    yield Block(rest.stream, rest.first, rest.clock, rest.values, rest.quality, "reboot")


def told_health(pipeline: Pipeline) -> list[Record]:
    """Two records of the health of this machine: on the first look, and when the clock has been set."""
    steps: list[Step] = []
    with tempfile.TemporaryDirectory() as folder, Outbox(Path(folder)) as outbox:
        uplink = Uplink(BrokerConfig(), outbox, fleet="north", box="box-7", boot=HEAD.boot, software="0.1.0")
        around = Surroundings(
            directory=Path(folder),
            outbox=outbox.stats,
            uplink=uplink.stats,
            streams=lambda: pipeline.streams,
            tally=lambda: pipeline.tally,
            firmware=lambda: "0.1.0",
            clock_steps=lambda: steps,
        )
        reporter = Reporter(Monitor(around, 0.0), every_s=60.0, budget=0.2, raw_bytes=lambda: 1e9)
        reporter.measure()
        said = reporter.records(pipeline.health)
        outbox.put(said)
        steps.append(Step(first=0, last=11, step_s=1.5))
        reporter.measure()
        return said + reporter.records(pipeline.health)


def every_record() -> list[Record]:
    """All records of a trip, of an odd recording, and of one that is short of budget."""
    band = DetectorSettings(
        temperature=TemperatureSettings(low_degc=2.0, high_degc=8.0),
        humidity=HumiditySettings(high_percent=75.0),
    )
    trip = Pipeline(
        trip_specs(),
        head=HEAD,
        fleet="north",
        detectors=band,
        mount_up=MOUNT_UP,
        snippets=SnippetSettings(),
        certificates=[
            Certificate(
                stream="accel",
                gain=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
                bias=(0.0, 0.0, 0.0),
                standard_uncertainty=0.01,
                method="m",
                made_at="2026-01-01T00:00:00Z",
                valid_until="2026-05-28T20:27:00Z",  # 40 s into the trip
            )
        ],
    )
    odd = Pipeline(
        [TABLE[name] for name in ODD_STREAMS],
        head=HEAD,
        fleet="north",
        detectors=DetectorSettings(
            temperature=TemperatureSettings(low_degc=0.0), humidity=HumiditySettings(low_percent=5.0)
        ),
    )
    short = Pipeline(trip_specs(), head=HEAD, fleet="north", upload=UploadSettings(budget=0.02))
    harsh = Pipeline(
        [TABLE[name] for name in ("accel", "gyro")],
        head=HEAD,
        fleet="north",
        detectors=DetectorSettings(harsh=HarshSettings(forward="x")),
    )
    rough = Pipeline([TABLE["accel"]], head=HEAD, fleet="north")
    said = run(trip, trip_blocks()) + run(odd, odd_items()) + run(short, trip_blocks())
    said += told_health(trip)
    wet = Pipeline([TABLE[name] for name in WET_STREAMS], head=HEAD, fleet="north", detectors=WET)
    return said + run(harsh, harsh_items()) + run(rough, rough_items()) + run(wet, wet_items())
