"""Payloads in both encodings carry the same document; one is small, and damage is told in words."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent import compact
from agent.errors import PayloadError
from agent.packed_numbers import pack, unpack
from agent.records import Head, as_json, decode, encode, is_compact
from agent.timebase import TimeQuality

decimals = st.builds(
    lambda whole, places: whole / 10**places, st.integers(-(10**7), 10**7), st.integers(0, 6)
)
floats32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
floats = decimals | floats32 | st.floats(allow_nan=False, allow_infinity=False)
whole = st.integers(-200, 200) | st.integers(-(2**63), 2**64 - 1)
holes = st.none() | st.none()
columns = st.one_of(
    st.lists(decimals | holes),
    st.builds(lambda k, xs: [x / 10**k for x in xs], st.integers(0, 4), st.lists(st.integers(-999, 9999))),
    st.lists(st.integers(-300, 40_000) | holes),
    st.lists(floats | whole | holes),
)
times = st.datetimes(min_value=datetime(1, 1, 1)).map(
    lambda t: t.replace(tzinfo=UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
)
texts = st.one_of(
    st.text(max_size=20),
    st.sampled_from(compact.WORDS + compact.KEYS),
    st.text("\0\x01x", max_size=3),
    st.binary(max_size=12).map(bytes.hex),
    times,
    times.map(lambda t: t.replace("Z", "z")),
    st.sampled_from(
        ["2026-02-30T00:00:00.000000Z", "2026-01-01T24:00:00.000000Z", "0000-01-01T00:00:00.000000Z"]
    ),
)
scalars = st.none() | st.booleans() | whole | floats | texts
keys = st.sampled_from(compact.KEYS) | texts
values = st.recursive(
    scalars | columns, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5)
)
documents = st.dictionaries(keys, values, max_size=12)


@settings(max_examples=60, deadline=None)
@given(documents)
@example({"x": [0.1, 0.25, -0.0], "y": 2.0**-10, "z": [1, 2.0], "t": "2026-01-01T00:00:00.000000Z"})
@example({"at": [2**60] * 20, "columns": {"from": [2**60 + 1, -(2**62)] * 9}})
@example({"columns": {"a": [None, 1.5], "b": [None], "c": [], "d": [True, 1], "e": [2**60, 1]}})
def test_the_compact_form_carries_what_json_carries(document: dict[str, Any]) -> None:
    in_json = encode(document)
    small = encode(document, "msgpack")
    assert is_compact(small) and not is_compact(in_json)
    assert as_json(small) == in_json, "the same text, so the same order, the same digits and the same kinds"
    assert decode(small) == decode(in_json) == msgspec.json.decode(in_json)
    assert as_json(in_json) == in_json


def test_numbers_that_are_none_are_null_as_in_json() -> None:
    document = {"values": {"a": float("nan"), "b": [1.0, float("inf")]}}
    assert decode(encode(document, "msgpack")) == decode(encode(document))
    assert as_json(encode(document, "msgpack")) == encode(document) == b'{"values":{"a":null,"b":[1.0,null]}}'


@settings(max_examples=100)
@given(columns)
def test_a_packed_list_is_the_list(numbers: list[Any]) -> None:
    packed = pack(numbers)
    if packed is not None:
        assert [(type(x), x) for x in unpack(packed)] == [(type(x), x) for x in numbers]


ROAD = [0.403, 1.023, 0.398, 0.412, 0.51, 0.377, 2.607, 0.44, 0.391, 0.402]
SLOW = [60.01, 60.0, 60.02, 60.01, 60.01, 60.0, 59.99, 60.0, 60.01, 60.01]


@pytest.mark.parametrize(
    ("numbers", "at_most"), [(ROAD, 18), (SLOW, 8), ([1013] * 10, 6), ([None] * 9 + [0.5], 6)]
)
def test_a_list_is_as_short_as_it_can_be(numbers: list[Any], at_most: int) -> None:
    packed = pack(numbers)
    assert packed is not None and len(packed) <= at_most, packed
    assert list(unpack(packed)) == numbers


def test_an_alarm_takes_a_third_of_its_bytes() -> None:
    head = {
        "seq": 4,
        "time": "2026-11-22T01:22:18.766321Z",
        "quality": TimeQuality.HOLDOVER,
        "certificate": "none",
    }
    body = {
        "type": "drop",
        "id": "drop-1",
        "phase": "start",
        "start": "2026-11-22T01:22:18.617321Z",
        "end": None,
        "severity": 3,
        "values": {"fall_s": 0.15, "height_m": 0.11},
        "streams": ["accel"],
    }
    small, big = (
        Head("box-7", "e232a2ea07a6a3f1", "0.1.0", encoding).payload(body=body, **head)  # type: ignore[arg-type]
        for encoding in ("msgpack", "json")
    )
    assert decode(small) == decode(big)
    assert len(small) <= len(big) / 3, f"{len(small)} of {len(big)} bytes"


def test_other_readers_of_messagepack_see_times_and_figures() -> None:
    """What the page says of the form, read without this project's code."""
    payload = encode(
        {"t": "2026-11-22T01:22:18.766321Z", "type": "drop", "boot": "00ff00ff", "n": 0.15}, "msgpack"
    )
    label = {key: i for i, key in enumerate(compact.KEYS)}
    plain = msgspec.msgpack.decode(payload, type=dict[int, Any])
    assert plain[label["t"]] == datetime(2026, 11, 22, 1, 22, 18, 766321, UTC)
    assert compact.WORDS[ord(plain[label["type"]])] == "drop"
    assert plain[label["boot"]] == b"\x00\xff\x00\xff"
    assert plain[label["n"]] == pytest.approx(0.15, rel=1e-6)


def test_no_label_stands_twice_and_all_are_short() -> None:
    for names in (compact.KEYS, compact.WORDS):
        assert len(set(names)) == len(names)
    assert len(compact.WORDS) <= 0x80, (
        "a code point beyond takes two bytes, and a surrogate cannot be written"
    )


ODD = {
    "nothing": (b"", "nothing"),
    "text": (b"hello", "0x68"),
    "a list": (b"[1]", "0x5b"),
    "MessagePack that is no map": (b"\x93\x01\x02\x03", "0x93"),
    "JSON that is cut": (b'{"v":1,', "JSON"),
    "JSON that is no UTF-8": (b'{"v":"\xff"}', "JSON"),
    "a map that is cut": (b"\x82\x00", "truncated"),
    "a label of tomorrow": (b"\x81\xcd\x0f\xff\x01", "label 4095"),
    "a word of tomorrow": (b"\x81\x00\xa1\x7f", "label 127"),
    "a key that is a truth": (b"\x81\xc3\x01", "bool"),
    "an extension of tomorrow": (b"\x81\x00\xd4\x63\x00", "type 99"),
    "a packed list that is empty": (b"\x81\x00\xc7\x00\x01", "packed"),
    "a packed list of another kind": (b"\x81\x00\xd4\x01\x0b", "0x0b"),
    "a negative label": (b"\x81\xff\x01", "label -1"),
    "a packed list whose codes are cut": (b"\x81\x00\xd6\x01\x2f\x00\x04\x01", "cut off"),
    "a packed list of codes too long": (b"\x81\x00\xd6\x01\x2f\x00\xff\x00", "cut off"),
    "a packed list whose holes are cut": (b"\x81\x00\xd5\x01\x4f\x20", "cut off"),
    "a packed list with too few numbers": (b"\x81\x00\xc7\x03\x01\x4f\x01\x01", "0 numbers"),
    "a double that is cut": (b"\x81\x00\xd4\x02\x00", "8 bytes"),
}


@pytest.mark.parametrize("what", ODD)
def test_what_is_no_payload_is_told_in_four_parts(what: str) -> None:
    payload, word = ODD[what]
    with pytest.raises(PayloadError) as caught:
        decode(payload)
    error = caught.value
    assert word in error.got, error.got
    assert error.doing and error.expected and error.remedy


def test_a_list_is_no_document() -> None:
    with pytest.raises(PayloadError) as caught:
        compact.decode(b"\x93\x01\x02\x03")
    assert caught.value.got == "a list"


@settings(max_examples=100)
@given(st.binary(max_size=60), st.sampled_from([b"\x81\x00", b"\x85", b"\x81\x00\xc7\x20\x01", b"{"]))
def test_damage_ends_in_words_and_nothing_else(rest: bytes, start: bytes) -> None:
    try:
        found = decode(start + rest)
    except PayloadError:
        return
    assert isinstance(found, dict)


@given(floats32)
def test_a_number_of_32_bits_comes_back_as_it_was(number: float) -> None:
    packed = encode({"n": number}, "msgpack")
    assert struct.pack(">d", decode(packed)["n"]) == struct.pack(">d", number)
