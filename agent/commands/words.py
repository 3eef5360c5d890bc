"""Records in plain words, a line each; for people, and free of rich, which the card does without."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

SEVERITY_WORD = {1: "minor", 2: "general", 3: "major", 4: "critical"}
UNIT_WORDS = {
    "db": " dB",
    "deg": "°",
    "degc": " °C",
    "hz": " Hz",
    "kg": " kg",
    "m": " m",
    "mps": " m/s",
    "mps2": " m/s²",
    "mps3": " m/s³",
    "ms": " ms",
    "pa": " Pa",
    "percent": " %",
    "radps": " rad/s",
    "s": " s",
    "v": " V",
}
PHASE_WORDS = {"start": "begins", "update": "goes on", "end": "is over"}
GROWN = "gets worse"  # an update that is an alarm: it has just reached major, or critical
UNSHOWN = frozenset(
    {"Cc", "Cf", "Cs", "Zl", "Zp"}
)  # general categories of Unicode that steer, and draw nothing
CONTEXT_WORDS = {
    "parked": "while parked",
    "driving": "while driving",
    "handling": "while it is handled",
    "loading": "while it is loaded",
    "door_open": "with the door open",
    "unknown": "context unknown",
}
QUALITY_WORDS = {"unset": "the clock was never set", "restamped": "", "holdover": "", "synced": ""}
PER_MINUTE = "_per_min"
SAID: Mapping[str, Mapping[Any, str]] = {
    "direction_known": {True: "direction measured", False: "direction not known, its kind told by its shape"},
    "by": {"lean": "the liquid leans to one side", "resonance": "the liquid swings in time with the ride"},
}  # by a value's key: each of its values in words
SRS = ("srs_hz", "srs_mps2")
NAME_WORDS = {"delta_v": "change of velocity"}
LONGEST_LIST = 6
KINDS = {
    "type": "event",
    "columns": "features",
    "codec": "snippet",
    "stream": "gap",
    "state": "status",
    "troubles": "health",
}  # by a key of theirs
# the columns that a line tells of, others are counted: name, how many of a unit, decimals, unit
TOLD = (
    ("load_mass_kg", "load", 1.0, 1, " kg"),
    ("load_total_kg", "load", 1.0, 1, " kg"),
    ("pressure_mean_pa", "tank", 0.001, 2, " kPa"),
    ("temperature_degc", "", 1.0, 1, " °C"),
    ("humidity_percent", "", 1.0, 0, " % humidity"),
    ("lid_closed", "lid closed", 100.0, 0, " %"),
)
MOTION = "accel_rms_mps2"


def shown(text: str, *, json: bool = False) -> str:
    """Write control characters out, and what breaks or turns a line: a payload must not steer a terminal.

    With ``json``, as JSON writes them: then `text` is JSON without line breaks, and stays the same document.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        _escaped(char, json=json) if unicodedata.category(char) in UNSHOWN else char for char in text
    )


def _escaped(char: str, *, json: bool) -> str:
    if not json:
        return char.encode("unicode_escape").decode()
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def words_of(values: Mapping[str, Any]) -> str:
    """Say the figures of an event shortly."""
    parts = []
    for key, given in values.items():
        stem = key.removesuffix(PER_MINUTE)
        name, _, unit = stem.rpartition("_")
        plain = key.replace("_", " ")
        if isinstance(given, bool | str) and given in SAID.get(key, ()):
            parts.append(SAID[key][given])
        elif key == "by" and isinstance(given, str):
            parts.append(f"told by {given.replace('+', ' and ')}")
        elif key == SRS[0] and (response := _response(values)):
            parts.append(response)
        elif key == SRS[1] and _response(values):
            continue
        elif given is True:
            parts.append(plain)
        elif given is False:
            parts.append(f"not {plain}")
        elif unit in UNIT_WORDS and name:
            said = NAME_WORDS.get(name, name.replace("_", " "))
            per = "/min" if stem != key else ""
            parts.append(f"{said} {_figure(given)}{UNIT_WORDS[unit]}{per}")
        else:
            parts.append(f"{plain} {_figure(given)}")
    return ", ".join(parts)


def _response(values: Mapping[str, Any]) -> str:
    """Say the shock response spectrum by its top; nothing where it is none."""
    lists = [list(_figures(values.get(key))) for key in SRS]
    if not lists[0] or len(lists[0]) != len(lists[1]):
        return ""
    most_mps2, at_hz = max(zip(*reversed(lists), strict=True))
    return f"shock response up to {most_mps2:g} m/s², at {at_hz:g} Hz"


def _figure(given: Any) -> str:
    if isinstance(given, float):
        return f"{given:g}"
    if isinstance(given, Mapping):
        return "; ".join(f"{key} {_figure(part)}" for key, part in given.items())
    if isinstance(given, list):
        if len(given) > LONGEST_LIST and all(isinstance(part, int | float) for part in given):
            return f"{_figure(min(given))} to {_figure(max(given))} ({len(given)} values)"
        return f"[{', '.join(map(_figure, given))}]"
    return "none" if given is None else str(given)


def kind_of(topic: str, payload: Mapping[str, Any]) -> str:
    """Return the kind that a topic names; for a payload without one, what it looks like."""
    if topic:
        return topic.rsplit("/", 1)[-1]
    return next((kind for key, kind in KINDS.items() if key in payload), "record")


def line_of(topic: str, payload: Mapping[str, Any]) -> str:
    """Say a record in one line: when, who, what kind, and what happened."""
    kind = kind_of(topic, payload)
    tell = {
        "alarm": _alarm,
        "event": _event,
        "features": _features,
        "gap": _gap,
        "status": _status,
        "health": _health,
        "snippet": _snippet,
    }
    said = tell.get(kind, words_of)(payload)
    trust, quality = payload.get("trust", "trusted"), QUALITY_WORDS.get(payload.get("tq", "synced"), "")
    doubts = [quality, "" if trust == "trusted" else f"figures {trust}"]
    doubt = "".join(f" ({words})" for words in doubts if words)
    word = kind.upper() if kind == "alarm" else kind
    return shown(f"{clock(payload.get('t', ''))}  {_sender(topic, payload)}  {word:8}  {said}{doubt}")


def clock(time: str) -> str:
    """Return an RFC 3339 time for the eye: a blank, and milliseconds."""
    day, _, rest = time.partition("T")
    return f"{day} {rest[:12]}Z" if rest else time or "-"


def _sender(topic: str, payload: Mapping[str, Any]) -> str:
    levels = topic.split("/")
    return "/".join(levels[2:4]) if len(levels) > 4 else str(payload.get("box", "-"))


def _alarm(payload: Mapping[str, Any]) -> str:
    return _event(payload, alarm=True)


def _event(payload: Mapping[str, Any], *, alarm: bool = False) -> str:
    what = str(payload.get("type", "event")).replace("_", " ")
    phase = PHASE_WORDS.get(payload.get("phase", ""), "")
    if alarm and payload.get("phase") == "update":
        phase = GROWN
    severity = SEVERITY_WORD.get(payload.get("severity", 0), "")
    context = payload.get("context")
    parts = [f"{severity:8}  {what} {phase}"]
    if figures := words_of(payload.get("values", {})):
        parts.append(f": {figures}")
    if context is not None:
        parts.append(f"; {CONTEXT_WORDS.get(context, context)}")
    return "".join(parts)


def _features(payload: Mapping[str, Any]) -> str:
    columns: Mapping[str, Any] = payload.get("columns", {})
    window_s, count = payload.get("window_s", 1), payload.get("n", 0)
    motion = max(_figures(columns.get(MOTION)), default=None)
    told = {} if motion is None else {"motion": f"motion up to {motion:.2f} m/s² rms"}
    named = {MOTION}
    for column, name, scale, decimals, unit in TOLD:
        named.add(column)
        figures = list(_figures(columns.get(column)))
        if figures and (name or column) not in told:
            mean = scale * sum(figures) / len(figures)
            told[name or column] = f"{name} {mean:.{decimals}f}{unit}".strip()
    if others := len(columns.keys() - named):
        told["others"] = f"{others} more column{'' if others == 1 else 's'}"
    if spectra := payload.get("spectrum_db"):
        told["spectra"] = f"spectrum of {', '.join(spectra)}"
    steps = "" if window_s == 1 else f" in steps of {window_s} s"
    if why := payload.get("coarsened"):
        steps += f" (coarsened: {why})"
    return f"{window_s * count} s{steps}: {', '.join(told.values()) or 'nothing'}"


def _figures(column: Any) -> Iterable[float]:
    if isinstance(column, Mapping):
        for part in column.values():
            yield from _figures(part)
    elif isinstance(column, Sequence) and not isinstance(column, str):
        yield from (figure for figure in column if isinstance(figure, int | float))


def _gap(payload: Mapping[str, Any]) -> str:
    count = payload.get("last", 0) - payload.get("first", 0) + 1
    begin, end = (clock(payload.get(key, "")).partition(" ")[2] for key in ("start", "end"))
    samples = "sample" if count == 1 else "samples"
    if payload.get("kind") == "recording":
        reason = payload.get("reason")
        return f"{payload.get('stream')}: {count} {samples} not recorded ({reason}), {begin} to {end}"
    return f"{payload.get('stream')}: {count} {samples} missing ({payload.get('reason')}), {begin} to {end}"


def _snippet(payload: Mapping[str, Any]) -> str:
    events = ", ".join(map(str, payload.get("events", []))) or "ordered"
    of = f", part {payload.get('part')} of {payload['parts']}" if payload.get("parts", 1) != 1 else ""
    size_bytes = len(payload.get("data", "")) // 2
    begin = clock(payload.get("start", "")).partition(" ")[2]
    return (
        f"{payload.get('id')}{of} ({events}): {payload.get('n')} samples of {payload.get('stream')} "
        f"from {begin}, {size_bytes} bytes"
    )


def _status(payload: Mapping[str, Any]) -> str:
    reason = payload.get("reason")
    return f"{payload.get('state')}{f' ({reason})' if reason else ''}, version {payload.get('sw')}"


def _health(payload: Mapping[str, Any]) -> str:
    """Say what is wrong, or that nothing is; then some of what was measured."""
    board, queue = payload.get("board", {}), payload.get("queue", {})
    figures = [f"{queue.get('waiting', 0)} waiting"]
    if (degc := board.get("temperature_degc")) is not None:
        figures.append(f"{degc:g} °C")
    if (free_bytes := payload.get("disk", {}).get("free_bytes")) is not None:
        figures.append(f"{free_bytes / 1e9:.1f} GB free")
    figures += [
        f"records {step['first']} to {step['last']}: clock {step['step_s']:g} s behind"
        for step in payload.get("clock_steps", [])
    ]
    return f"{'; '.join(payload.get('troubles', [])) or 'well'}: {', '.join(figures)}"
