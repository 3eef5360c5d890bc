"""Pieces of raw samples, coded: what drivers make of numbers is seen through, and old bytes stay readable."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.sample_codec import decode, encode, tables
from agent.sample_codec.ans import Reader, Writer
from agent.sample_codec.levels import MOST_LEVELS, Levels

Values = npt.NDArray[Any]
G, DEGREE = 9.80665, np.pi / 180
SINGLE_G = float(np.float32(9.81))


def counts_of(rows: int, *, axes: int = 3, seed: int = 1, spread: float = 300.0) -> npt.NDArray[np.int64]:
    random = np.random.default_rng(seed)
    noise = random.standard_normal((rows + 2, axes))
    return np.asarray(
        np.rint((noise[2:] + noise[1:-1] + noise[:-2]) * spread) + np.arange(axes) * 5000, np.int64
    )


def size_of(values: Values) -> int:
    data = encode(values)
    back = decode(data)
    assert (back.dtype, back.shape) == (values.dtype, values.shape)
    assert back.tobytes() == values.tobytes(), f"{values!r} came back as {back!r}"
    return len(data)


TWICE_ROUNDED = {
    "millionths of g, in single g": lambda n: n / 1e5 * SINGLE_G,
    "negative": lambda n: n / 1e5 * -9.81,
    "g": lambda n: n * (1 / 16384) * G,
    "over what a datasheet says": lambda n: n / 131.0 * DEGREE,
    "over 180": lambda n: n * 0.061 * np.pi / 180,
    "thousandths of g": lambda n: n * 0.061 * (G / 1000),
    "a factor of nobody's": lambda n: n / 1e4 * 1.2345678,
    "in singles": lambda n: (n.astype(np.float32) / np.float32(131)) * np.float32(DEGREE),
}


@pytest.mark.parametrize("name", TWICE_ROUNDED)
def test_what_was_rounded_twice_takes_no_more_than_its_counts(name: str) -> None:
    for rows in (100, 800):
        counts = counts_of(rows)
        plain = size_of(counts.astype(np.int32))
        size = size_of(TWICE_ROUNDED[name](counts))
        assert size <= plain + 40, f"{name}, {rows} rows: {size} bytes for counts in {plain}"


def test_zeros_below_zero_cost_nothing_where_an_axis_has_no_others() -> None:
    counts = counts_of(500, spread=1.0) - np.arange(3) * 5000
    positive = size_of(counts * 1e-3 * 1.0)
    turned = counts * 1e-3 * np.array([-1.0, 1.0, -1.0])
    assert np.signbit(turned[turned == 0]).any() and size_of(turned) <= positive + 6


@pytest.mark.parametrize("factor", [1.0, G, 1 / 1000, DEGREE])
def test_singles_in_doubles_take_no_more_than_singles(factor: float) -> None:
    singles = (np.random.default_rng(4).standard_normal((400, 3)) * 20).astype(np.float32)
    plain, size = size_of(singles), size_of(singles.astype(np.float64) * factor)
    assert size <= plain + 4, f"{size} bytes for singles in {plain}"
    singles[5, 1], singles[9, 0] = -0.0, 1e-3
    assert size_of(singles.astype(np.float64) * factor) <= plain + 40


def test_doubles_read_from_the_text_of_singles_take_no_more_than_singles() -> None:
    singles = (counts_of(200) * (G * 8 / 32768)).astype(np.float32)
    read = np.array([[float(str(value)) for value in row] for row in singles])
    assert size_of(read) <= size_of(singles) + 4


def test_what_is_no_number_costs_no_more_than_its_places() -> None:
    counts = counts_of(600)
    offsets = counts * np.array([0.0123, 0.011, 0.0131]) + 0.3331
    noise = np.random.default_rng(1).standard_normal((600, 3))
    for values in (counts * 1e-3, offsets, offsets.astype(np.float32), noise.astype(np.float32)):
        plain = size_of(values)
        values[::100], values[5, 2] = np.nan, np.inf
        assert size_of(values) <= plain + 10 * 19, f"{size_of(values)} bytes, {plain} without holes"
        values[::100] = np.inf
        values[5, 2] = np.inf
        assert size_of(values) <= plain + 3 * 19 + 8, f"{size_of(values)} bytes, {plain} without holes"


def test_an_axis_with_a_scale_of_its_own_takes_no_more_than_its_counts() -> None:
    counts = counts_of(800)
    plain = size_of(counts.astype(np.int32))
    size = size_of(counts * np.array([0.0123, 0.0111, 0.0131]))
    assert size <= plain + 60, f"{size} bytes for counts in {plain}"


def test_a_step_is_found_where_no_value_is_near_another_or_near_zero() -> None:
    """One value far from all others, and all far from zero, as after a shock on the axis with gravity."""
    counts = counts_of(900, spread=400.0) + 60_000
    counts[0] = 9
    plain = size_of(counts.astype(np.int32))
    for offset in (0.0, 0.3331):
        size = size_of((counts * 0.00014927443 + offset).astype(np.float32))
        assert size <= plain + 80, f"{size} bytes for counts in {plain}"


def test_codes_that_a_converter_seldom_gives_are_learnt() -> None:
    counts = np.rint(np.random.default_rng(2).standard_normal((4000, 3)) * 3)
    uneven = np.where(counts % 3 == 0, counts + 1, counts).astype(np.int16)
    _, seen = np.unique(uneven, return_counts=True)
    entropy = -(seen / uneven.size * np.log2(seen / uneven.size)).sum()
    bits = 8 * size_of(uneven) / uneven.size
    assert bits < entropy + 0.11, f"{bits:.3f} bits a number, that hold {entropy:.3f}"


@settings(max_examples=40, deadline=None)
@given(
    st.integers(2, MOST_LEVELS),
    st.integers(0, 7),
    st.integers(-(1 << 20), 1 << 20),
    st.lists(
        st.tuples(st.integers(0, MOST_LEVELS), st.integers(-600, 600), st.integers(40, 150)), min_size=1
    ),
)
def test_levels_are_read_as_they_were_written_and_none_is_sure(
    count: int, shape: int, lowest: int, told: list[tuple[int, int, int]]
) -> None:
    values = np.array([lowest + at % count for at, _, _ in told])
    centres = np.array([4 * lowest + centre for _, centre, _ in told])
    indices = np.array([index for _, _, index in told])
    writer, out = Levels(lowest, count, shape), Writer()
    reader = Levels(lowest, count, shape)
    for _ in range(3):
        starts, widths = writer.intervals(values, centres, indices)
        assert (widths >= 1).all() and (widths <= tables.MOST_LIKELY).all()
        out.many(starts, widths, np.full(len(values), tables.PLACES))
    source = Reader(out.bytes(), 2)
    for _ in range(3):
        read = [reader.read(*both, source) for both in zip(centres.tolist(), indices.tolist(), strict=True)]
        reader.learn()
        assert read == values.tolist()
    source.end()


def test_what_is_nearly_sure_still_costs_something() -> None:
    """Few bytes must not be able to claim many samples."""
    values = np.where(np.arange(900) == 700, 1, 0)
    centres, indices = np.zeros(900, np.int64), np.full(900, 40)
    for count in (2, 7, MOST_LEVELS):
        writer, reader, out = Levels(0, count, 4), Levels(0, count, 4), Writer()
        for begin in range(0, 900, 100):
            here = slice(begin, begin + 100)
            starts, widths = writer.intervals(values[here], centres[here], indices[here])
            out.many(starts, widths, np.full(100, tables.PLACES))
            assert widths.max() <= tables.MOST_LIKELY
        assert widths.max() > 0.97 * tables.MOST_LIKELY
        source = Reader(out.bytes(), 2)
        for begin in range(0, 900, 100):
            assert [reader.read(0, 40, source) for _ in range(100)] == values[begin : begin + 100].tolist()
            reader.learn()
        source.end()


ODD = (0.0, -0.0, np.nan, np.inf, -np.inf, 5e-324, 1e-45, 1e300, 7.0, -(2.0**31))


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(("int16", "int32", "float32", "float64")),
    st.integers(0, 90),
    st.integers(1, 8),
    st.integers(0, 1 << 20),
    st.sampled_from((0.0, 0.4, 3.0, 3000.0, 1e9)),
    st.sampled_from((1.0, 0.001, 9.81e-5, 1 / 3, 1e-40, 1e-310, 1e200)),
    st.sampled_from((1.0, G, SINGLE_G, -DEGREE)),
    st.lists(st.tuples(st.integers(0, 800), st.sampled_from(ODD)), max_size=4),
)
def test_whatever_a_driver_makes_comes_back_as_it_was(
    name: str,
    rows: int,
    axes: int,
    seed: int,
    spread: float,
    step: float,
    factor: float,
    odd: list[tuple[int, float]],
) -> None:
    values = counts_of(rows, axes=axes, seed=seed, spread=spread) * step * factor
    for at, value in odd if values.size else ():
        values.reshape(-1)[at % values.size] = value
    with np.errstate(all="ignore"):
        if name.startswith("int"):
            limits = np.iinfo(name)
            values = np.clip(np.nan_to_num(values), limits.min, limits.max)
        size_of(values.astype(name))


WALK = np.array([(i * 37 % 101) - 50 + i * i % 17 for i in range(120)]).reshape(40, 3)
SHORT = WALK[:20]
FEW = np.tile(WALK.ravel() % 2 * 9, 2) + np.arange(240) % 2 * 40
ONCE: dict[str, tuple[Values, str]] = {
    "1, counts": (
        WALK.astype(np.int16),
        "3028032aee0101c162a8ce0209c6433ac448786cb12d97527f5dd436c74914a32878179b9b0d7a40ae43"
        "68c49c8d180b5643f0e88cd5164a59b152473b8bd15cf2d4b4471a7cf439ff6e853e98205e12666dd36855"
        "af6dff8bdafb925871839d3b32d8fc158939ea84f021",
    ),
    "1, decimals": (
        (SHORT * 1e-3).astype(np.float32),
        "391403a6a60f80062012708e0209800337ecb078a1e116772e930034c948e9d5db448f19b8811e97d7efa32b"
        "bea3dbfa74e1f33428169a5bb69f96b383d5db87",
    ),
    "1, own": (
        SHORT * 0.0047900390625,
        "3e14033c2721cff34e7ae175ee1eb851b85c5fe5e71eb852ae1757f9eb1eb85185d9fefe0f1eb8515c28ff3e"
        "4e7ae175d6f5fefe0e7ae176de1eb85100606001f0b70804b5b56d6b3018196a0f2c46412dcc30d547048240"
        "cf60f073b8d944a9ad170ba565f8dcb8915b4bd5c12bc44b72328ade095664a44d7b3ec3af1b0f7b88343675"
        "586d7991d26e",
    ),
    "1, affine": (
        (SHORT * np.array([0.0123, 0.011, 0.0131]) + np.array([0.3331, -5.17, 2.29])).astype(np.float32),
        "3914030556031e1822bb10c089405c21c640f16a808cc2b9dd65b10402f862aafed7381afaf8258a8cf67178"
        "44f9ad9a6c78553c2a146b10c53e76b7715ae0522f197e928af54624299c",
    ),
    "1, split": (
        (SHORT / 7 + np.sqrt(np.arange(60)).reshape(20, 3))[:8],
        "3e08038b668116e4e283c121726ad2ac0d1511ec8dcddb541419b120e703b3ef542bb5c9611e787e5f02be62"
        "d85fa6428990db6db6879fcef37bdb6db7c5e5fd2a9aedbda470e8f38547000000a8b6523cf00f2818cb617b"
        "0fffbe05b8c4db6db7702362b82128916b9b0b570796d3b3d55fdf27e0146a492493db6db696782799bcdb6d"
        "b6e28ee3d7c2b788f945400000447f50aff63d5656db88af746db713ead00588b455f19b5f7a625cee32cf6b"
        "ee2108",
    ),
    "1, bits": (
        np.array([[1e300, -0.0], [np.nan, 5e-324], [-np.inf, 2.5]]),
        "3f0302257a0000759c00ffffff0100000028ffffff000000000ffffc88ffffc0008000400020000000b03190"
        "58aa6e0b90497187ff373e1000150c542c4561",
    ),
    "1, tens": (
        (SHORT * 10 + 3).astype(np.int32),
        "3414030a6a60f8082a682b03134153708e0209800337ecb078a1e116772e930034c948e9d5db448f19b8811e"
        "97d7efa32bbea3dbfa74e1f33428169a5bb69f96b383d5864f",
    ),
    "1, rounded": (
        np.rint(SHORT * 6.1).astype(np.int32),
        "3414033aca80f8c8034142412c32a2092060708f4770c07368e48cd8fca3facf0fef46b088c5d555b298b7b3"
        "b7527c6a72fa6d4e2ab203b2823798c64f6316d339656f5d87e774af39d99eb47f06dbae",
    ),
    "1, still": (
        np.full((50, 2), 7, np.int16),
        "303202708c202606",
    ),
    "2, counts": (
        WALK.astype(np.int16),
        "502803186c175422de20ce0209c6433ac448786cb12d97527f5dd436c74914a32878179b9b0d7a40ae4368c4"
        "9c8d180b5643f0e88cd5164a59b152473b8bd15cf2d4b4471a7cf439ff6e853e98205e12666dd36855af6dff"
        "8bdafb925871839d3b32d8fc158939ea8448f9",
    ),
    "2, levels": (
        FEW.astype(np.int16),
        "40f001061ed87a64e3436605c80c7fb02d02682ec0f0592b30b037bf12effe103ddfd141cfa171901d1a51a8"
        "6acd93cc649be625eb190f9ca6284552f712ffeb517c5faef35d1725c36c35ddc83113051a0b",
    ),
    "2, two factors": (
        SHORT / 1e5 * SINGLE_G,
        "5d14030730ec29e772f49e34e9dde5d08e0209800337ecb078a1e116772e930034c948e9d5db448f19b8811e"
        "97d7efa32bbea3dbfa74e1f33428169a5bb69f96b383d5577b",
    ),
    "2, singles": (
        np.sqrt(np.arange(12)).astype(np.float32).astype(np.float64) * G,
        "4e0ca681d7f2f05fb3453a4fdcccb31531ecb56b00e0c56b7874e18a1f0c027ae4f320471bbd004f33fd0ff3",
    ),
}


@pytest.mark.parametrize("name", ONCE)
def test_what_was_coded_once_stays_readable(name: str) -> None:
    """The bytes of fixed pieces: whoever changes the coding must raise `VERSION`, and keep the reader."""
    values, coded = ONCE[name]
    back = decode(bytes.fromhex(coded))
    assert (back.dtype, back.tobytes()) == (values.dtype, values.tobytes())
    if name.startswith("2"):
        assert encode(values).hex() == coded, encode(values).hex()
