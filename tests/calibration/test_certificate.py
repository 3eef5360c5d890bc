"""A certificate is checked to its last figure, and its hash names what it says and not how it is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.certificate import (
    Certificate,
    Residuals,
    SessionData,
    TemperatureTerm,
    UncertaintyTerm,
    check,
    instant_ns,
    parse_certificate,
    read_certificate,
)
from calibration.errors import CertificateError
from tests.house.tree import TOP

# as the first version of this program wrote it, and the hash that it put into every record
FIRST = (
    b'{"format":"cargobox-certificate/1","stream":"accel","sensor":"LIS3DH, box 7",'
    b'"gain":[[1.0031,0.0012,-0.0008],[0.0,0.9984,0.0005],[0.0,0.0,1.0017]],"bias":[0.112,-0.048,0.231],'
    b'"temperature":{"reference_degc":22.0,"bias_per_degc":[0.0039,0.0041,-0.0118]},'
    b'"method":"12 poses at rest","made_at":"2026-03-02T09:30:00Z","made_by":"workshop",'
    b'"valid_until":"2027-03-02"}'
)
FIRST_HASH = "05b5c61ddf93"


def full(**changes: Any) -> Certificate:
    """Return a certificate that says everything."""
    base = Certificate(
        stream="load",
        sensor="NAU7802 at i2c-1 0x2A",
        unit="kg",
        gain=((1.01, 0.002), (0.0, 0.99)),
        bias=(0.5, -0.25),
        temperature=TemperatureTerm(
            reference_degc=20.0,
            bias_per_degc=(0.01, 0.02),
            bias_per_degc2=(1e-4, 0.0),
            bias_per_degc_per_s=(3.0, 4.0),
            lag_s=600.0,
            low_degc=-10.0,
            high_degc=40.0,
        ),
        method="zero and span",
        residuals=Residuals(rms=0.01, worst=0.03, points=12, held_out_rms=0.02),
        uncertainty=(UncertaintyTerm(name="mass", kind="B", standard=0.01, source="M1"),),
        standard_uncertainty=0.02,
        low_degc=-10.0,
        high_degc=40.0,
        capacity=200.0,
        verification_interval=0.05,
        gravity_mps2=9.81,
        findings=("class C kept",),
        data=SessionData(file="load.jsonl", sha256="0" * 64, samples=9),
        made_at="2026-03-02T09:30:00+01:00",
        made_by="a person",
        valid_until="2027-03-02",
        software="cargobox 0.1.0",
        replaces="0123456789ab",
    )
    return msgspec.structs.replace(base, **changes)


def test_what_is_written_is_what_is_read() -> None:
    read = parse_certificate(full().to_json())
    assert read == full()
    assert read.hash == full().hash


def test_a_certificate_of_the_first_format_keeps_its_hash() -> None:
    read = parse_certificate(FIRST)
    assert (read.hash, read.temperature and read.temperature.lag_s) == (FIRST_HASH, 0.0)
    assert parse_certificate(read.to_json()).hash == FIRST_HASH
    without = json.loads(FIRST)
    for key in ("sensor", "temperature", "made_by", "valid_until"):
        del without[key]
    # its hash was also taken of what was left out
    assert b'"made_by":""' in parse_certificate(json.dumps(without).encode()).to_json()


def test_blanks_order_and_defaults_that_are_written_out_change_no_hash() -> None:
    plain = Certificate(
        stream="accel", gain=((1.0,),), bias=(0.0,), method="m", made_at="2026-01-01T00:00:00Z"
    )
    said: dict[str, Any] = json.loads(plain.to_json())
    assert "replaces" not in said and "temperature" not in said
    said |= {"replaces": "", "temperature": None, "findings": [], "bias": [0]}
    other = json.dumps(dict(reversed(said.items())), indent=3).encode()
    assert parse_certificate(other).hash == plain.hash
    assert full(bias=(0.5, -0.24)).hash != full().hash


def test_numbers_of_numpy_are_as_good_as_others() -> None:
    base = full()
    made = full(
        gain=np.array(base.gain),
        bias=np.array(base.bias),
        low_degc=np.float32(-10),
        standard_uncertainty=np.float64(0.02),
    )
    assert made == base and made.to_json() == base.to_json()


def test_the_example_of_the_documentation_is_of_the_present_format() -> None:
    example = (TOP / "docs/examples/accel.json").read_bytes()
    assert parse_certificate(example).format == "cargobox-certificate/2"


TERM = full().temperature
assert TERM is not None
INF = float("inf")
WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "no axes": ({"gain": (), "bias": ()}, "0 biases", "a square gain"),
    "a gain that is not square": ({"gain": ((1.0, 0.0),)}, "gain rows of [2]", "a square gain"),
    "a row that is too long": (
        {"gain": ((1.0, 0.0), (0.0, 1.0, 0.0))},
        "gain rows of [2, 3]",
        "a square gain",
    ),
    "a bias without end": ({"bias": (INF, 0.0)}, "bias with inf", "finite numbers"),
    "a bias past single precision": ({"bias": (1e300, 0.0)}, "bias with 1e+300", "at most"),
    "a gain that is no number": (
        {"gain": ((1.0, 0.0), (0.0, float("nan")))},
        "row 2 of gain",
        "finite numbers",
    ),
    "a gain that loses an axis": ({"gain": ((1.0, 2.0), (2.0, 4.0))}, "gain [[1.0, 2.0]", "axes apart"),
    "a gain of zeros": ({"gain": ((0.0, 0.0), (0.0, 1.0))}, "gain [[0.0, 0.0]", "axes apart"),
    "a slope too short": (
        {"temperature": msgspec.structs.replace(TERM, bias_per_degc=(0.1,))},
        "temperature.bias_per_degc of 1 axes",
        "2, as many",
    ),
    "a square too long": (
        {"temperature": msgspec.structs.replace(TERM, bias_per_degc2=(0.1, 0.0, 0.0))},
        "temperature.bias_per_degc2 of 3 axes",
        "2, as many",
    ),
    "a rate too short": (
        {"temperature": msgspec.structs.replace(TERM, bias_per_degc_per_s=(0.1,))},
        "temperature.bias_per_degc_per_s of 1 axes",
        "2, as many",
    ),
    "a rate without end": (
        {"temperature": msgspec.structs.replace(TERM, bias_per_degc_per_s=(INF, 0.0))},
        "temperature.bias_per_degc_per_s with inf",
        "finite",
    ),
    "a lag before its cause": (
        {"temperature": msgspec.structs.replace(TERM, lag_s=-1.0)},
        "temperature.lag_s -1",
        "0 to",
    ),
    "a lag of days": (
        {"temperature": msgspec.structs.replace(TERM, lag_s=1e6)},
        "lag_s 1e+06",
        "0 to 86400 s",
    ),
    "a range of the term upside down": (
        {"temperature": msgspec.structs.replace(TERM, low_degc=50.0)},
        "temperature with low_degc 50 above",
        "low_degc below",
    ),
    "a range upside down": ({"low_degc": 50.0}, "certificate with low_degc 50 above high_degc 40", "below"),
    "a negative residual": (
        {"residuals": Residuals(rms=-1.0, worst=0.0, points=1)},
        "residuals.rms -1",
        "0 or",
    ),
    "negative points": (
        {"residuals": Residuals(rms=1.0, worst=0.0, points=-1)},
        "residuals.points -1",
        "0 or",
    ),
    "a negative uncertainty": ({"standard_uncertainty": -0.1}, "standard_uncertainty -0.1", "0 or more"),
    "a negative line of the budget": (
        {"uncertainty": (UncertaintyTerm(name="mass", kind="B", standard=-1.0),)},
        "uncertainty 'mass': standard -1",
        "0 or more",
    ),
    "a line of the budget without end": (
        {"uncertainty": (UncertaintyTerm(name="mass", kind="B", standard=INF),)},
        "uncertainty 'mass': standard with inf",
        "finite",
    ),
    "gravity of the moon": ({"gravity_mps2": 1.62}, "gravity_mps2 1.62", "9.7 to 9.9"),
    "no capacity": ({"capacity": 0.0}, "capacity 0", "more than 0"),
    "no interval": ({"verification_interval": -0.1}, "verification_interval -0.1", "more than 0"),
    "no stream": ({"stream": ""}, "an empty stream", "the name"),
    "no time": ({"made_at": "yesterday"}, "made_at 'yesterday'", "RFC 3339"),
    "a time without a zone": (
        {"made_at": "2026-03-02T09:30:00"},
        "made_at '2026-03-02T09:30:00'",
        "RFC 3339",
    ),
    "no date": ({"valid_until": "in a year"}, "valid_until 'in a year'", "2027-03-02"),
    "a session elsewhere": (
        {"data": SessionData(file="../x", sha256="0", samples=1)},
        "data.file '../x'",
        "beside the certificate",
    ),
}


@pytest.mark.parametrize(("changes", "got", "expected"), WRONG.values(), ids=WRONG)
def test_what_contradicts_itself_is_told(changes: dict[str, Any], got: str, expected: str) -> None:
    with pytest.raises(CertificateError) as caught:
        check(full(**changes), doing="reading c.json")
    assert got in caught.value.got, caught.value.got
    assert expected in caught.value.expected, caught.value.expected
    assert caught.value.doing == "reading c.json"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "truncated"),
        (b"[]", "Expected `object`"),
        (b'{"bias":[1e999]}', "out of range"),
        (full().to_json()[:-9], "truncated"),
        (full().to_json().replace(b'"unit"', b'"units"'), "unknown field `units`"),
        (full().to_json().replace(b"certificate/2", b"certificate/3"), "regex"),
        (b"\xff\xfe", "byte"),
        (b'{"findings":' + b"[" * 100_000, "Expected `str`"),
    ],
)
def test_what_is_no_certificate(text: bytes, words: str) -> None:
    with pytest.raises(CertificateError) as caught:
        parse_certificate(text, origin="c.json")
    assert words in caught.value.got, caught.value.got
    assert "cargobox-certificate/2" in caught.value.expected


def test_words_that_the_first_format_took_are_still_taken() -> None:
    words = FIRST.replace(b"2027-03-02", b"next spring").replace(b"2026-03-02T09:30:00Z", b"in March")
    read = parse_certificate(words)
    assert (read.made_ns, read.valid_until_ns) == (None, None)


def test_instants() -> None:
    assert instant_ns("1970-01-02") == 86_400 * 10**9
    assert instant_ns("1970-01-01", end_of_day=True) == 86_400 * 10**9
    assert instant_ns("1970-01-01T01:00:00.000001+01:00") == 1000
    assert instant_ns("1970-01-01T00:00:01Z", end_of_day=True) == 10**9
    assert [instant_ns(word) for word in ("", "soon", "2026-02-30", "2026-01-01T00:00:00")] == [None] * 4
    assert instant_ns("9999-12-31", end_of_day=True) is None


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match="No such file"):
        read_certificate(tmp_path / "none.json")


finite = st.floats(-1e6, 1e6)


@given(
    st.integers(1, 4).flatmap(
        lambda n: st.tuples(
            st.lists(finite, min_size=n, max_size=n),
            st.lists(finite, min_size=n, max_size=n),
            st.floats(0, 1e4),
        )
    )
)
def test_any_numbers_survive_the_writing(numbers: tuple[list[float], list[float], float]) -> None:
    bias, slope, lag_s = numbers
    n = len(bias)
    made = Certificate(
        stream="s",
        gain=tuple(tuple(float(i == j) for j in range(n)) for i in range(n)),
        bias=tuple(bias),
        temperature=TemperatureTerm(reference_degc=lag_s, bias_per_degc=tuple(slope), lag_s=lag_s),
        method="m",
        made_at="2026-01-01T00:00:00Z",
    )
    assert parse_certificate(made.to_json()) == made
