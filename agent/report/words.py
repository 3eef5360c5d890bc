"""A trip in plain words: its story, what each event was, and its figures with their units."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from agent.report.text import plain
from agent.report.trip import Event, Trip

GRAVITY_MPS2 = 9.80665  # standard gravity, CGPM 1901
SEVERITIES = {1: "minor", 2: "general", 3: "major", 4: "critical"}
NAMES: Mapping[str, tuple[str, str]] = {
    "tilt": ("tilt", "tilts"),
    "drop": ("drop", "drops"),
    "shock": ("shock", "shocks"),
    "bump": ("bump", "bumps"),
    "harsh_brake": ("hard braking", "times hard braking"),
    "harsh_acceleration": ("hard acceleration", "hard accelerations"),
    "harsh_turn": ("hard turn", "hard turns"),
    "vibration": ("spell of strong vibration", "spells of strong vibration"),
    "slosh": ("sloshing", "times sloshing"),
    "load_shift": ("load shift", "load shifts"),
    "pressure": ("swing of pressure", "swings of pressure"),
    "leak": ("leak", "leaks"),
    "temperature": ("temperature excursion", "temperature excursions"),
    "humidity": ("humidity excursion", "humidity excursions"),
    "sensor_fault": ("sensor fault", "sensor faults"),
}
CONTEXTS = {
    "parked": "while parked",
    "driving": "while driving",
    "handling": "while being handled",
    "loading": "while being loaded",
    "door_open": "with the door open",
}
REASONS = {
    "cable": "lost on the cable",
    "overflow": "the sensor's memory ran over",
    "reboot": "the board restarted",
    "silent": "the sensor gave nothing",
    "late": "came too late",
    "log": "missing from the log",
    "unknown": "reason not known",
    "busy": "the bus was busy",
    "not_a_number": "the values were no numbers",
}
# the value that says how bad an event of a type was: its key, what stands before it, the factor, the unit
HEADLINES: Mapping[str, tuple[str, str, float, str]] = {
    "tilt": ("angle_deg", "", 1.0, "°"),
    "drop": ("height_m", "from ", 1.0, " m"),
    "shock": ("peak_mps2", "", 1 / GRAVITY_MPS2, " g"),
    "bump": ("peak_mps2", "", 1 / GRAVITY_MPS2, " g"),
    "harsh_brake": ("peak_mps2", "", 1 / GRAVITY_MPS2, " g"),
    "harsh_acceleration": ("peak_mps2", "", 1 / GRAVITY_MPS2, " g"),
    "harsh_turn": ("peak_mps2", "", 1 / GRAVITY_MPS2, " g"),
    "vibration": ("worst_mps2", "", 1.0, " m/s² r.m.s."),
    "slosh": ("rise_m", "", 100.0, " cm"),
    "load_shift": ("moved", "centre moved by ", 100.0, " %"),
    "pressure": ("swing_pa", "", 0.001, " kPa"),
    "leak": ("by", "by ", 1.0, ""),
    "temperature": ("farthest_degc", "", 1.0, " °C"),
    "humidity": ("farthest_percent", "", 1.0, " %"),
    "sensor_fault": ("sensor", "", 1.0, ""),
}
LABELS = {
    "angle_deg": "largest angle",
    "level_deg": "limit passed",
    "fall_s": "free fall",
    "height_m": "height of fall",
    "peak_mps2": "peak",
    "peak_saturated": "beyond the sensor's range",
    "implausible": "longer than any fall",
    "delta_v_mps": "change of velocity",
    "duration_s": "duration",
    "rebounds": "rebounds",
    "worst_mps2": "strongest",
    "rms_mps2": "vibration at the end",
    "limit_mps2": "limit",
    "dose_s": "as long at the limit",
    "farthest_degc": "farthest",
    "farthest_percent": "farthest",
    "lasted_s": "outside for",
    "low_degc": "lower limit",
    "high_degc": "upper limit",
    "low_percent": "lower limit",
    "high_percent": "upper limit",
    "load_kg": "load",
    "moved": "centre moved by",
    "swing_pa": "swing",
    "limit_pa": "limit",
    "rise_m": "rose by",
    "freeboard_m": "room to the rim",
}
UNITS = {
    "deg": "°",
    "degc": " °C",
    "degc_per_min": " °C/min",
    "percent_per_min": " %/min",
    "hz": " Hz",
    "kg": " kg",
    "m": " m",
    "mps": " m/s",
    "mps2": " m/s²",
    "pa": " Pa",
    "percent": " %",
    "s": " s",
    "v": " V",
}
FIRST = ("drop", "shock", "leak", "tilt", "slosh", "load_shift", "pressure", "humidity", "vibration")
GROWING = frozenset({"dose_s", "duration_s", "lasted_s"})  # with an event that is not over
SO_FAR = " so far, when last told"
NOTHING = "nothing happened that the box was told to watch for"
ONE_OF_MANY = 3  # kinds of events that a story names before it says "and others"


def count_of(kind: str, count: int) -> str:
    """Say how many events of a type there were."""
    one, many = NAMES.get(kind, (kind.replace("_", " "), f"{kind.replace('_', ' ')} events"))
    return f"1 {one}" if count == 1 else f"{count} {many}"


def name_of(kind: str) -> str:
    """Name one event of a type, beginning with a capital."""
    name = NAMES.get(kind, (kind.replace("_", " "), ""))[0]
    return plain(name[:1].upper() + name[1:])


def moment(time_s: float, *, seconds: bool = True) -> str:
    """Return the time of day, UTC."""
    return datetime.fromtimestamp(time_s, UTC).strftime("%H:%M:%S" if seconds else "%H:%M")


def clock(trip: Trip, time_s: float, *, seconds: bool = True) -> str:
    """Return the time of day, UTC; of a trip whose date nobody knows how long it had lasted then."""
    if trip.has_dates:
        return moment(time_s, seconds=seconds)
    whole = max(0, int(time_s - trip.start_s))
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def clock_words(trip: Trip) -> str:
    """Name what `clock` returns."""
    return "Time (UTC)" if trip.has_dates else "Into the trip"


def date(time_s: float) -> str:
    """Return the date, UTC."""
    when = datetime.fromtimestamp(time_s, UTC)
    return f"{when.day} {when:%B %Y}"


def duration(seconds: float) -> str:
    """Say how long, as people do."""
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if round(seconds) < 600:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    if seconds >= 48 * 3600:
        days, hours = divmod(round(seconds / 3600), 24)
        return f"{days} days {hours} h" if hours else f"{days} days"
    whole = round(seconds / 60)
    return f"{whole // 60} h {whole % 60} min" if whole % 60 else f"{whole // 60} h"


def size(count: float) -> str:
    """Say how many bytes."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def percent(part: float) -> str:
    """Say a part in per cent, to two digits where it is small."""
    value = 100 * part
    return f"{value:.0f} %" if value >= 10 or value == 0 else f"{value:.2g} %"


def figure(value: float) -> str:
    """Write a number to three digits or to the whole."""
    if not math.isfinite(value):
        return "unknown"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def number_of(given: Any) -> float | None:
    """Return a value of an event that is a number; None for one that is none."""
    return float(given) if isinstance(given, int | float) and not isinstance(given, bool) else None


def headline(event: Event) -> str:
    """Say how bad it was, in one figure; nothing where there is none."""
    key, before, factor, unit = HEADLINES.get(event.type, ("", "", 1.0, ""))
    given = event.values.get(key)
    if isinstance(given, bool) or given is None:
        return ""
    if isinstance(given, int | float):
        return f"{before}{figure(given * factor)}{unit}"
    return f"{before}{plain(given)}"


def badness(event: Event) -> tuple[int, float]:
    """Return what orders events of a type, the worst last."""
    given = event.values.get(HEADLINES.get(event.type, ("",))[0])
    size = abs(given) if isinstance(given, int | float) and not isinstance(given, bool) else 0.0
    if event.type == "temperature" and isinstance(given, int | float):
        low, high = (number_of(event.values.get(key)) for key in ("low_degc", "high_degc"))
        size = max(low - given if low is not None else 0.0, given - high if high is not None else 0.0)
    return event.severity, size


def facts(event: Event) -> list[tuple[str, str]]:
    """Return the figures of an event: what each is, and its value with its unit."""
    told: list[tuple[str, str]] = []
    for key, given in event.values.items():
        if key in {"srs_hz", "srs_mps2"} or (key == "direction_known" and "direction" in event.values):
            continue
        label = LABELS.get(key, _label(key))
        told.append(
            (plain(label), _value(key, given) + (SO_FAR if event.end_s is None and key in GROWING else ""))
        )
    if (response := _shock_response(event.values)) is not None:
        told.append(("shock response, largest", response))
    return told


def _label(key: str) -> str:
    name, _, unit = key.rpartition("_")
    return (name if name and unit in UNITS else key).replace("_", " ")


def _value(key: str, given: Any) -> str:
    unit = UNITS.get("_".join(key.split("_")[-3:])) or UNITS.get(key.rpartition("_")[2], "")
    if isinstance(given, bool):
        return "yes" if given else "no"
    if isinstance(given, int | float):
        if key.endswith("_s") and "_per_" not in key:
            return duration(given)
        if key == "moved":
            return f"{figure(100 * given)} % of half the platform"
        said = f"{figure(given)}{unit}"
        return f"{said} ({figure(given / GRAVITY_MPS2)} g)" if key.endswith("mps2") else said
    if isinstance(given, Sequence) and not isinstance(given, str):
        return ", ".join(figure(v) if isinstance(v, int | float) else plain(v) for v in given)
    return plain(str(given).replace("_", " "))


def _shock_response(values: Mapping[str, Any]) -> str | None:
    hz, mps2 = values.get("srs_hz"), values.get("srs_mps2")
    if not isinstance(hz, list) or not isinstance(mps2, list) or not hz or len(hz) != len(mps2):
        return None
    most, at = max(zip(mps2, hz, strict=True))
    return f"{figure(most)} m/s² ({figure(most / GRAVITY_MPS2)} g) at {figure(at)} Hz"


def story(trip: Trip, climate: str = "", *, broken: bool = False) -> str:
    """Tell a trip in a sentence or two.

    ``climate``: what is to be said of its temperature, if anything; ``broken``: that it was not always told.
    """
    why = "the clock was never set" if trip.qualities else "no record, no log"
    when = f"On {date(trip.start_s)}, " if trip.has_dates else f"Date not known ({why}), "
    parts = [_happened(trip), climate or _excursions(trip)]
    ratio = trip.summary.get("upload_ratio")
    if ratio:
        parts.append(f"{percent(ratio)} of the data was uploaded")
    parts.append(_gaps(trip, broken=broken))
    return f"{when}{duration(trip.duration_s)}: {'; '.join(part for part in parts if part)}."


def _happened(trip: Trip) -> str:
    kinds: dict[str, list[Event]] = defaultdict(list)
    for event in trip.events:
        if event.type not in {"temperature", "sensor_fault"}:
            kinds[event.type].append(event)
    if not kinds:
        return "" if any(event.type == "temperature" for event in trip.events) else NOTHING
    order = sorted(kinds, key=lambda kind: (-max(e.severity for e in kinds[kind]), _place(kind)))
    said = []
    for kind in order[:ONE_OF_MANY]:
        worst = max(kinds[kind], key=badness)
        how = headline(worst)
        one = len(kinds[kind]) == 1
        which = "" if one else "the worst "
        said.append(
            f"{count_of(kind, len(kinds[kind]))}, {which}{how}".rstrip(", ")
            if how or not one
            else count_of(kind, 1)
        )
        before = "at" if trip.has_dates else "after"
        said[-1] += f" {before} {clock(trip, worst.start_s, seconds=trip.duration_s < 600)}"
    rest = sum(len(kinds[kind]) for kind in order[ONE_OF_MANY:])
    if rest:
        said.append(f"{rest} more event{'s' if rest > 1 else ''} of other kinds")
    return "; ".join(said)


def _place(kind: str) -> int:
    """Return where a kind stands in a story: what breaks goods goes before what worries them."""
    return FIRST.index(kind) if kind in FIRST else len(FIRST)


def _excursions(trip: Trip) -> str:
    found = [event for event in trip.events if event.type == "temperature"]
    if not found:
        return ""
    worst = max(found, key=badness)
    return f"{count_of('temperature', len(found))}, the farthest {headline(worst)}"


def _gaps(trip: Trip, *, broken: bool) -> str:
    faults = sum(event.type == "sensor_fault" for event in trip.events)
    none = "no other gaps" if broken else "no gaps"
    said = [f"{len(trip.gaps)} gap{'s' if len(trip.gaps) > 1 else ''} in the data"] if trip.gaps else [none]
    if faults:
        said.append(count_of("sensor_fault", faults))
    return ", ".join(said)
