"""Shock: a pulse whose peak and whose velocity change are both beyond what the cargo stands.

The damage boundary of ASTM D3332: below a critical velocity change no peak does harm (a hammer's knock
beside the sensor: 100 g, 0.1 m/s), below a critical acceleration no velocity change does (a speed hump:
2 g, 2 m/s). Fragility classes start at 15 to 25 g for what is extremely fragile, 25 to 40 g very delicate,
40 to 60 g delicate (MIL-HDBK-304C; Brandenburg and Lee, Fundamentals of Packaging Dynamics); the default is
the lower end of the first. 0.9 m/s is the speed of a fall from 4 cm, harder than anybody sets a box down,
and below the 1.03 m/s of the mildest pulse in common use, 15 g for 11 ms (IEC 60068-2-27).

Samples decide: the alarm comes with the one that takes the pulse beyond both. A sample at the end of the
range is a lower bound, and is judged as soon as the sensor has come back from there: one that is stuck
never does. The impact of a fall belongs to its drop.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from agent.blocks import NS_PER_S, Quality, SiBlock
from agent.detection.claims import Claims
from agent.detection.finding import EventType, Finding, Value
from agent.detection.pulse import Pulse, squared_size
from agent.detection.sample_detector import SampleDetector
from agent.mounting import Vector
from agent.ranges import NotNegative, Positive
from agent.records import Severity
from agent.shock_response import ShockResponse
from calibration.gravity import STANDARD_GRAVITY_MPS2

ONSET_PART = 0.2
"""A pulse is watched from this part of the limit on: what a half-sine has below it is 2 % of its area."""
CLIPPED_PART = 0.7
"""What is clipped was larger by an unknown part: a half-sine clipped to half loses 30 % of its area."""
RECTANGULAR_S = 0.02
"""A mass does not jump to one value, stay there for longer than this, and jump back: that is the sensor."""
REST_NS = 100_000_000  # whose mean is what a pulse is seen against
LEAD_NS = 5_000_000  # right before a pulse, not part of that
RESPONSE_S = 0.3  # from a pulse on: by then what it shook has swung farthest, and what follows is another
RESPONSE_HZ = (10.0, 20.0, 40.0, 80.0, 160.0)
SAMPLES_A_CYCLE = 5.0
STEPS = 256  # of a pulse that are looked at in one go
GOOD_RATE_HZ = 1000.0
"""Below, an 11 ms pulse is seen only in part."""


class ShockSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Both of a pair must be passed: peak of the acceleration beyond gravity, and change of velocity."""

    enabled: bool = True
    peak_mps2: Positive = 147.1  # 15 g
    delta_v_mps: Positive = 0.9
    """Beyond both: major, at once."""
    critical_peak_mps2: Positive = 392.3
    critical_delta_v_mps: Positive = 3.0
    noted_peak_mps2: Positive = 98.1
    noted_delta_v_mps: Positive = 0.3
    """Beyond both: general. Twice what a door or a knock gives."""
    min_duration_s: NotNegative = 0.002
    """Shorter is never major."""
    max_duration_s: Positive = 0.15
    """Longer is no shock but a force that stays."""
    settle_s: Positive = 1.0
    """Shocks closer together are one event."""


class ShockDetector(SampleDetector):
    """Watches one accelerometer stream. `drops`: those known; `shocks`: where it says which it knows."""

    def __init__(
        self,
        settings: ShockSettings,
        drops: Claims | None = None,
        shocks: Claims | None = None,
        stream: str = "accel",
    ) -> None:
        super().__init__(EventType.SHOCK, stream)
        self._settings = settings
        self._drops = drops or Claims()
        self._shocks = shocks or Claims()
        onset_mps2 = STANDARD_GRAVITY_MPS2 + ONSET_PART * settings.peak_mps2
        self._onset_mps2 = onset_mps2
        self._onset_squared = np.float32(onset_mps2**2)
        self._harmless_axis = np.float32(onset_mps2 / np.sqrt(3))  # on each axis: and so is the whole
        self._max_ns = round(settings.max_duration_s * NS_PER_S)
        self._settle_ns = round(settings.settle_s * NS_PER_S)
        self._recent: deque[tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]] = deque()
        self._pulse: Pulse | None = None
        self._ignored = False
        self._lead = np.empty((0, 3), np.float32)
        self._event: _Event | None = None
        self._slow_hz: float | None = None
        self._clipped_low = 0
        self._period_ns = 0

    def notes(self) -> Sequence[str]:
        """Say what of shocks this stream cannot show."""
        said = []
        if self._slow_hz is not None:
            said.append(
                f"shock: {self.streams[0]} at {self._slow_hz:.0f} Hz sees a pulse shorter than "
                f"{2000 / self._slow_hz:.0f} ms in part or not at all; it needs {GOOD_RATE_HZ:.0f} Hz"
            )
        if self._clipped_low:
            said.append(
                f"shock: {self._clipped_low} samples of {self.streams[0]} were at the end of its range, "
                f"below the limit of {self._settings.peak_mps2:.0f} m/s2: it cannot show how hard a shock was"
            )
        return said

    def _cut_off(self, decided_ns: int) -> Sequence[Finding]:
        found: list[Finding] = []
        if self._pulse is not None:
            self._close(decided_ns, self._period_ns, found)
        found.append(self._finish(decided_ns))
        return found

    def _take(self, block: SiBlock) -> Sequence[Finding]:
        self._period_ns = block.period_ns
        if block.period_ns * GOOD_RATE_HZ > 1.05 * NS_PER_S:
            self._slow_hz = NS_PER_S / block.period_ns
        self._count_clipped(block)
        strong = self._strong(block)
        found: list[Finding] = []
        if strong is not None or self._pulse is not None or self._event is not None:
            self._walk(block, strong, found)
        self._remember(block)
        return found

    def _count_clipped(self, block: SiBlock) -> None:
        if block.quality is None:
            return
        v = block.values[(block.quality & Quality.SATURATED) > 0]
        low = (v * v).sum(axis=1) < (CLIPPED_PART * self._settings.peak_mps2) ** 2
        self._clipped_low += int(np.count_nonzero(low))

    def _strong(self, block: SiBlock) -> npt.NDArray[np.bool_] | None:
        v, limit = block.values, self._harmless_axis
        if v.max() < limit and v.min() > -limit:
            return None
        strong = squared_size(block) > self._onset_squared
        return strong if strong.any() else None

    def _walk(self, block: SiBlock, strong: npt.NDArray[np.bool_] | None, found: list[Finding]) -> None:
        positions = np.flatnonzero(strong) if strong is not None else np.empty(0, np.int64)
        at = 0
        while at < len(block):
            if self._pulse is not None:
                at = self._follow(block, positions, at, found)
                continue
            which = int(np.searchsorted(positions, at))
            nearest = int(positions[which]) if which < len(positions) else len(block)
            if self._event is not None:
                until_ns = self._event.end_ns + self._settle_ns
                over = max(at, int(np.searchsorted(block.times_ns, until_ns)))
                self._event.feed(block.values[at : min(over, nearest)])
                if over < nearest:
                    found.append(self._finish(int(block.times_ns[over])))
                    at = over
                    continue
            if nearest < len(block):
                self._begin(block, nearest)
            at = nearest

    def _begin(self, block: SiBlock, at: int) -> None:
        start_ns = int(block.times_ns[at])
        rest, self._lead = self._before(block, at)
        self._pulse = Pulse(start_ns, block.period_ns, rest, self._onset_mps2)
        self._ignored = self._drops.at(start_ns)

    def _follow(self, block: SiBlock, positions: npt.NDArray[np.int64], at: int, found: list[Finding]) -> int:
        """Step through the pulse from `at` on; return where it ended, or where to go on."""
        pulse, limits = self._pulse, self._settings
        assert pulse is not None
        end = min(len(block), at + STEPS)
        times, forces = block.times_ns[at:end].tolist(), block.values[at:end].tolist()
        clipped = None if block.quality is None else (block.quality[at:end] & Quality.SATURATED).tolist()
        begin, stop = np.searchsorted(positions, (at, end))
        strong = set((positions[begin:stop] - at).tolist())
        for i, (time_ns, (x, y, z)) in enumerate(zip(times, forces, strict=True)):
            if pulse.over(time_ns, block.period_ns):
                self._close(time_ns, block.period_ns, found)
                return at + i
            if time_ns - pulse.start_ns > self._max_ns:  # no shock any more
                pulse.last_ns = time_ns if i in strong else pulse.last_ns
                continue
            pulse.take(
                time_ns, (x, y, z), strong=i in strong, clipped=clipped is not None and bool(clipped[i])
            )
            if (
                pulse.delta_v_mps >= CLIPPED_PART * limits.delta_v_mps
                and not self._ignored
                and (severity := self._severity(pulse)) >= Severity.MAJOR
            ):
                self._tell(time_ns, severity, pulse, found)
        return end

    def _severity(self, pulse: Pulse) -> int:
        """How bad this pulse is as far as it was seen; 0: not worth a word."""
        s = self._settings
        if pulse.flat_now:
            return 0
        # in this order: to see the shape takes a look at every sample so far
        if pulse.flat and pulse.strong_s > RECTANGULAR_S and pulse.rectangular:
            return 0
        part = CLIPPED_PART if pulse.clipped else 1.0
        lasted = pulse.strong > 1 and pulse.strong_s >= 0.9 * s.min_duration_s
        limits = (
            (Severity.CRITICAL, s.critical_peak_mps2, s.critical_delta_v_mps),
            (Severity.MAJOR, s.peak_mps2, s.delta_v_mps),
            (Severity.GENERAL, s.noted_peak_mps2, s.noted_delta_v_mps),
        )
        for severity, peak_mps2, delta_v_mps in limits:
            if pulse.peak_mps2 >= part * peak_mps2 and pulse.delta_v_mps >= part * delta_v_mps:
                return severity if lasted else min(severity, Severity.GENERAL)
        return 0

    def _tell(self, decided_ns: int, severity: int, pulse: Pulse, found: list[Finding]) -> None:
        """Begin an event, or say that it became worse."""
        track = self._track
        if not track.active:
            self._event = _Event(pulse)
            self._shocks.known(decided_ns)
            found.append(track.start(decided_ns, pulse.start_ns, Severity(severity), self._event.values()))
        elif self._event is not None and severity > track.severity:
            self._event.add(pulse)
            finding = track.update(decided_ns, Severity(severity), self._event.values())
            found.extend(() if finding is None else (finding,))

    def _close(self, time_ns: int, period_ns: int, found: list[Finding]) -> None:
        """The pulse is over."""
        pulse = self._pulse
        assert pulse is not None
        self._pulse = None
        severity = 0 if self._ignored else self._severity(pulse)
        if severity:
            self._tell(time_ns, severity, pulse, found)
        if self._event is not None:
            self._event.close(pulse, self._lead, NS_PER_S / period_ns, harmful=bool(severity))

    def _finish(self, decided_ns: int) -> Finding:
        event, track = self._event, self._track
        assert event is not None
        self._event = None
        self._shocks.over(decided_ns)
        return track.end(decided_ns, event.end_ns, track.severity, event.values(ended=True))

    def _before(self, block: SiBlock, at: int) -> tuple[Vector, npt.NDArray[np.float32]]:
        """Return the mean specific force before a pulse, and the samples right before it less that."""
        start_ns = int(block.times_ns[at])
        parts = [*self._recent, (block.times_ns[:at], block.values[:at])]
        times = np.concatenate([t for t, _ in parts])
        values = np.concatenate([v for _, v in parts])
        first, lead = np.searchsorted(times, (start_ns - REST_NS, start_ns - LEAD_NS))
        if first == lead:  # the data begin with it, or come too slowly to know
            first, lead = max(0, len(times) - 1), len(times)
        if first == lead:
            return (0.0, 0.0, 0.0), values[:0]
        rest = values[first:lead].astype(np.float64).mean(axis=0)
        x, y, z = rest.tolist()
        return (x, y, z), values[lead:] - rest.astype(np.float32)

    def _remember(self, block: SiBlock) -> None:
        self._recent.append((block.times_ns, block.values))
        oldest_ns = int(block.times_ns[-1]) - REST_NS - LEAD_NS
        while int(self._recent[0][0][-1]) < oldest_ns:
            self._recent.popleft()


class _Event:
    """What is said of the shocks that follow each other."""

    def __init__(self, pulse: Pulse) -> None:
        self.end_ns = pulse.last_ns
        self._worst = pulse
        self._peak_mps2 = self._delta_v_mps = 0.0
        self._pulses = 0
        self._clipped = False
        self._left = 0
        self._shaken: npt.NDArray[np.float64] | None = None
        self._rest: Vector = (0.0, 0.0, 0.0)
        self._response: ShockResponse | None = None
        self._frequencies_hz: tuple[float, ...] = ()

    def add(self, pulse: Pulse) -> None:
        """Take what is known of a pulse so far."""
        if pulse.delta_v_mps * pulse.peak_mps2 > self._worst.delta_v_mps * self._worst.peak_mps2:
            self._worst = pulse
        self._peak_mps2 = max(self._peak_mps2, pulse.peak_mps2)
        self._delta_v_mps = max(self._delta_v_mps, pulse.delta_v_mps)
        self._clipped |= pulse.clipped > 0

    def close(self, pulse: Pulse, lead: npt.NDArray[np.float32], rate_hz: float, *, harmful: bool) -> None:
        """Take a pulse that is over; one that does no harm still shakes what the others shook."""
        if self._left <= 0 and (harmful or self._response is not None):
            self._hear_out()
            self._frequencies_hz = tuple(f for f in RESPONSE_HZ if f * SAMPLES_A_CYCLE <= rate_hz)
            self._left = round(RESPONSE_S * rate_hz)
            if self._frequencies_hz:
                self._response = ShockResponse(rate_hz, self._frequencies_hz)
                self._response.feed(lead)
        if harmful:
            self.add(pulse)
            self._pulses += 1
            self.end_ns = pulse.last_ns
        self._rest = pulse.rest
        self._shake(np.array(pulse.samples))

    def feed(self, forces: npt.NDArray[np.float32]) -> None:
        """Take samples between pulses."""
        self._shake(forces.astype(np.float64) - np.array(self._rest))

    def _shake(self, moved: npt.NDArray[np.float64]) -> None:
        if self._response is not None and self._left > 0 and len(moved):
            self._response.feed(moved[: self._left])
            self._left -= len(moved)

    def values(self, *, ended: bool = False) -> Mapping[str, Value]:
        """Return the figures of a record."""
        worst = self._worst
        self.add(worst)
        said: dict[str, Value] = {
            "peak_mps2": round(self._peak_mps2, 1),
            "delta_v_mps": round(self._delta_v_mps, 2),
            "duration_s": round(worst.duration_s, 4),
            "axis": worst.axis,
        }
        if self._clipped:
            said["peak_saturated"] = True
        if not ended:
            return said
        if self._pulses > 1:
            said["pulses"] = self._pulses
        self._hear_out()
        if self._shaken is not None:
            said["srs_hz"] = list(self._frequencies_hz)
            said["srs_mps2"] = [round(p, 1) for p in self._shaken.tolist()]
        return said

    def _hear_out(self) -> None:
        """Take the response to what was felt up to now."""
        if self._response is not None:
            peaks = self._response.peaks().max(axis=1)
            self._shaken = peaks if self._shaken is None else np.maximum(self._shaken, peaks)
            self._response = None
