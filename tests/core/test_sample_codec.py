"""Pieces of raw samples, coded: given back to the last bit, whatever they are; and small."""

from __future__ import annotations

import binascii
import contextlib
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from agent.sample_codec import MOST_AXES, MOST_VALUES, READ_VERSIONS, decode, encode, forms, tables

Values = npt.NDArray[Any]
TYPES = ("int16", "int32", "float32", "float64")


def given_back(values: Values) -> bytes:
    data = encode(values)
    back = decode(data)
    assert (back.dtype, back.shape) == (values.dtype, values.shape)
    assert back.tobytes() == values.tobytes(), f"{values!r} came back as {back!r}"
    return data


def form_of(data: bytes) -> forms.Form:
    return forms.Form(data[0] & 3)


def ride(rows: int, axes: int = 3, *, seed: int = 1, spread: float = 200.0) -> npt.NDArray[np.int64]:
    """Counts as a vibrating floor gives them: coloured noise, louder and softer, with gravity on one axis."""
    random = np.random.default_rng(seed)
    noise = random.standard_normal((rows + 8, axes)) * (1 + np.sin(np.arange(rows + 8) / 90)[:, None] ** 2)
    smooth = noise[8:] + 0.8 * noise[7:-1] + 0.5 * noise[5:-3] + 0.3 * noise[:-8]
    smooth[:, 1:] += 0.4 * smooth[:, :-1]
    return np.asarray(np.rint(smooth * spread + np.arange(axes) * 4096), np.int64)


anything = st.sampled_from(TYPES).flatmap(
    lambda name: hnp.arrays(
        np.dtype(name),
        st.one_of(
            st.tuples(st.integers(0, 40)),
            st.tuples(st.integers(0, 30), st.integers(0, 4)),
            st.tuples(st.integers(1, 3), st.integers(5, 9)),
        ),
        elements=hnp.from_dtype(np.dtype(name), allow_subnormal=True),
        fill=st.nothing(),
    )
)
steps = st.sampled_from((1, 2, 61, 0.001, 0.01, 9.80665e-3, 0.0047900390625, 1 / 3, 1e-7))


@settings(max_examples=100, deadline=None)
@given(anything)
def test_any_array_comes_back_as_it_was(values: Values) -> None:
    given_back(values)


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(TYPES),
    st.integers(1, 300),
    st.integers(1, 7),
    st.integers(0, 99),
    st.floats(-3, 6),
    steps,
)
def test_any_ride_comes_back_as_it_was(
    name: str, rows: int, axes: int, seed: int, loudness: float, step: float
) -> None:
    counts = ride(rows, axes, seed=seed, spread=10**loudness)
    dtype = np.dtype(name)
    if dtype.kind == "i":
        limits = np.iinfo(dtype)
        given_back(np.clip(counts * max(1, round(step)), limits.min, limits.max).astype(dtype))
    else:
        given_back((counts * step).astype(dtype))


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (1,), (1, 1), (1, 3), (2, 3), (7,)])
def test_the_smallest_pieces(name: str, shape: tuple[int, ...]) -> None:
    data = given_back((np.arange(np.prod(shape)).reshape(shape) * 7 - 3).astype(name))
    assert len(data) <= 4 + 14 * max(1, int(np.prod(shape))), len(data)


@pytest.mark.parametrize("name", ["int16", "int32"])
def test_the_ends_of_the_range(name: str) -> None:
    low, high = np.iinfo(name).min, np.iinfo(name).max
    given_back(np.array([low, high] * 40, name))
    given_back(np.array([[low, 0], [high, 1], [0, high], [low, low]] * 20, name))
    given_back(np.where(np.arange(300) == 150, high, ride(300, 1)[:, 0]).astype(name))


@pytest.mark.parametrize("name", ["float32", "float64"])
def test_every_kind_of_float(name: str) -> None:
    width = np.dtype(name).itemsize
    payloads = np.frombuffer(bytes(range(256)) * width, f"u{width}")
    tiny = np.finfo(name).smallest_subnormal
    odd = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, tiny, -tiny, 1.5, np.finfo(name).max], name)
    given_back(payloads.view(name))
    given_back((payloads | payloads.dtype.type(0x7F80_0000 << (32 if width == 8 else 0))).view(name))
    given_back(np.concatenate([odd, payloads.view(name)]))
    noise = np.random.default_rng(3).standard_normal((400, 3)).astype(name)
    given_back(noise)
    noise[::37] = 0.0
    noise[::41] = -0.0
    noise[::43] *= 1e-30
    assert form_of(given_back(noise)) is forms.Form.SPLIT
    noise[100] = np.nan
    given_back(noise)


def test_a_piece_longer_than_what_is_fitted_at_once() -> None:
    given_back(ride(33_000, 1).astype(np.int16))


def test_a_layout_that_is_not_the_usual_one() -> None:
    values = ride(100).astype(np.int16)
    assert encode(values.astype(">i2")) == encode(values)
    assert encode(np.asfortranarray(values)) == encode(values)
    assert encode(np.repeat(values, 2, axis=0)[::2]) == encode(values)


def test_the_step_in_decimals_is_found_and_what_breaks_it_is_sent_beside() -> None:
    counts = ride(500)
    plain = len(given_back(counts.astype(np.int32)))
    for scale in (1e-3, 9.80665e-3, np.pi / 180 / 16.384, 0.0047900390625):
        values = (counts * scale).astype(np.float32)
        data = given_back(values)
        assert form_of(data) is forms.Form.LATTICE, f"{scale}: {form_of(data)!r}"
        assert len(data) < 1.01 * plain + 16, f"{scale}: {len(data)} bytes for counts in {plain}"
        values[7, 1] = -0.0
        values[300] = np.nan
        assert form_of(given_back(values)) is forms.Form.LATTICE
    tens = given_back((counts * 10 + 3).astype(np.int32))
    assert len(tens) < 1.01 * plain + 8, f"{len(tens)} bytes for counts in {plain}"


def test_calibrated_counts_are_found_out_with_an_offset_for_each_axis() -> None:
    counts = ride(600)
    plain = len(given_back(counts.astype(np.int32)))
    scaled = counts * np.array([0.0123456789, 0.011, 0.0131]) + np.array([0.3331, -5.17, 2.29])
    for name, more in (("float32", 0.2), ("float64", 2.5)):  # doubles are rounded twice, in their last bit
        size = len(given_back(scaled.astype(name)))
        assert size < plain + 48 + more * counts.size / 8, f"{name}: {size} bytes for counts in {plain}"


def test_noise_costs_what_it_holds_and_no_more() -> None:
    random = np.random.default_rng(5)
    for sigma in (0.6, 3.0, 40.0, 5000.0):
        values = np.rint(random.standard_normal((4000, 3)) * sigma).astype(np.int16)
        bits = 8 * len(encode(values)) / values.size
        _, counts = np.unique(np.rint(random.standard_normal(1_000_000) * sigma), return_counts=True)
        known = -(counts / 1e6 * np.log2(counts / 1e6)).sum()
        assert bits < known + 0.11, f"{bits:.3f} bits for noise of {sigma} counts, which holds {known:.3f}"
    flat = given_back(np.full((5000, 3), 816, np.int32))
    assert len(flat) < 24, f"{len(flat)} bytes for what never changes"


def test_a_second_of_a_ride_is_smaller_than_with_a_general_packer() -> None:
    for rows in (51, 500, 5000):
        values = ride(rows).astype(np.int16)
        ours = len(given_back(values))
        peer = min(len(zlib.compress(v.tobytes(), 9)) for v in (values, np.diff(values, axis=0, prepend=0)))
        assert ours < 0.93 * peer, f"{rows} rows: {ours} bytes beside {peer}"


def test_every_flipped_bit_is_found() -> None:
    data = encode((ride(60) * 1e-3).astype(np.float32))
    for bit in range(8 * len(data)):
        broken = bytearray(data)
        broken[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ValueError, match="checksum"):
            decode(bytes(broken))


def test_every_cut_is_found() -> None:
    data = encode(ride(60).astype(np.int16))
    missed = []
    for size in range(len(data)):
        try:
            decode(data[:size])
            missed.append(size)
        except ValueError:
            pass
    assert not missed


def with_checksum(coded: bytes) -> bytes:
    return coded + binascii.crc_hqx(coded, 0xFFFF).to_bytes(2, "big")


PIECES = (
    ride(80).astype(np.int16),
    (ride(80) * 1e-3).astype(np.float32),
    (ride(80) / 7).astype(np.float32),
    (ride(80) / 7).astype(np.float64),
    np.random.default_rng(2).standard_normal((80, 2)),
    (ride(80) * 0.0123 + 0.77).astype(np.float32),
    ride(80) / 1e5 * float(np.float32(9.81)),
    ride(80, spread=1.0).astype(np.int16),
    np.random.default_rng(1).integers(-(2**31), 2**31, (50, 2)).astype(np.int32),
)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_liar_with_the_right_checksum_gets_samples_or_a_value_error(data: st.DataObject) -> None:
    coded = bytearray(encode(data.draw(st.sampled_from(PIECES)))[:-2])
    for _ in range(data.draw(st.integers(1, 4))):
        coded[data.draw(st.integers(0, min(12, len(coded) - 1)))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del coded[data.draw(st.integers(1, len(coded))) :]
    with contextlib.suppress(ValueError):
        decode(with_checksum(bytes(coded)))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(READ_VERSIONS), st.integers(0, 31), st.binary(max_size=60))
def test_rubbish_with_the_right_checksum_gets_samples_or_a_value_error(
    version: int, head: int, rest: bytes
) -> None:
    try:
        values = decode(with_checksum(bytes((version << 5 | head,)) + rest))
    except ValueError:
        return
    assert values.size <= MOST_VALUES


def test_few_bytes_cannot_claim_many_samples() -> None:
    for head in range(0x20, 0x60):
        shape = b"\xff\xff\x3f" + (b"\x01" if head & 0x10 else b"")  # 2^20 - 1 rows
        for body in (b"\x01", b"\x7f" * 9, bytes(range(1, 90))):
            try:
                values = decode(with_checksum(bytes((head,)) + shape + body))
            except ValueError:
                continue
            assert (values == values[0]).all(), "only what never changes may be that short"


def test_what_cannot_be_coded_is_refused() -> None:
    for values in (
        np.zeros(3, np.int64),
        np.zeros(3, np.uint8),
        np.zeros((2, 2, 2), np.int16),
        np.zeros((2, MOST_AXES + 1), np.int16),
        np.zeros(MOST_VALUES + 1, np.int16),
        np.zeros((), np.int16),
    ):
        with pytest.raises(ValueError, match="cannot code"):
            encode(values)


def test_a_version_to_come_is_named() -> None:
    with pytest.raises(ValueError, match="version 3"):
        decode(with_checksum(b"\x60\x01\x01"))


def test_no_residual_is_so_likely_that_samples_cost_nothing() -> None:
    """The bound on what few bytes may claim rests on it."""
    most = 0
    for shape in range(len(tables.SHAPES)):
        for index in range(4 << 3, 11 << 3):
            edges = tables.table(index, shape).edges
            assert edges[-1] == 1 << tables.PLACES
            assert (np.diff(edges) > 0).all() and edges[0] > 0, (index, shape)
            most = max(most, int((edges[4:] - edges[:-4]).max()))
    bits = -np.log2(most / (1 << tables.PLACES))
    assert 8 / bits <= tables.MOST_VALUES_A_BYTE, f"{8 / bits:.1f} values a byte"
