"""The bench lies as its truth says, and the hand on it is a hand."""

from __future__ import annotations

import dataclasses
import math
import pickle
from pathlib import Path

import numpy as np
import pytest

from firmware_bridge.virtual import calibration_motion
from firmware_bridge.virtual.calibration_bench import CalibrationBench, Rehearsal
from firmware_bridge.virtual.calibration_hand import Hand, Heat, Move, MovesReader, Put, Turn
from firmware_bridge.virtual.calibration_truth import CELLS, Floats, Truth, draw_truth
from firmware_bridge.virtual.calibration_world import AIR_LAG_S
from firmware_bridge.virtual.streams import ACCEL_MPS2_PER_COUNT, GRAVITY_MPS2, LOAD_KG_PER_COUNT

SEEDS = (0, 1, 2, 7, 20, 12345)
POSES = [(0, 0, 1), (0, 0, -1), (1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (1, 1, 1), (-1, 2, -3)]


def unit(vector: tuple[float, float, float]) -> Floats:
    return np.array(vector) / math.hypot(*vector)


def angle_deg(a: Floats, b: Floats) -> float:
    cosine = float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    return math.degrees(math.acos(min(1.0, max(-1.0, cosine))))


def noiseless(seed: int) -> CalibrationBench:
    truth = draw_truth(seed)
    errors = dataclasses.replace(truth.load.errors, noise=0.0)
    return CalibrationBench(
        seed, truth=dataclasses.replace(truth, load=dataclasses.replace(truth.load, errors=errors))
    )


def load_means_kg(seed: int, moves: list[tuple[float, Move]], at_s: list[float]) -> Floats:
    """What is found by the truth from what the cells show in the second from each time on: (n, 4) kg."""
    bench = noiseless(seed)
    counts = bench.samples("load", 0, max(at_s) + 1, moves)
    means = np.array([counts[int(t * 80) : int(t * 80) + 80].mean(axis=0) for t in at_s])
    return bench.truth.load.errors.correct(means * LOAD_KG_PER_COUNT)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_pose_is_gravity_behind_the_hidden_errors(seed: int) -> None:
    rehearsal = Rehearsal(bench := CalibrationBench(seed), ("accel",))
    truth = bench.truth.accel
    aims = []
    for up in POSES:
        rehearsal.turn(up)
        moving = rehearsal.run(1)["accel"]
        rehearsal.run(1)
        still = rehearsal.run(2)["accel"] * ACCEL_MPS2_PER_COUNT
        force = truth.errors.correct(still.mean(axis=0)[None])[0]
        limit = 5 * truth.errors.noise / math.sqrt(2000)
        assert abs(np.linalg.norm(force) - GRAVITY_MPS2) < limit, f"{up}: |force| {np.linalg.norm(force):.5f}"
        aims.append(angle_deg(np.array(truth.mount) @ force, unit(up)))
        assert still.std(axis=0) == pytest.approx([truth.errors.noise] * 3, rel=0.12), up
        assert moving.std(axis=0).max() * ACCEL_MPS2_PER_COUNT > 0.3, f"{up}: nobody moved it"
    assert max(aims) < 12 and np.mean(aims) > 1, f"aims off by {aims} degrees"


def load_totals_kg(bench: CalibrationBench, end_s: float, moves: list[tuple[float, Move]]) -> Floats:
    """What stands there in all, at 80 Hz: (n,) kg."""
    shown = bench.samples("load", 0, end_s, moves) * LOAD_KG_PER_COUNT
    total: Floats = bench.truth.load.errors.correct(shown).sum(axis=1)
    return total


def test_a_calibration_is_off_by_what_it_does_not_know() -> None:
    errors = draw_truth(9).load.errors
    gain, bias = np.array(errors.gain), np.array(errors.bias)
    loads = np.array([[0.0, 0, 0, 0], [20, 0, 0, 0], [5, 5, 5, 5]])
    assert errors.off(gain, bias, loads) == pytest.approx(np.zeros((3, 4)), abs=1e-12)
    assert errors.off(gain * 1.01, bias, loads) == pytest.approx(loads * 0.01)
    assert errors.off(gain, bias - 0.1, loads).sum(axis=1) == pytest.approx([0.1 * gain.sum()] * 3)


def test_the_mount_leads_from_the_chip_to_the_box(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration_motion, "AIM_DEG", 0.0)
    rehearsal = Rehearsal(bench := CalibrationBench(7), ("accel",))
    mount = np.array(bench.truth.accel.mount)
    assert angle_deg(mount @ np.array([1.0, 2, 3]), mount.T @ np.array([1.0, 2, 3])) > 0.5, "hardly turned"
    for up in POSES:
        rehearsal.turn(up)
        rehearsal.run(3)
        still = rehearsal.run(2)["accel"].mean(axis=0) * ACCEL_MPS2_PER_COUNT
        off_deg = angle_deg(mount @ bench.truth.accel.errors.correct(still[None])[0], unit(up))
        assert off_deg < 0.03, f"{up}: {off_deg:.3f} degrees"


@pytest.mark.parametrize("seed", SEEDS)
def test_uncorrected_it_is_wrong_by_more_than_a_level_allows(seed: int) -> None:
    counts = CalibrationBench(seed).samples("accel", 0, 2)
    tilt_deg = angle_deg(counts.mean(axis=0), np.array([0, 0, 1]))
    assert 0.1 < tilt_deg < 12, f"{tilt_deg:.2f} degrees"


def test_errors_are_those_of_plausible_chips_and_cells() -> None:
    truths = [draw_truth(seed) for seed in range(100)]
    biases = np.array([t.accel.errors.bias for t in truths]) / GRAVITY_MPS2
    assert 0.07 < np.abs(biases).max() <= 0.08, np.abs(biases).max()
    for truth in truths:
        gain = np.array(truth.accel.errors.gain)
        assert (np.tril(gain, -1) == 0).all() and (np.diag(gain) > 0).all()
        to_chip = np.linalg.inv(np.array(truth.accel.mount) @ gain)
        scale = np.linalg.norm(to_chip, axis=1)
        assert np.abs(scale - 1).max() < 0.031, scale
        off_deg = [angle_deg(row, axis) for row, axis in zip(to_chip, np.eye(3), strict=True)]
        assert max(off_deg) < 2.01, off_deg
        shown = np.linalg.inv(np.array(truth.load.errors.gain))
        assert 0.9 < np.diag(shown).min() < np.diag(shown).max() < 1.1, shown
        assert np.abs(shown - np.diag(np.diag(shown))).max() < 0.0166, shown
        assert np.abs(truth.load.errors.bias).max() < 0.02 * truth.load.capacity_kg
    assert len({t.to_json() for t in truths}) == len(truths)
    with pytest.raises(ValueError, match="seed -1"):
        draw_truth(-1)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_mass_is_its_mass_wherever_it_stands(seed: int) -> None:
    moves: list[tuple[float, Move]] = [(2, Put(20.0))]
    moves += [(6.0 + 4 * i, Put(20.0, place)) for i, place in enumerate(CELLS)]
    moves += [(22, Put(0.0))]
    shown = load_means_kg(seed, moves, [0.0, 4.5, 8.5, 12.5, 16.5, 20.5, 25.0])
    assert np.abs(shown[0]).max() < 0.01, shown[0]
    # 0.02 % of the capacity each of curve and hysteresis, and creep
    assert np.abs(shown[1:6].sum(axis=1) - 20).max() < 0.05, shown.sum(axis=1)
    truth = draw_truth(seed).load
    assert truth.carried_kg(20, "centre") == pytest.approx([5] * 4)
    soft = 5 * truth.softness
    assert truth.carried_kg(20, "fr") == pytest.approx([5 - soft, 15 + soft, soft - 5, 5 - soft])
    for i, place in enumerate(("centre", *CELLS)):
        assert shown[1 + i] == pytest.approx(truth.carried_kg(20, place), abs=0.8), place
    assert np.abs(shown[6]).max() < 0.03, shown[6]


def test_a_cell_bends_as_its_curve_says() -> None:
    natural = noiseless(1).truth
    load = dataclasses.replace(
        natural.load,
        hysteresis=(0.0,) * 4,
        creep=((0.0,) * 4,),
        creep_lags_s=(1.0,),
        nonlinearity=(3e-4,) * 4,
    )
    bench = CalibrationBench(1, truth=dataclasses.replace(natural, load=load))
    moves: list[tuple[float, Move]] = [(0, Put(50.0)), (4, Put(100.0)), (8, Put(200.0))]
    counts = bench.samples("load", 0, 12, moves)
    for mass_kg, at_s, bent in ((50, 3, 0.75), (100, 7, 1.0), (200, 11, 0.0)):
        mean = counts[at_s * 80 : (at_s + 1) * 80].mean(axis=0) * LOAD_KG_PER_COUNT
        off_kg = load.errors.correct(mean[None]).sum() - mass_kg
        assert off_kg == pytest.approx(4 * bent * 3e-4 * load.capacity_kg, abs=0.002), f"{mass_kg} kg"


def test_the_plate_is_empty_while_a_mass_is_carried_over() -> None:
    total = load_totals_kg(CalibrationBench(4), 6, [(0, Put(30, "fl")), (3, Put(30, "rr"))])
    assert total[int(3.7 * 80)] < 1 and total[int(2.5 * 80)] > 29.9 and total[(5 * 80)] > 29.9


def test_a_mass_that_stands_there_is_lifted_and_put_back_but_what_comes_on_top_is_not() -> None:
    moves: list[tuple[float, Move]] = [(0, Put(20)), (4, Put(20)), (8, Put(40)), (12, Put(20))]
    first, again, more, less = load_means_kg(5, moves, [3, 7, 11, 15])
    assert np.abs(again - first).max() > 0.05, "it stands exactly where it stood"
    assert more == pytest.approx(2 * again, abs=0.02), "what was there was moved"
    assert less == pytest.approx(again, abs=0.02)
    total = load_totals_kg(CalibrationBench(5), 8, moves)
    assert total[4 * 80 : 6 * 80].min() < 0.5, "it was not lifted"


def test_a_hand_that_is_busy_ends_that_first() -> None:
    total = load_totals_kg(CalibrationBench(5), 5, [(0, Put(20)), (2, Put(0)), (2, Put(30, "rl"))])
    assert total[2 * 80 : 3 * 80].min() < 0.5, "it was not taken off"
    assert total[-80:].mean() == pytest.approx(30, abs=0.05)
    bench = CalibrationBench(5)
    counts = bench.samples("accel", 0, 5, [(0, Turn((1, 0, 0))), (0, Turn((0, 0, -1)))])
    assert counts[:1500, 0].max() * ACCEL_MPS2_PER_COUNT > 9, "it was never on its side"
    assert counts[-1000:, 2].mean() * ACCEL_MPS2_PER_COUNT < -8, "it never lay on its head"


def test_cells_creep_and_come_back_another_way() -> None:
    seed = 3
    truth = draw_truth(seed).load
    at_s = [5.0, 1800.0, 1806.0, 3600.0]
    shown = load_means_kg(seed, [(1, Put(100.0)), (1802, Put(0.0))], at_s)
    crept = shown[1] - shown[0]
    waited = np.exp(-4.5 / np.array(truth.creep_lags_s)) - np.exp(-1799.5 / np.array(truth.creep_lags_s))
    expected = 25 * waited @ np.array(truth.creep)
    assert crept == pytest.approx(expected, rel=0.05), f"{crept * 1000} g"
    assert np.abs(shown[2]).max() > np.abs(shown[3]).max(), "it did not creep back"

    ways: list[tuple[float, Move]] = [(2.0, Put(50.0)), (6.0, Put(160.0)), (10.0, Put(50.0))]
    up, down = load_means_kg(seed, ways, [4.5, 12.5])
    hysteresis_g = (down - up) * 1000
    widest_g = np.array(truth.hysteresis) * truth.capacity_kg * 1000
    assert (hysteresis_g > 0.3 * widest_g).all() and (hysteresis_g < 2 * widest_g).all(), (
        f"{hysteresis_g}, widest {widest_g} g"
    )


@pytest.mark.parametrize("stream", ["accel", "load"])
def test_it_drifts_as_it_gets_warm_and_lags_behind(stream: str) -> None:
    bench = CalibrationBench(2)
    errors = bench.truth.accel.errors if stream == "accel" else bench.truth.load.errors
    scale = ACCEL_MPS2_PER_COUNT if stream == "accel" else LOAD_KG_PER_COUNT
    hot_degc, late_s = errors.reference_degc + 40, int(8 * errors.lag_s)
    moves = [(0.0, Heat(hot_degc))]

    def shift(at_s: int) -> Floats:
        cold = bench.samples(stream, 0, 1).mean(axis=0)
        moved: Floats = (bench.samples(stream, at_s, at_s + 1, moves).mean(axis=0) - cold) * scale
        return moved

    expected = errors.drift(40.0, 0.0) - errors.drift(0.0, 0.0)
    rate_hz = 1000 if stream == "accel" else 80
    limit = 5 * errors.noise / math.sqrt(rate_hz) + 0.005 * float(np.abs(expected).max())
    assert np.abs(expected).max() > 10 * limit, "nothing to see"
    assert shift(late_s) == pytest.approx(expected, abs=limit)
    # two lags, one after the other: the air's and the sensor's own
    t, a, b = errors.lag_s, AIR_LAG_S, errors.lag_s
    warm = 40 * (1 - (a * math.exp(-t / a) - b * math.exp(-t / b)) / (a - b))
    air = 40 * (1 - math.exp(-t / a))
    midway = errors.drift(warm, (air - warm) / errors.lag_s) - errors.drift(0.0, 0.0)
    assert shift(int(t)) == pytest.approx(midway, abs=2 * limit)


def test_haste_makes_warmth_and_creep_faster_and_nothing_else() -> None:
    moves: list[tuple[float, Move]] = [(0.0, Heat(60)), (1.0, Put(40, "rl"))]
    slow = CalibrationBench(5).samples("load", 1800, 1801, moves).mean(axis=0)
    fast = CalibrationBench(5, haste=60).samples("load", 30, 31, moves).mean(axis=0)
    assert fast * LOAD_KG_PER_COUNT == pytest.approx(slow * LOAD_KG_PER_COUNT, abs=0.01)


def test_the_same_moves_give_the_same_counts_however_they_are_asked_for(tmp_path: Path) -> None:
    bench = CalibrationBench(6, folder=tmp_path)
    seconds = [bench.second(0)]
    bench.hand.turn((1, 0, 0))
    bench.hand.put(12.5, "rr")
    seconds += [bench.second(1), bench.second(2)]
    bench.hand.heat(40)
    bench.hand.take_off()
    seconds += [bench.second(k) for k in range(3, 14)]
    moves = [(timed.begin_s, timed.move) for timed in bench.felt]
    assert [type(move) for _, move in moves] == [Turn, Put, Heat, Put]
    assert [int(begin_s) for begin_s, _ in moves] == [1, 1, 3, 3]
    for name in ("accel", "load", "temperature"):
        whole = np.concatenate([second[name] for second in seconds])
        assert (whole == bench.samples(name, 0, 14, moves)).all(), name
        rate_hz = whole.shape[0] // 14
        part = bench.samples(name, 2.5, 11.25, moves)
        assert (whole[math.ceil(2.5 * rate_hz) : math.ceil(11.25 * rate_hz)] == part).all(), name
        for k in (12, 2, 0, 7):
            assert (bench.second(k)[name] == seconds[k][name]).all(), f"{name}, second {k}"
    assert not (seconds[0]["accel"] == CalibrationBench(7).second(0)["accel"]).all()


def test_a_bench_in_another_process_feels_the_same_hand() -> None:
    bench = CalibrationBench(8, haste=3.0, gravity_mps2=9.81)
    other = pickle.loads(pickle.dumps(bench))
    assert (other.truth, other.haste, other.gravity_mps2) == (bench.truth, 3.0, 9.81)
    assert isinstance(other.truth, Truth)
    felt = [bench.hand.felt]  # there was nothing to feel
    bench.hand.turn((0, -1, 0))
    felt.append(bench.hand.felt)
    for k in range(4):
        counts = other.second(k)["accel"]
    assert [*felt, bench.hand.felt] == [True, False, True]
    assert angle_deg(counts.mean(axis=0), np.array([0, -1, 0])) < 20
    assert bench.felt == other.felt and len(bench.felt) == 1


def test_half_a_move_is_not_read(tmp_path: Path) -> None:
    journal = tmp_path / "moves"
    reader = MovesReader(journal)
    assert reader.newer() == []
    Hand(journal, tmp_path / "felt").put(3, "fl")
    line = journal.read_bytes()
    for i in range(1, len(line) + 1):
        journal.write_bytes(line + line[:i])
        expected = ([Put(3.0, "fl")] if i == 1 else []) + ([Put(3.0, "fl")] if i == len(line) else [])
        assert reader.newer() == expected, f"{i} bytes of {len(line)}"


def test_what_no_hand_can_do_is_refused(tmp_path: Path) -> None:
    hand = Hand(tmp_path / "moves", tmp_path / "felt")
    with pytest.raises(ValueError, match="expected a direction"):
        hand.turn((0, 0, 0))
    with pytest.raises(ValueError, match="expected 0 or more"):
        hand.put(-1)
    with pytest.raises(ValueError, match="place 'middle'"):
        hand.put(1, "middle")
    with pytest.raises(ValueError, match="expected -40 to 85"):
        hand.heat(200)
    assert not (tmp_path / "moves").exists(), "and nothing of it was written"
    with pytest.raises(ValueError, match="'gyro'"):
        CalibrationBench(1).samples("gyro", 0, 1)
    with pytest.raises(ValueError, match="haste 0"):
        CalibrationBench(1, haste=0)
