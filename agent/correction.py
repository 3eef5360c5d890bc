"""From what a sensor gives to SI units, by its nominal scale and its certificate.

Element by element and in a fixed order, never by a matrix product: the library behind a product may
round differently for another block length, and the way samples are cut must not change a result.

What moves slowly (the temperature term, the zero that is followed) is reckoned once a second of box
time, from what came before that second, and holds for all its samples.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from agent.blocks import NS_PER_S, Block, Quality, SiBlock, TimesNs
from agent.drift import Second, make_watch
from agent.errors import ConfigError
from agent.hops import Hops
from agent.streams import StreamSpec
from agent.timebase import TimeMark
from agent.trust import TemperatureRange, Timeline, expired, worst
from calibration.certificate import HASH_CHARS, Certificate
from calibration.thermal_lag import LaggedTemperature, is_measured
from calibration.thermal_tracking import Trust

NO_CERTIFICATE = "none"
NOT_A_NUMBER = "not_a_number"
TEMPERATURE = "temperature"
STEP_NS = NS_PER_S
STALE_NS = 60 * NS_PER_S  # a sensor's own lag is some minutes
STALE_PERIODS = 5  # of a thermometer that is read more rarely than that
F32 = npt.NDArray[np.float32]


class Correction:
    """Corrects blocks of all streams; knows the temperature of each moment once it has been corrected.

    ``any_sensor``: apply certificates of other sensors, too. Raises ConfigError when a certificate does not
    fit its stream, or is of another sensor.
    """

    def __init__(
        self,
        specs: Sequence[StreamSpec],
        certificates: Sequence[Certificate] = (),
        *,
        any_sensor: bool = False,
    ) -> None:
        self._specs = {spec.name: spec for spec in specs}
        thermometer = self._specs.get(TEMPERATURE)
        period_ns = 0 if thermometer is None else round(NS_PER_S / thermometer.rate_hz)
        stale_ns = max(STALE_NS, STALE_PERIODS * period_ns)
        self._lanes: dict[str, _Lane] = {}
        for certificate in certificates:
            spec = self._specs.get(certificate.stream)
            if spec is not None:
                _check_fit(spec, certificate, any_sensor=any_sensor)
                self._lanes[spec.name] = _Lane(spec, certificate, stale_ns)
        self._warm = [lane for lane in self._lanes.values() if lane.needs_temperature]

    @property
    def needs_temperature(self) -> bool:
        """Whether any certificate asks for the temperature."""
        return bool(self._warm)

    def certificate_of(self, streams: Sequence[str]) -> str:
        """Return the hash that a record made of these streams names."""
        hashes = [self._lanes[s].hash for s in streams if s in self._lanes]
        if len(hashes) <= 1:
            return hashes[0] if hashes else NO_CERTIFICATE
        return hashlib.sha256("+".join(hashes).encode()).hexdigest()[:HASH_CHARS]

    def trust_of(self, streams: Sequence[str], start_ns: int, end_ns: int, mark: TimeMark) -> str:
        """Return how far a record of start_ns ≤ time < end_ns can be trusted that these streams made.

        The worst of those that have a certificate; empty where none has. `mark`: the wall clock's at the end.
        """
        lanes = [self._lanes[s] for s in streams if s in self._lanes]
        if not lanes:
            return ""
        states = [lane.trust.worst_within(start_ns, end_ns) for lane in lanes]
        states += [Trust.DEGRADED for lane in lanes if expired(lane.certificate, end_ns, mark)]
        return worst(states).value

    def trust(self, time_ns: int, mark: TimeMark) -> Mapping[str, tuple[str, str]]:
        """Return the present state of each certified stream, and why it is not trusted."""
        return {name: lane.judged(time_ns, mark) for name, lane in self._lanes.items()}

    @property
    def trust_changes(self) -> int:
        """How often a state has changed, but for certificates that expired."""
        return sum(lane.trust.changes for lane in self._lanes.values())

    def notes(self) -> list[str]:
        """Say, in plain words, which certificates were not held against their sensor, or are another's."""
        return [note for lane in self._lanes.values() for note in lane.notes()]

    def apply(self, block: Block) -> SiBlock:
        """Correct one block. Blocks of the temperature must come before those of the same time."""
        spec = self._specs[block.stream]
        nominal = block.values.astype(np.float32) * np.float32(spec.scale)
        if spec.offset:
            nominal += np.float32(spec.offset)
        quality = _saturation(nominal, spec, block.quality)
        times_ns = block.times_ns()
        lane = self._lanes.get(block.stream)
        values = nominal if lane is None else lane.corrected(nominal, times_ns)
        if block.stream == TEMPERATURE and self._warm:
            for one in self._warm:
                one.temperature.add(times_ns, values[:, 0])
        return SiBlock(block.stream, block.first, times_ns, block.period_ns, values, quality)

    def forget_before(self, time_ns: int) -> None:
        """Drop temperatures that no coming sample can need."""
        for lane in self._warm:
            lane.temperature.forget_before(time_ns - STEP_NS)  # a step begins that much before its samples

    def forget_trust_before(self, time_ns: int) -> None:
        """Drop states that no coming record can ask for."""
        for lane in self._lanes.values():
            lane.trust.forget_before(time_ns)


class NumbersOnly:
    """Takes out samples that are NaN or infinite on any axis, before a filter can keep them for ever.

    Their index is then missing, so they are told as a gap, however blocks are cut; ``taken_out`` counts them.
    """

    def __init__(self) -> None:
        self.taken_out: dict[str, int] = {}
        self._pending: set[str] = set()  # streams whose last samples were taken out
        self._begun: set[str] = set()

    def parts(self, block: Block) -> list[Block]:
        """Return what is left of `block`, in order; nothing where no sample of it is a number."""
        name = block.stream
        if block.values.dtype.kind != "f" or (finite := np.isfinite(block.values)).all():
            return [self._told(block)]
        good: npt.NDArray[np.bool_] = np.logical_and.reduce(finite, axis=1)
        self.taken_out[name] = self.taken_out.get(name, 0) + int(np.count_nonzero(~good))
        # where each run of good or bad samples begins
        edges = [0, *(np.flatnonzero(good[1:] != good[:-1]) + 1).tolist(), len(block)]
        out = []
        for begin, end in pairwise(edges):
            if good[begin]:
                out.append(self._told(block.cut(begin, end)))
            elif name in self._begun or block.first + begin == 0:
                self._begun.add(name)
                self._pending.add(name)
        return out

    def _told(self, block: Block) -> Block:
        self._begun.add(block.stream)
        if block.stream not in self._pending:
            return block
        self._pending.discard(block.stream)
        return replace(block, missing_reason=NOT_A_NUMBER)

    def notes(self) -> list[str]:
        """Say what was taken out."""
        return [f"{name}: {n} samples were no numbers, and left out" for name, n in self.taken_out.items()]


class _Lane:
    """One certified stream: what is subtracted in each second, and how far it is to be trusted."""

    def __init__(self, spec: StreamSpec, certificate: Certificate, stale_ns: int) -> None:
        self.certificate = certificate
        self.hash = certificate.hash
        self.trust = Timeline()
        term = certificate.temperature
        self.temperature = _Temperature(0.0 if term is None else term.lag_s)
        self._spec = spec
        self._range = TemperatureRange(certificate, stale_ns)
        # it would have to know its own temperature before it measures it
        self._own = spec.name == TEMPERATURE
        self._watch = make_watch(spec, certificate)
        self._hops = Hops(STEP_NS)
        self._began_ns: int | None = None
        self._step: int | None = None
        self._bias: list[np.float32] = [np.float32(b) for b in certificate.bias]
        self._drift = [0.0] * certificate.axes
        self._state, self._reason = Trust.TRUSTED, ""

    @property
    def needs_temperature(self) -> bool:
        """Whether anything of it depends on the temperature."""
        return self._range.needed and not self._own

    def notes(self) -> list[str]:
        """Say what could not be checked, and what is not watched."""
        said, known = self.certificate.sensor, self._spec.sensor
        name = f"certificate {self.hash} for {self._spec.name}"
        notes = []
        if said and known and said != known:
            notes.append(f"{name}: it is of another sensor: {said}, and here is {known}")
        elif not said or not known:
            why = "it names none" if not said else "the source does not say which it is"
            notes.append(f"{name}: not checked whether it is of this sensor: {why}")
        if self._own and self._range.needed:
            notes.append(f"{name}: its temperature term and range are not used for the thermometer itself")
        watch_note = self._watch.note() if self._watch is not None else ""
        return [*notes, watch_note] if watch_note else notes

    def judged(self, time_ns: int, mark: TimeMark) -> tuple[str, str]:
        """Return how far it is trusted at `time_ns`, the time of the last sample, and why not."""
        state, why = self.trust.state, self.trust.reason
        if expired(self.certificate, time_ns, mark):
            until = f"its certificate was valid until {self.certificate.valid_until}"
            state, why = worst((state, Trust.DEGRADED)), "; ".join(word for word in (why, until) if word)
        return state.value, why

    def corrected(self, nominal: F32, times_ns: TimesNs) -> F32:
        """Return what the certificate makes of these samples."""
        out = np.zeros_like(nominal)
        begin, n = 0, len(times_ns)
        while begin < n:
            start_ns = int(times_ns[begin])
            step = start_ns // STEP_NS
            end = int(np.searchsorted(times_ns, (step + 1) * STEP_NS, side="left"))
            if step != self._step:
                self._step = step
                self._begin(step * STEP_NS, start_ns)
            self._apply(nominal[begin:end], out[begin:end])
            if self._watch is not None:
                part = SiBlock(self._spec.name, 0, times_ns[begin:end], 0, out[begin:end])
                self._hops.feed(part)
            begin = end
        return out

    def _begin(self, step_ns: int, sample_ns: int) -> None:
        """A second begins at `step_ns`, its first sample at `sample_ns`: reckon what holds for all of it."""
        if self._began_ns is None:
            self._began_ns = step_ns
        self._look_back(step_ns)
        warm = self.temperature.at(step_ns) if self.needs_temperature else None
        self._bias = [np.float32(bias) for bias in self._biases(warm)]
        age_ns = step_ns - self._began_ns if warm is None else warm.age_ns
        degc = None if warm is None else warm.sensor_degc
        why = self._range.why_not(degc, age_ns) if self.needs_temperature else ""
        state = worst((self._state, Trust.DEGRADED if why else Trust.TRUSTED))
        self.trust.set(sample_ns, state, "; ".join(word for word in (self._reason, why) if word))

    def _look_back(self, step_ns: int) -> None:
        """Judge the seconds that are over."""
        run = self._hops.advance(step_ns) if self._watch is not None else None
        if run is None or self._watch is None:
            return
        rows = zip(
            run.index.tolist(), run.count.tolist(), run.mean.tolist(), run.squares.tolist(), strict=True
        )
        for index, count, mean, squares in rows:
            variance = [max(0.0, q / count - m * m) for q, m in zip(squares, mean, strict=True)]
            verdict = self._watch.step(Second((index + 1) * STEP_NS, count, mean, variance))
            self._drift = list(verdict.bias)
            self._state, self._reason = verdict.state, verdict.reason

    def _biases(self, warm: _Warmth | None) -> list[float]:
        term, biases = self.certificate.temperature, list(self.certificate.bias)
        if term is None or warm is None:
            return biases
        # beyond what the fit has seen its curve says nothing; there it holds what it said last
        sensor_degc = warm.sensor_degc
        if term.low_degc is not None:
            sensor_degc = max(sensor_degc, term.low_degc)
        if term.high_degc is not None:
            sensor_degc = min(sensor_degc, term.high_degc)
        delta = sensor_degc - term.reference_degc
        factors = (
            (term.bias_per_degc, delta),
            (term.bias_per_degc2, delta * delta),
            (term.bias_per_degc_per_s, warm.rate_degc_per_s),
        )
        for row, factor in factors:
            for i, slope in enumerate(row):
                biases[i] += slope * factor
        return biases

    def _apply(self, nominal: F32, out: F32) -> None:
        columns = [nominal[:, i] - bias for i, bias in enumerate(self._bias)]
        for i, (row, drift) in enumerate(zip(self.certificate.gain, self._drift, strict=True)):
            for gain, column in zip(row, columns, strict=True):
                if gain != 0.0:
                    out[:, i] += np.float32(gain) * column
            if drift != 0.0:
                out[:, i] -= np.float32(drift)


def _check_fit(spec: StreamSpec, certificate: Certificate, *, any_sensor: bool) -> None:
    doing = f"applying certificate {certificate.hash} to stream {certificate.stream!r}"
    if len(spec.axes) != certificate.axes:
        raise ConfigError(
            doing,
            got=f"{certificate.axes} axes",
            expected=f"{len(spec.axes)} ({', '.join(spec.axes)})",
            remedy="It belongs to another sensor; name the right file under [certificates].",
        )
    if certificate.unit and certificate.unit != spec.unit.value:
        raise ConfigError(
            doing,
            got=f"figures in {certificate.unit}",
            expected=f"{spec.unit.value}, the stream's unit",
            remedy="It belongs to another sensor; name the right file under [certificates].",
        )
    other = certificate.sensor and spec.sensor and certificate.sensor != spec.sensor
    if other and not any_sensor:
        raise ConfigError(
            doing,
            got=f"a certificate of the sensor {certificate.sensor}",
            expected=f"one of {spec.sensor}, which gives this stream",
            remedy=f"Calibrate this one, or take the file out of [certificates]. If it is the same sensor in "
            f"another place, say so: [streams.{spec.name}] sensor = {certificate.sensor!r}.",
        )


def _saturation(
    nominal: F32, spec: StreamSpec, quality: npt.NDArray[np.uint8] | None
) -> npt.NDArray[np.uint8] | None:
    if spec.full_scale is None:
        return quality
    beyond = (np.abs(nominal) >= np.float32(spec.full_scale)).any(axis=1)
    if not beyond.any():
        return quality
    flags = np.zeros(len(nominal), np.uint8) if quality is None else quality.copy()
    flags[beyond] |= np.uint8(Quality.SATURATED)
    return flags


@dataclass(frozen=True, slots=True)
class _Warmth:
    """How warm a sensor is, how fast that changes, and how old the measurement is that says so."""

    sensor_degc: float
    rate_degc_per_s: float
    age_ns: int


class _Temperature:
    """The temperature of one sensor, which follows the thermometer with a lag."""

    def __init__(self, lag_s: float) -> None:
        self._lag_s = lag_s
        self._model = LaggedTemperature(lag_s)
        self._times_ns: list[int] = []
        self._degc: list[tuple[float, float]] = []  # measured, and of the sensor

    def add(self, times_ns: TimesNs, degc: F32) -> None:
        """Take what was measured; what is no number, or stands for "no answer", is passed over."""
        for time_ns, value in zip(times_ns.tolist(), degc.tolist(), strict=True):
            if is_measured(value):
                last_ns = self._times_ns[-1] if self._times_ns else time_ns
                sensor_degc, _ = self._model.step((time_ns - last_ns) / NS_PER_S, value)
                self._times_ns.append(time_ns)
                self._degc.append((value, sensor_degc))

    def at(self, time_ns: int) -> _Warmth | None:
        """Return how warm it was; what was measured last holds. None before the first measurement."""
        i = bisect_right(self._times_ns, time_ns) - 1
        if i < 0:
            return None
        age_ns = time_ns - self._times_ns[i]
        degc, sensor_degc = self._degc[i]
        if self._lag_s <= 0.0:
            return _Warmth(degc, 0.0, age_ns)
        sensor_degc = degc + (sensor_degc - degc) * math.exp(-age_ns / NS_PER_S / self._lag_s)
        return _Warmth(sensor_degc, (degc - sensor_degc) / self._lag_s, age_ns)

    def forget_before(self, time_ns: int) -> None:
        """Drop what was no longer the last at `time_ns`."""
        keep = bisect_right(self._times_ns, time_ns) - 1
        if keep > 0:
            del self._times_ns[:keep], self._degc[:keep]
