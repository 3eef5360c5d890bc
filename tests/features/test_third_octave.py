"""Third-octave levels are what scipy and the standard say, at any rate, however the samples come."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from agent.blocks import NS_PER_S, ListedClock, Quality
from agent.features.table import F64
from agent.features.third_octave import ThirdOctaves, band_count, edges_hz, level_db, midband_hz
from tests.features.bands import accel, block, mean_squares, pieces, table_of

RATES_HZ = (3200.0, 1003.7, 1000.0, 476.0, 100.0, 51.0, 20.0)


def road(rate_hz: float, seconds: float, seed: int = 0) -> F64:
    """Noise with a body's resonance at 1.6 Hz and a wheel's at 11 Hz, falling off above."""
    rng = np.random.default_rng(seed)
    out = rng.normal(0, 0.05, round(rate_hz * seconds))
    for frequency_hz, width in ((1.6, 0.3), (11.0, 0.4)):
        band = np.array([1 - width, 1 + width]) * frequency_hz
        if band[1] < rate_hz / 2:
            sos = signal.butter(2, band, "bandpass", fs=rate_hz, output="sos")
            out += 3 * signal.sosfilt(sos, rng.normal(0, 1, len(out)))
    return out


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_all_bands_sum_to_the_mean_square_between_their_edges(rate_hz: float) -> None:
    """Parseval, against the periodogram of the whole."""
    values = np.random.default_rng(1).normal(0, 1, round(rate_hz * 240))
    found = mean_squares(values, rate_hz)
    frequency_hz, power = signal.periodogram(values, rate_hz)
    edges = edges_hz(0, len(found))
    inside = (frequency_hz >= edges[0]) & (frequency_hz < edges[-1])
    expected = float(power[inside].sum() * frequency_hz[1])
    assert found.sum() == pytest.approx(expected, rel=0.01), (found.sum(), expected)
    assert np.var(values) == pytest.approx(expected * rate_hz / 2 / (edges[-1] - edges[0]), rel=0.02)


@pytest.mark.parametrize("rate_hz", [1000.0, 476.0, 100.0])
def test_levels_are_those_of_welch_and_of_a_bank_of_filters(rate_hz: float) -> None:
    """A road is no white noise: from band to band it changes by up to 20 dB."""
    values = road(rate_hz, 300)
    ours = level_db(mean_squares(values, rate_hz))
    frequency_hz, power = signal.welch(values, rate_hz, nperseg=round(40 * rate_hz), window="blackman")
    filtered, edges = [], edges_hz(0, len(ours))
    for low, high in itertools.pairwise(edges):
        thin = max(1, int(rate_hz / (20 * high)))  # a narrow filter far below the rate loses its digits
        given_ = signal.resample_poly(values, 1, thin)
        sos = signal.butter(8, [low, high], "bandpass", fs=rate_hz / thin, output="sos")
        filtered.append(np.mean(signal.sosfilt(sos, given_) ** 2))
    inside = [(frequency_hz >= a) & (frequency_hz < b) for a, b in itertools.pairwise(edges)]
    welch = level_db(np.array([power[i].sum() * frequency_hz[1] for i in inside]))
    for apart in (ours - welch, ours - level_db(np.array(filtered))):
        # 300 s tell no more of the narrow bands; and an edge on a slope of 20 dB is sharper or less sharp
        assert np.abs(apart)[:6].max() < 1.2, apart.round(2).tolist()
        assert np.abs(apart)[6:12].max() < 0.8, apart.round(2).tolist()
        assert np.abs(apart)[12:].max() < 0.35, apart.round(2).tolist()


# relative frequency and least attenuation of a third-octave filter of class 1, in dB [IEC 61260-1, table 1]
CLASS_1 = (
    (1.0, -1.0),
    (10**-0.05, -1.0),
    (0.8920, 2.0),
    (0.7726, 16.0),
    (0.5314, 40.5),
    (0.3275, 60.0),
    (0.1855, 70.0),
)


@pytest.mark.parametrize("number", [0, 1, 3, 5, 8, 10, 11, 12, 14, 20, 26])
def test_a_tone_is_in_its_band_and_hardly_elsewhere(number: int) -> None:
    rate_hz, tone_hz = 1000.0, midband_hz(number)
    t = np.arange(round(60 * rate_hz)) / rate_hz
    levels = level_db(mean_squares(np.sqrt(2) * np.sin(2 * np.pi * tone_hz * t), rate_hz)) - 120.0
    assert levels[number] == pytest.approx(0.0, abs=0.3), levels.round(1).tolist()
    ratio = np.abs(np.log([tone_hz / midband_hz(n) for n in range(len(levels))]))
    at, least = zip(*sorted((abs(np.log(r)), a) for r, a in CLASS_1), strict=True)
    # frames of a second know nothing finer than 60 dB below a tone an octave or more under them
    allowed = -np.minimum(np.interp(ratio, at, least), 53.0)
    allowed[number] = 0.4
    assert (levels <= allowed + 0.5).all(), list(zip(levels.round(1), allowed.round(1), strict=True))


@pytest.mark.parametrize("tone_hz", [45.0, 55.0, 61.0, 105.0, 212.0])
def test_what_is_thinned_out_is_not_folded_down(tone_hz: float) -> None:
    t = np.arange(40_000) / 1000.0
    levels = level_db(mean_squares(np.sqrt(2) * np.sin(2 * np.pi * tone_hz * t), 1000.0))
    assert levels[:12].max() < 120 - 65, levels.round(1).tolist()


def test_bands_go_as_far_as_the_rate_allows() -> None:
    highest = {
        rate: round(midband_hz(band_count(rate) - 1), 1) for rate in (3200.0, 1000.0, 100.0, 51.0, 2.5)
    }
    assert highest == {3200.0: 1258.9, 1000.0: 398.1, 100.0: 39.8, 51.0: 20.0, 2.5: 1.0}
    assert band_count(2.0) == 0
    family = ThirdOctaves(accel(2.0))
    table = table_of(family, [block(np.ones((50, 3)), 2.0)])
    assert family.mean_squares(table.part("accel")).shape == (25, 3, 0)


@settings(max_examples=25)
@given(cuts=st.lists(st.integers(1, 6299), max_size=15), listed=st.booleans())
def test_any_partition_gives_the_same_to_the_last_bit(cuts: list[int], listed: bool) -> None:
    """With holes, with samples that are no numbers, and with times that jitter."""
    rng = np.random.default_rng(5)
    values = rng.normal(0, 1, (6300, 3))
    values[1234] = np.nan
    times = np.arange(6300, dtype=np.int64) * 4_999_000 + 333_000_000
    times[2500:] += 12_000_000  # two samples missing
    times[4000:] += 900_000_000
    if listed:
        times += rng.integers(-2_000_000, 2_000_000, 6300)
    whole = block(values, 200.0, clock=ListedClock(0, times, 5_000_000_000))
    family = ThirdOctaves(accel(200.0))
    expected = table_of(ThirdOctaves(accel(200.0)), [whole])
    found = table_of(family, pieces(whole, cuts))
    assert (found.index == expected.index).all()
    for merge, cells in expected.cells.items():
        assert cells.tobytes() == found.cells[merge].tobytes(), merge


def test_longer_windows_are_what_their_seconds_are() -> None:
    values = road(1000.0, 60)
    family = ThirdOctaves(accel(1000.0))
    table = table_of(family, [block(np.stack([values] * 3, axis=1), 1000.0)])
    levels = level_db(family.mean_squares(table.part("accel").whole()))
    merged = level_db(family.mean_squares(table.merged(10).part("accel").whole()))
    assert levels.shape == (1, 3, 27)
    assert np.isfinite(levels).all(), levels
    assert np.abs(levels - merged).max() < 1e-9, (levels, merged)


def test_the_lowest_bands_come_when_their_frames_are_full() -> None:
    family = ThirdOctaves(accel(1000.0))
    table = table_of(family, [block(np.random.default_rng(0).normal(size=(10_000, 3)), 1000.0)])
    first = family.mean_squares(table.part("accel").whole())[0, 0]
    assert np.isnan(first).tolist() == [True] * 6 + [False] * 21, first


def test_a_tone_through_holes_stays_what_it_is() -> None:
    """Every 7 s ten samples are missing; once a second, after which low bands are not told for a while."""
    rate_hz = 1000.0
    t = np.arange(90_000) / rate_hz
    values = np.sin(2 * np.pi * 20.0 * t)[:, None] * np.ones(3)
    keep = np.arange(90_000) % 7000 >= 10
    keep[40_000:41_000] = False
    times = (np.arange(90_000, dtype=np.int64) * 1_000_000)[keep]
    family = ThirdOctaves(accel(rate_hz))
    whole = block(values[keep], rate_hz, clock=ListedClock(0, times, 1_000_000_000))
    table = table_of(family, pieces(whole, [30_000, 50_000]))
    levels = family.mean_squares(table.part("accel"))[:, 0, :]
    assert np.isnan(levels[40:51, 0]).all(), levels[40:51, 0]
    assert np.isfinite(levels[:40, 13][2:]).all()
    mean = np.nanmean(levels[:, 13])
    assert level_db(np.array(mean)) - 120 == pytest.approx(-3.01, abs=0.12), mean
    above = level_db(np.nanmean(levels[:, 16:], axis=0))
    assert above.max() < 117 - 20, above.round(1).tolist()


def test_a_sample_that_is_no_number_is_missing_and_a_saturated_one_counts_as_it_reads() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, 30_000)
    spoilt = values.copy()
    spoilt[::3333] = np.nan
    clean, found = mean_squares(values, 1000.0), mean_squares(spoilt, 1000.0)
    assert np.abs(level_db(found) - level_db(clean)).max() < 0.15
    clipped = np.clip(values, -1.5, 1.5)
    quality = np.where(np.abs(clipped) >= 1.5, Quality.SATURATED, 0).astype(np.uint8)
    family = ThirdOctaves(accel(1000.0))
    table = table_of(family, [block(np.stack([clipped] * 3, axis=1), 1000.0, quality=quality)])
    saturated = family.mean_squares(table.part("accel").whole())[0, 0]
    assert saturated == pytest.approx(mean_squares(clipped, 1000.0))


@pytest.mark.parametrize(("tone_hz", "within_db"), [(1.0, 0.3), (3.15, 0.3), (6.3, 0.5), (10.0, 1.2)])
def test_a_phones_times_are_believed(tone_hz: float, within_db: float) -> None:
    """51 Hz, each sample 6 to 34 ms after the one before."""
    rng = np.random.default_rng(9)
    steps = np.clip(rng.normal(19.6, 5.0, 3000), 6, 34)
    times = (np.cumsum(steps) * 1e6).astype(np.int64)
    values = np.sqrt(2) * np.sin(2 * np.pi * tone_hz * times / NS_PER_S)
    levels = level_db(mean_squares(values, 51.0, ListedClock(0, times, 19_607_843_137))) - 120
    assert levels.max() == pytest.approx(0.0, abs=within_db), levels.round(2).tolist()
    assert midband_hz(int(levels.argmax())) == pytest.approx(tone_hz, rel=0.1)


def test_samples_that_come_more_slowly_than_told_fill_fewer_bands() -> None:
    family = ThirdOctaves(accel(1000.0))
    table = table_of(family, [block(np.random.default_rng(0).normal(size=(15_000, 3)), 500.0)])
    levels = family.mean_squares(table.part("accel").whole())[0, 2]
    highest = int(np.flatnonzero(np.isfinite(levels))[-1])
    assert midband_hz(highest) == pytest.approx(199.5, rel=1e-3), levels


def test_one_metre_a_second_squared_is_120_db() -> None:
    assert level_db(np.array([1.0, 1e-12, 0.0])).tolist() == [120.0, 0.0, -np.inf]
