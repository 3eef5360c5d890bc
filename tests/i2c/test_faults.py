"""Every way in which a chip or its bus fails while it is sampled: what is told, what is lost, the return."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from agent.blocks import FaultPhase
from scripts.virtual_pi.chips.base import Chip
from tests.i2c.cases import BY_NAME, CASES, Case, truth_of
from tests.i2c.rig import Rig, Step, Taken, check_order, check_sum, sample

ALL = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
SOUND_S = 2.0  # sampled before anything happens
IMPOSTOR = 0x58  # a BMP280's, and nobody's at the other registers


def run(
    case: Case, rig: Rig, chip: Chip, script: Sequence[Step], seconds: float, *, from_first: bool = True
) -> Taken:
    """Sample one chip through a script; what comes obeys the contract of a source."""
    rig.put([chip])
    settings = case.settings(case.rate_on(rig, faults=True))
    taken = sample(rig, [settings], seconds=seconds, script=script, from_first=from_first)
    check_order(taken)
    for stream in case.streams:
        assert stream in taken.samples, f"no sample of {stream}: {taken.kinds()}"
        check_sum(taken, stream)
    return taken


def setting(chip: Chip, name: str, value: object) -> Step:
    """Return what sets an attribute of a model, to be put at its second."""
    return (0.0, lambda: setattr(chip, name, value))


def at(second: float, step: Step) -> Step:
    return (second, step[1])


def check_told(taken: Taken, case: Case, first: str, *others: str) -> None:
    """One fault, or one a stream: begun as `first`, perhaps changed to one of `others`, and over."""
    kinds = taken.kinds()
    assert kinds, "nothing was told"
    assert kinds[0] in (f"start {first}", *(f"start {other}" for other in others)), kinds
    assert kinds[-1].startswith("end"), kinds
    allowed = {first, *others}
    assert {kind.split()[1] for kind in kinds} <= allowed, kinds
    starts = [fault for fault in taken.faults if fault.phase is FaultPhase.START]
    assert len({fault.streams for fault in starts}) == len(starts), f"told again and again: {kinds}"
    for fault in starts:
        assert fault.got and fault.expected and case.name in fault.sensor, fault


def check_lost(taken: Taken, case: Case, seconds: float, slack_s: float, reasons: set[str]) -> None:
    """About so much is missing, for one of these reasons."""
    rate_hz = case.rate_on(taken.rig, faults=True) * (1 if case.triggered else 1 + case.error_ppm * 1e-6)
    for stream in case.streams:
        missing_s = taken.missing(stream) / rate_hz
        assert abs(missing_s - seconds) <= slack_s + 2 / rate_hz, f"{stream}: {missing_s:.3f} s missing"
        assert taken.reasons(stream) <= reasons, taken.reasons(stream)


@ALL
def test_no_answer_for_a_while(case: Case, rig: Rig) -> None:
    _, chip = case.make(rig, faults=True)
    script = [
        at(SOUND_S + 1, setting(chip, "absent", True)),
        at(SOUND_S + 3, setting(chip, "absent", False)),
    ]
    taken = run(case, rig, chip, script, SOUND_S + 6)
    check_told(taken, case, "nack")
    check_lost(taken, case, 2.0, 1.3, {"nack"})
    # it measured on, and its oscillator kept its phase: the count is exact
    assert len(set(truth_of(case, taken, chip).offsets)) == 1 or case.triggered


@ALL
def test_not_there_at_the_start(case: Case, rig: Rig) -> None:
    _, chip = case.make(rig, faults=True)
    chip.absent = True
    taken = run(case, rig, chip, [at(1.5, setting(chip, "absent", False))], 12.0, from_first=False)
    check_told(taken, case, "missing")
    assert taken.samples[case.streams[0]][0].index > 0, "its index counts from the start of the source"
    check_lost(taken, case, 1.5, 8.0, {"missing"})


@ALL
def test_another_chip_at_its_address(case: Case, rig: Rig) -> None:
    _, chip = case.make(rig, faults=True)
    chip.identity = IMPOSTOR
    taken = run(case, rig, chip, [at(1.0, setting(chip, "identity", None))], 12.0, from_first=False)
    check_told(taken, case, "wrong_chip", "bad_data", "missing", "registers")
    assert taken.kinds()[0] == "start wrong_chip", taken.kinds()


@ALL
def test_a_line_that_nobody_drives(case: Case, rig: Rig) -> None:
    _, chip = case.make(rig, faults=True)
    script = [
        at(SOUND_S + 1, setting(chip, "all_ones", True)),
        at(SOUND_S + 2, setting(chip, "all_ones", False)),
    ]
    taken = run(case, rig, chip, script, SOUND_S + 6)
    check_told(taken, case, "wrong_chip", "registers", "bad_data", "timeout", "silent", "overflow")
    truth_of(case, taken, chip)  # not one value that the model never made
    check_lost(taken, case, 1.0, 2.5, {"wrong_chip", "registers", "bad_data", "timeout"})


@ALL
def test_it_forgets_its_settings(case: Case, rig: Rig) -> None:
    if case.name in ("SHT4x", "ADS1115"):
        pytest.skip("it is told all with each measurement, and forgets nothing that matters")
    _, chip = case.make(rig, faults=True)
    taken = run(case, rig, chip, [(SOUND_S + 1, chip.power_cycle)], SOUND_S + 8)
    check_told(taken, case, "registers", "bad_data", "timeout", "nack")
    assert taken.missing(case.streams[0]) < 3.5 * case.rate_on(rig, faults=True)


@ALL
def test_its_oscillator_stops(case: Case, rig: Rig) -> None:
    _, chip = case.make(rig, faults=True)
    script = [
        at(SOUND_S + 1, setting(chip, "stopped", True)),
        at(SOUND_S + 2.5, setting(chip, "stopped", False)),
    ]
    taken = run(case, rig, chip, script, SOUND_S + 8)
    # the last samples before it stopped come too late to be believed
    check_told(taken, case, "silent", "timeout", "self_test", "registers", "nack", "overflow")
    assert case.triggered or any("silent" in kind for kind in taken.kinds()), taken.kinds()
    check_lost(taken, case, 1.5, 4.0, {"silent", "timeout", "self_test", "nack", "overflow"})


@ALL
def test_the_computer_is_held_up(case: Case, rig: Rig) -> None:
    _, chip = case.make(rig, faults=True)
    held_s = 1.2
    taken = run(case, rig, chip, [(SOUND_S + 1, lambda: rig.hold_up(round(held_s * 1e9)))], SOUND_S + 6)
    if case.triggered:
        assert not taken.faults, taken.kinds()
        check_lost(taken, case, held_s, 0.3, {"busy"})
        return
    check_told(taken, case, "overflow")
    assert chip.lost, "the model lost nothing: the test holds up for too short a time"
    check_lost(taken, case, held_s, 0.4, {"overflow"})
    assert len(set(truth_of(case, taken, chip).offsets)) == 1, "the gap counts exactly what was lost"


@ALL
def test_the_same_value_for_too_long(case: Case, rig: Rig) -> None:
    if not case.moves or case.triggered:
        pytest.skip("its value may stand still for as long as a test can wait")
    _, chip = case.make(rig, faults=True)
    script = [
        at(SOUND_S, setting(chip, "frozen", True)),
        at(SOUND_S + 8, setting(chip, "frozen", False)),
    ]
    taken = run(case, rig, chip, script, SOUND_S + 12)
    check_told(taken, case, "stuck_value")
    start = next(f for f in taken.faults if f.phase is FaultPhase.START)
    begun_s = (start.at_ns - taken.zero_ns) / 1e9
    assert SOUND_S + 4.8 < begun_s < SOUND_S + 7, f"after {begun_s:.2f} s"
    check_lost(taken, case, SOUND_S + 8 - begun_s, 1.5, {"stuck_value"})


@ALL
def test_at_the_end_of_its_range_for_too_long(case: Case, rig: Rig) -> None:
    if not case.has_rails:
        pytest.skip("the end of its range is bad data")
    _, chip = case.make(rig, faults=True)
    script = [
        at(SOUND_S, setting(chip, "saturated", True)),
        at(SOUND_S + 5, setting(chip, "saturated", False)),
    ]
    taken = run(case, rig, chip, script, SOUND_S + 8)
    check_told(taken, case, "saturated")
    start = next(f for f in taken.faults if f.phase is FaultPhase.START)
    begun_s = (start.at_ns - taken.zero_ns) / 1e9
    assert SOUND_S + 1.9 < begun_s < SOUND_S + 3.6, f"after {begun_s:.2f} s"
    marked = [s for s in taken.samples[case.streams[0]] if s.quality & 1]
    assert marked, "the samples before it are marked as saturated"
    check_lost(taken, case, SOUND_S + 5 - begun_s, 0.6, {"saturated"})


@ALL
def test_the_bus_is_pulled_and_put_back(case: Case, rig: Rig) -> None:
    _, chip = case.make(rig, faults=True)
    taken = run(case, rig, chip, [(SOUND_S + 1, rig.pull), (SOUND_S + 2.5, rig.plug)], SOUND_S + 7)
    check_told(taken, case, "bus_gone", "nack", "timeout")
    assert any("bus_gone" in kind for kind in taken.kinds())
    check_lost(taken, case, 1.5, 2.0, {"bus_gone", "nack", "timeout"})
    if not case.triggered:
        assert len(set(truth_of(case, taken, chip).offsets)) == 1, "it measured on, and was counted"


@ALL
def test_a_line_is_held_down(case: Case, rig: Rig) -> None:
    _, chip = case.make(rig, faults=True)
    # the kernel's own time-out of this adapter is 2 s
    held_s = 2.0 if rig.simulated else 9.0
    taken = run(
        case,
        rig,
        chip,
        [(SOUND_S + 1, rig.hold_down), (SOUND_S + 1 + held_s, rig.let_go)],
        SOUND_S + held_s + 7,
    )
    # a FIFO that was cut off in the middle of a sample is out of step, which its markers say
    check_told(taken, case, "timeout", "stuck_bus", "bad_data")
    assert any("stuck_bus" in kind for kind in taken.kinds()), taken.kinds()
    check_lost(taken, case, held_s, 4.0, {"timeout", "stuck_bus", "bad_data"})


def test_checksums_are_wrong(rig: Rig) -> None:
    case = BY_NAME["SHT4x"]
    _, chip = case.make(rig, faults=True)
    script = [at(2.0, setting(chip, "damage", True)), at(3.0, setting(chip, "damage", False))]
    taken = run(case, rig, chip, script, 7.0)
    check_told(taken, case, "bad_data", "wrong_chip")
    truth_of(case, taken, chip)


def test_markers_are_wrong(rig: Rig) -> None:
    case = BY_NAME["ADXL355"]
    _, chip = case.make(rig, faults=True)
    script = [
        at(SOUND_S + 1, setting(chip, "damage", True)),
        at(SOUND_S + 2, setting(chip, "damage", False)),
    ]
    taken = run(case, rig, chip, script, SOUND_S + 7)
    check_told(taken, case, "bad_data")
    truth_of(case, taken, chip)


@pytest.mark.parametrize(
    "case", [c for c in CASES if c.name not in ("ADS1115", "BME280", "SHT4x")], ids=lambda c: c.name
)
def test_a_chip_that_fails_its_own_test(case: Case, rig: Rig) -> None:
    _, chip = case.make(rig, faults=True)
    chip.self_test_fails = True
    taken = run(case, rig, chip, [at(4.0, setting(chip, "self_test_fails", False))], 20.0, from_first=False)
    check_told(taken, case, "self_test")
    assert taken.reasons(case.streams[0]) == {"self_test"}


def test_a_bad_contact_is_one_fault_that_goes_on(rig: Rig) -> None:
    case = BY_NAME["ADXL345"]
    _, chip = case.make(rig, faults=True)
    script: list[Step] = []
    for i in range(20):
        script.append(at(SOUND_S + 1.7 * i, setting(chip, "absent", True)))
        script.append(at(SOUND_S + 1.7 * i + 0.3, setting(chip, "absent", False)))
    taken = run(case, rig, chip, script, SOUND_S + 20 * 1.7 + 60)
    starts = taken.kinds().count("start nack")
    assert 2 <= starts <= 6, f"told {starts} times in 34 s: {taken.kinds()}"
    assert taken.kinds()[-1] == "end nack", "and that it is over, once it stayed sound for long enough"
    assert len([gap for gap in taken.gaps if gap.reason == "nack"]) >= 15, "each gap is told all the same"


def test_a_pulled_cable_is_told_of_a_chip_that_was_read_too_late(rig: Rig) -> None:
    case = BY_NAME["ADXL345"]
    _, chip = case.make(rig, faults=True)
    script: list[Step] = []
    for again in range(2):
        begin_s = SOUND_S + 1 + 12 * again
        script += [(begin_s, rig.pull), (begin_s + 1, rig.plug)]
        # soon after it was well again, so that it is held; and the cable goes before that is over
        script += [
            (begin_s + 2, lambda: rig.hold_up(1_000_000_000)),
            (begin_s + 4, rig.pull),
            (begin_s + 6, rig.plug),
        ]
    kinds = run(case, rig, chip, script, SOUND_S + 60).kinds()
    late = kinds.index("start overflow")
    assert kinds[late + 1] == "update bus_gone", kinds
    assert kinds[-1] == "end bus_gone", kinds


def test_a_cable_that_is_back_is_not_called_pulled_because_the_chip_is_read_too_late(rig: Rig) -> None:
    case = BY_NAME["ADXL345"]
    _, chip = case.make(rig, faults=True)
    begin_s = SOUND_S + 1
    script: list[Step] = [
        (begin_s, rig.pull),
        (begin_s + 1, rig.plug),
        (begin_s + 3, rig.pull),
        (begin_s + 4, rig.plug),
    ]
    # more often than the fault of the second pull is held for
    script += [(begin_s + 5 + n, lambda: rig.hold_up(1_000_000_000)) for n in range(0, 20, 1)]
    kinds = run(case, rig, chip, script, SOUND_S + 60).kinds()
    assert kinds[-2:] == ["update overflow", "end overflow"], kinds
    assert kinds.count("update overflow") == 1, kinds
