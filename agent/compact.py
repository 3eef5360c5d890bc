"""The compact form of a payload: MessagePack, with labels for known names, numbers packed to their meaning.

What it carries is the document that JSON would carry, to the last digit and in the same order:

- a map's key that is a whole number is a label: its place in `KEYS`. Others are written out.
- a text of one character is a label, too: its code point is a place in `WORDS`. A text that really has one
  character, or begins with U+0000, has a U+0000 put before it.
- a text that is a time of ours is a Timestamp (extension -1 of MessagePack); one of hexadecimal digits is
  ``bin``.
- a 32-bit float is the decimal number of six significant digits that it is nearest to, which is what such
  a float can keep (FLT_DIG of C, ISO/IEC 9899, 5.2.4.2.2). Extension 2 is a 64-bit float that happens to be a
  32-bit one.
- a list of numbers is extension 1, where that is shorter: see `pack`.

Labels instead of names as RFC 8428 (SenML), section 6, has them for CBOR. `KEYS` and `WORDS` grow at their
ends and never change otherwise: ``x-messagepack`` of docs/asyncapi.yaml repeats them for receivers. A name
without a label travels as it is.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from agent.errors import PayloadError
from agent.packed_numbers import pack, unpack

# fmt: off
KEYS: tuple[str, ...] = (
    # what all records share
    "v", "box", "boot", "seq", "t", "tq", "cal", "trust", "sw",
    # events and gaps
    "type", "id", "phase", "start", "end", "severity", "context", "values", "streams",
    "stream", "first", "last", "reason",
    # features
    "window_s", "n", "at", "columns", "x", "y", "z", "fl", "fr", "rl", "rr",
    "accel_rms_mps2", "accel_peak_mps2", "accel_mean_mps2",
    "gyro_rms_radps", "gyro_peak_radps", "gyro_mean_radps",
    "load_total_kg", "load_mass_kg", "load_mass_u95_kg", "load_centre_right", "load_centre_front",
    "pressure_mean_pa", "pressure_swing_pa", "temperature_degc", "humidity_percent", "air_pressure_pa",
    "lid_closed", "leak_mean_v", "leak_min_v",
    # values of events
    "angle_deg", "level_deg", "fall_s", "height_m", "peak_mps2", "peak_saturated", "rebounds", "implausible",
    "moved", "from", "to", "load_kg", "swing_pa", "limit_pa",
    "farthest_degc", "low_degc", "high_degc", "farthest_percent", "low_percent", "high_percent",
    "fault", "sensor", "got", "expected", "lasted_s",
    # jerk, shocks, sloshing, leaks and rates; what was coarsened; spectra
    "delta_v_mps", "duration_s", "axis", "pulses", "srs_hz", "srs_mps2", "bumps", "rms_mps2",
    "worst_mps2", "limit_mps2", "dose_s", "direction", "direction_known", "rise_m", "freeboard_m", "by",
    "rope", "rope_v", "rope_dry_v", "humidity_rise_percent", "dew_point_rise_degc", "lost_pa",
    "lost_part", "rate_degc_per_min", "rate_percent_per_min", "coarsened", "spectrum_db", "accel_crest",
    "accel_jerk_mps3", "accel_slosh_mps2", "gyro_crest", "temperature_kinetic_degc",
    # health
    "since_s", "process", "board", "disk", "queue", "link", "rates", "versions", "clock_steps", "troubles",
    "up_s", "machine_up_s", "cpu_part", "memory_bytes", "undervoltage", "throttled", "free_bytes",
    "size_bytes", "waiting", "waiting_urgent", "bytes", "oldest_s", "dropped", "thinned", "set_aside",
    "in_memory", "damaged", "written_bytes_a_day", "card_life_years", "card_refuses", "connected",
    "reconnects", "published", "acknowledged", "refused", "rate_hz", "nominal_hz", "missing", "python",
    "kernel", "firmware", "step_s",
    # gaps and features that stand for records, cable and buses, credentials
    "seqs", "of", "kind", "left_out", "cable", "buses", "frames", "lost", "refilled", "duplicates",
    "disconnects", "reboots", "overflows", "transfers", "retried", "reopened", "busy_part", "maybe_twice",
    "last_error", "certificate_days", "taken_over",
    # snippets
    "events", "part", "parts", "axes", "unit", "sample_bits", "scale", "offset", "full_scale", "box_s",
    "box_ns", "runs", "period_ps", "after_ns", "since", "times_ns", "flagged", "flags", "dtype", "codec",
    "data", "withheld_snippets",
)
WORDS: tuple[str, ...] = (
    "none", "synced", "holdover", "unset", "trusted", "degraded", "not trusted",
    "start", "update", "end",
    "unknown", "parked", "driving", "handling", "loading", "door_open",
    "tilt", "drop", "shock", "bump", "harsh_brake", "harsh_acceleration", "harsh_turn", "vibration", "slosh",
    "load_shift", "pressure", "leak", "temperature", "humidity", "sensor_fault",
    "accel", "gyro", "load", "air_pressure", "lid",
    "cable", "overflow", "reboot", "silent", "late", "log",
    "missing", "wrong_chip", "nack", "timeout", "stuck_bus", "bus_gone", "registers", "stuck_value",
    "saturated", "bad_data", "self_test", "board", "no answer", "an answer",
    "x", "y", "z", "forward", "backward", "left", "right", "lean", "resonance", "wet", "broken",
    "short", "budget", "restamped", "outbox_full", "refused",
)
# fmt: on

PACKED, DOUBLE = 1, 2  # extension types
FLOAT_BYTES = 5  # at least
_DIGITS = ".6g"
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
_HEX = re.compile(r"(?:[0-9a-f]{2}){4,}")
_FLOAT32 = struct.Struct(">f")
_FLOAT64 = struct.Struct(">d")
_KEY_LABELS = {name: i for i, name in enumerate(KEYS)}
_WORD_LABELS = {word: chr(i) for i, word in enumerate(WORDS)}
_encode = msgspec.msgpack.Encoder().encode


def encode(document: Mapping[str, Any]) -> bytes:
    """Write a document of texts, numbers, truths, nulls, lists and maps; numbers that are none are null."""
    return _encode(_small(document))


def decode(payload: bytes) -> dict[str, Any]:
    """Read what `encode` wrote. Raises PayloadError."""
    try:
        _check_sizes(payload)
        document = _whole(_decode(payload))
    except PayloadError:
        raise
    except (
        ValueError,
        TypeError,
        ArithmeticError,
        RecursionError,
        struct.error,
        msgspec.MsgspecError,
    ) as error:
        raise _damaged(str(error)) from error
    if not isinstance(document, dict):
        raise _damaged(f"a {type(document).__name__}")
    return document


# how the bytes behind a first byte are told, by that byte: how long a length is, how long the rest
_LENGTHS = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xC7: 1, 0xC8: 2, 0xC9: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
_LISTS = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}  # length of the count, items of an entry
_REST = {
    **{0xC7: 1, 0xC8: 1, 0xC9: 1},  # the type of an extension, behind its length
    **{0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8},
    **{0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17},
}


def _check_sizes(payload: bytes) -> None:
    """Refuse lists and maps of more items than bytes follow, for which a decoder would take room at once."""
    at, left, size = 0, 1, len(payload)  # items that are still to come
    while left > 0:
        if left > size - at:
            raise _damaged(f"{size} bytes, truncated or with a wrong size in them")
        first = payload[at]
        at, left = at + 1, left - 1
        if 0x80 <= first <= 0x8F:
            left += 2 * (first & 0x0F)
        elif 0x90 <= first <= 0x9F:
            left += first & 0x0F
        elif 0xA0 <= first <= 0xBF:
            at += first & 0x1F
        elif first in _LISTS:
            length, items = _LISTS[first]
            left += items * int.from_bytes(payload[at : at + length])
            at += length
        else:
            length = _LENGTHS.get(first, 0)
            at += length + int.from_bytes(payload[at : at + length]) + _REST.get(first, 0)


def _small(value: Any) -> Any:
    if isinstance(value, str):
        return _small_text(value)
    if isinstance(value, float):
        return _small_float(value)
    if isinstance(value, Mapping):
        return {_KEY_LABELS.get(key, key): _small(part) for key, part in value.items()}
    if isinstance(value, Sequence):
        return _small_list(value)
    return value


def _small_list(values: Sequence[Any]) -> Any:
    packed = pack(values)
    if packed is not None:
        extension = msgspec.msgpack.Ext(PACKED, packed)
        known = [value for value in values if value is not None]
        if isinstance(known[0], float) and len(packed) < FLOAT_BYTES * len(known):
            return extension
    plain = [_small(value) for value in values]
    return plain if packed is None else min(extension, plain, key=lambda form: len(_encode(form)))


def _small_text(text: str) -> Any:
    if (label := _WORD_LABELS.get(text)) is not None:
        return label
    if _TIME.fullmatch(text):
        try:
            time = datetime.fromisoformat(text)
        except ValueError:
            return text
        return time if _time_text(time) == text else text
    if _HEX.fullmatch(text):
        return bytes.fromhex(text)
    return f"\0{text}" if len(text) == 1 or text.startswith("\0") else text


def _time_text(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _small_float(value: float) -> Any:
    if not math.isfinite(value):
        return None  # as in JSON
    try:
        packed = _FLOAT32.pack(value)
    except OverflowError:
        return value
    (short,) = _FLOAT32.unpack(packed)
    if float(format(short, _DIGITS)) == value:
        return msgspec.Raw(b"\xca" + packed)
    return msgspec.msgpack.Ext(DOUBLE, _FLOAT64.pack(value)) if short == value else value


class _Double(float):
    """A number that is not to be rounded again."""


def _extension(code: int, data: memoryview) -> Any:
    if code == PACKED:
        return unpack(bytes(data))
    if code == DOUBLE:
        return _Double(_FLOAT64.unpack(data)[0])
    raise _damaged(f"an extension of type {code}")


_decode = msgspec.msgpack.Decoder(ext_hook=_extension).decode


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return _whole_text(value)
    if isinstance(value, _Double):
        return float(value)
    if isinstance(value, float):
        return _whole_float(value)
    if isinstance(value, datetime):
        return _time_text(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):  # was packed
        return list(value)
    if isinstance(value, list):
        return [_whole(part) for part in value]
    if isinstance(value, dict):
        return {_whole_key(key): _whole(part) for key, part in value.items()}
    return value


def _whole_key(key: Any) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, int) and not isinstance(key, bool):
        return _labelled(KEYS, key)
    raise _damaged(f"a key that is a {type(key).__name__}")


def _whole_text(text: str) -> str:
    if len(text) == 1:
        return _labelled(WORDS, ord(text))
    return text.removeprefix("\0")


def _labelled(names: tuple[str, ...], label: int) -> str:
    if 0 <= label < len(names):
        return names[label]
    raise PayloadError(
        "reading a payload in MessagePack",
        got=f"the label {label}",
        expected=f"one of 0 to {len(names) - 1}, which this version knows",
        remedy="Read it with a version that is as new as the box's; each record names its own in `sw`.",
    )


def _whole_float(value: float) -> float:
    try:
        (short,) = _FLOAT32.unpack(_FLOAT32.pack(value))
    except OverflowError:
        return value
    return float(format(value, _DIGITS)) if short == value else value


def _damaged(got: str) -> PayloadError:
    return PayloadError(
        "reading a payload in MessagePack",
        got=got,
        expected="a document as docs/asyncapi.yaml describes it",
        remedy="If it came from a box, look at what lies between: something there changes payloads.",
    )
