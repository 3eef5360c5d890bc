"""Weighing in the records: what they tell, with which certificates, under which gravity, on which slope."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import pytest

from agent.pipeline import Pipeline
from agent.records import Head
from agent.streams import TABLE
from calibration.certificate import Certificate
from firmware_bridge.virtual.streams import GRAVITY_MPS2
from scripts.benches.weighing import UP
from scripts.benches.weighing_road import Ride, blocks
from tests.pipeline.weighing_ride import SECONDS, at_rest, changed, weighed


def run(
    ride: Ride, *, step: int, certificates: tuple[Certificate, ...] = ()
) -> dict[str, list[float | None]]:
    """Return the columns of the load, block by block of so many samples."""
    p = Pipeline(
        [msgspec.structs.replace(TABLE[n], rate_hz=r) for n, r in (("accel", 1000.0), ("load", 80.0))],
        head=Head(box="b", boot="0" * 16, software="t"),
        fleet="f",
        mount_up=UP,
        certificates=certificates,
    )
    pieces = [b.cut(i, min(i + step, len(b))) for b in blocks(ride) for i in range(0, len(b), step)]
    records = p.push(*sorted(pieces, key=lambda b: b.start_ns)) + p.finish()
    columns: dict[str, list[float | None]] = {}
    for record in records:
        for name, column in json.loads(record.payload).get("columns", {}).items():
            if name.startswith("load_"):
                columns.setdefault(name, []).extend(column)
    return columns


def test_the_records_tell_it_however_the_samples_were_cut() -> None:
    ride = Ride(seed=17, seconds=21)
    whole = run(ride, step=100_000)
    masses = [m for m in whole["load_mass_kg"] if m is not None]
    assert len(masses) >= 19 and whole["load_mass_kg"][-1] is None, f"{whole['load_mass_kg']}"
    worst = max(abs(m - 60) for m in masses)
    assert worst < 0.1, f"{worst} kg off; plain {whole['load_total_kg']}"
    assert run(ride, step=7) == run(ride, step=333) == whole


def test_the_certificates_say_how_well_it_is_known() -> None:
    def made(stream: str, axes: int, standard: float) -> Certificate:
        gain = tuple(tuple(float(i == j) for j in range(axes)) for i in range(axes))
        return Certificate(
            stream=stream, gain=gain, bias=(0.0,) * axes, method="test", made_at="2026-01-01T00:00:00Z",
            standard_uncertainty=standard,
        )  # fmt: skip

    ride = Ride(seed=18, seconds=11)
    certificates = (made("accel", 3, 0.0980665), made("load", 4, 0.4))
    said = run(ride, step=500, certificates=certificates)["load_mass_u95_kg"]
    expected = 2 * np.hypot(0.01 * 60, 0.4)  # 1 % of 60 kg, and the cells'
    assert [u for u in said if u is not None] == pytest.approx([expected] * 11, rel=0.03), said


@pytest.mark.parametrize("gravity_mps2", [9.7803, 9.8322])
def test_gravity_of_the_place_drops_out_where_both_were_calibrated(gravity_mps2: float) -> None:
    """Cells show the mass there, as they were taught; the accelerometer shows that gravity."""
    load, accel = at_rest(Ride(seed=22, seconds=6), (0.0, 0.0, gravity_mps2))
    load = changed(load, load.values - 60 / 4 * (gravity_mps2 / GRAVITY_MPS2 - 1))
    identity = tuple(tuple(float(i == j) for j in range(3)) for i in range(3))
    told = Certificate(
        stream="accel", gain=identity, bias=(0.0,) * 3, method="test", made_at="2026-01-01T00:00:00Z",
        standard_uncertainty=1e-3, gravity_mps2=gravity_mps2,
    )  # fmt: skip
    for certificates, off in (((told,), 0.0), ((), 60 * (GRAVITY_MPS2 / gravity_mps2 - 1))):
        p = Pipeline(
            [msgspec.structs.replace(TABLE[b.stream], rate_hz=1e9 / b.period_ns) for b in (load, accel)],
            head=Head(box="b", boot="0" * 16, software="t"),
            fleet="f",
            mount_up=UP,
            certificates=certificates,
        )
        records = p.push(load, accel) + p.finish()
        (found,) = [json.loads(r.payload)["columns"]["load_mass_kg"] for r in records if r.kind == "features"]
        masses = [m for m in found if m is not None]
        assert masses and np.mean(masses) == pytest.approx(60 + off, abs=0.02), f"{masses}"


@pytest.mark.parametrize("mass_kg", [0.0, 60.0])
@pytest.mark.parametrize("tilt_deg", [0.0, 6.0, 14.0])
def test_the_bare_plate_weighs_less_on_a_slope_and_the_load_does_not(tilt_deg: float, mass_kg: float) -> None:
    """Zero was taken upright, with a plate of 20 kg; the specific force falls by cos θ for it, too."""
    cos, sin = np.cos(np.radians(tilt_deg)), np.sin(np.radians(tilt_deg))
    load, accel = at_rest(Ride(seed=23, seconds=6), (0.0, GRAVITY_MPS2 * sin, GRAVITY_MPS2 * cos))
    load = changed(load, load.values + ((mass_kg + 20.0) * cos - 60.0 * cos - 20.0) / 4)
    identity = {n: tuple(tuple(float(i == j) for j in range(n)) for i in range(n)) for n in (3, 4)}
    cells = Certificate(
        stream="load", gain=identity[4], bias=(0.0,) * 4, method="test", made_at="2026-01-01T00:00:00Z",
        standard_uncertainty=1e-3, dead_load=20.0,
    )  # fmt: skip
    motion = msgspec.structs.replace(
        cells, stream="accel", gain=identity[3], bias=(0.0,) * 3, dead_load=None, standard_uncertainty=0.01
    )
    untold = msgspec.structs.replace(cells, dead_load=None)
    missing_kg = 20.0 * (1 - cos) / cos  # what the fit makes of it
    for certificates, off_kg, felt_kg in (
        ((cells, motion), 0.0, mass_kg + 20.0),
        ((untold, motion), -missing_kg, mass_kg),
        ((cells,), -missing_kg, 0.0),
    ):
        p = Pipeline(
            [msgspec.structs.replace(TABLE[b.stream], rate_hz=1e9 / b.period_ns) for b in (load, accel)],
            head=Head(box="b", boot="0" * 16, software="t"),
            fleet="f",
            mount_up=UP,
            certificates=certificates,
        )
        records = p.push(load, accel) + p.finish()
        (found,) = [json.loads(r.payload)["columns"] for r in records if r.kind == "features"]
        masses, said = ([v for v in found[f"load_mass_{k}kg"] if v is not None] for k in ("", "u95_"))
        assert np.mean(masses) == pytest.approx(mass_kg + off_kg, abs=0.01), f"{masses}"
        # what is wrong with the accelerometer is wrong with the plate, too
        least = 2 * 0.01 / GRAVITY_MPS2 * felt_kg
        assert min(said) > 0.95 * least, f"± {min(said):.4f} kg, at least {least:.4f}"


def test_an_accelerometer_that_sees_another_gravity_is_not_believed() -> None:
    """Without a certificate, 4 % off along up: the mass is wrong by as much, and the uncertainty says so."""
    load, accel = blocks(Ride(seed=21, seconds=SECONDS))
    for part, least, most in ((1.04, 2.0, 8.0), (1.0, 0.0, 0.1)):
        found = list(weighed(load, changed(accel, accel.values * part)).values())[6:]
        said = [100 * w.expanded_uncertainty_kg / w.mass_kg for w in found]
        assert all(least < u < most for u in said), (
            f"gravity × {part}: ± {min(said):.3f} to {max(said):.3f} %"
        )
        assert all(abs(w.mass_kg - 60) < 2 * w.expanded_uncertainty_kg for w in found), f"gravity × {part}"
