"""Calibrating an accelerometer, on recordings that others made: beside their own result, and PyPI's imucal.

``scripts/bench accel`` measures on the folder of recordings; where it is not there, only in simulation. The
peer gets an environment of its own for the time of the run. Any other recording::

    python -m scripts.benches.accel_calibration FILE.csv --rate-hz 100 --columns ax,ay,az --scale 0.000598550

finds the rests by itself, fits the ten that tell most, and tries the fit on all others.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from calibration.accel_model import apply, gain_of, rms
from calibration.accel_session import AccelSession, fit_poses, fit_recording
from calibration.accelerometer import CROSS_AXIS_RAD, AccelFit, fit_accelerometer
from calibration.errors import CalibrationRefused
from calibration.ferraris import FACES, TURNS, FerrarisFit, face_of, fit_ferraris
from calibration.gravity import ANYWHERE_STANDARD_MPS2, STANDARD_GRAVITY_MPS2
from calibration.poses import Pose, distinct, find_poses, missing_poses
from scripts.benches.figures import Figure
from scripts.benches.peer import Peer, say

F64 = npt.NDArray[np.float64]

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
MG_MPS2 = STANDARD_GRAVITY_MPS2 / 1000
MPU6050_MPS2 = STANDARD_GRAVITY_MPS2 / 16384  # per count, ±2 g [README.md of the recordings]
AIM_MG = 0.2
PEER = "imucal"
PEER_PROGRAM = """
import json, sys
import numpy as np, pandas as pd
from imucal import FerrarisCalibration, ferraris_regions_from_section_list
data = np.load(sys.argv[1])
given = json.loads(sys.argv[2])
names = ["acc_x", "acc_y", "acc_z", "gyr_x", "gyr_y", "gyr_z"]
table = pd.DataFrame(data["values"], columns=names)
sections = pd.DataFrame({k: dict(start=a, end=b) for k, (a, b) in given["sections"].items()}).T
regions = ferraris_regions_from_section_list(table, sections)
cal = FerrarisCalibration(grav=given["gravity"]).compute(
    regions, given["rate_hz"], from_acc_unit="m/s^2", from_gyr_unit="deg/s")
inverse = np.linalg.inv(cal.R_a) @ np.linalg.inv(cal.K_a)
gyro = np.linalg.inv(cal.R_g) @ np.linalg.inv(cal.K_g)
print(json.dumps({"gain": inverse.tolist(), "bias": cal.b_a.tolist(), "gyro": gyro.tolist(),
                  "gyro_bias": cal.b_g.tolist()}))
"""


def bench(args: argparse.Namespace) -> list[Figure]:
    """Return the figures."""
    del args
    figures = []
    if DATA.is_dir():
        with tempfile.TemporaryDirectory() as folder:
            peer = _Peer(Path(folder), PEER)
            figures += _multi_position(peer)
            figures += _ferraris(peer)
    else:
        say(f"skipped: no recordings in {DATA}")
    return figures + _simulated()


def read_csv(path: Path, columns: Sequence[str]) -> F64:
    """Return the named columns of a CSV file (n, columns); lines above the header are passed over."""
    with path.open(newline="") as text:
        rows = csv.reader(text)
        for row in rows:
            names = [name.strip() for name in row]
            if all(column in names for column in columns):
                where = [names.index(column) for column in columns]
                return np.array([[float(line[i]) for i in where] for line in rows if len(line) > max(where)])
    raise SystemExit(f"{path}: no line with the columns {', '.join(columns)}")


def _multi_position(peer: _Peer) -> list[Figure]:
    folder = DATA / "imu-multiposition"
    values = read_csv(folder / "example_data_calibration.csv", ("ax", "ay", "az", "gx", "gy", "gz"))
    accel = values[:, :3] * MPU6050_MPS2
    poses = distinct(find_poses(accel, 100.0))
    means = np.array([pose.mean for pose in poses])
    say(f"imu-multiposition: {len(poses)} poses found, {_lengths(poses, 100.0)} s")
    alone = fit_accelerometer(means, standard_errors_mps2=np.array([pose.standard_error for pose in poses]))
    certified = fit_poses(poses)
    authors = np.loadtxt(folder / "params_acc.csv")
    theirs = np.concatenate(
        (authors[:3] * [-1, 1, -1], authors[3:6] / MPU6050_MPS2, -authors[6:9] * MPU6050_MPS2)
    )
    _table({"nine free": alone.parameters, "certified": certified.parameters, "authors": theirs}, alone)
    for name in certified.undetermined:
        say(f"no pose shows the angle between {name}: the certificate holds it to the data sheet's")
    figures = [
        Figure("accel, multi-position: poses used", float(len(poses)), "", at_most=10),
        Figure("  held out, nine free parameters", _mg(alone.held_out_rms_mps2), "mg RMS", at_most=AIM_MG),
        Figure("  held out, as certified", _mg(certified.held_out_rms_mps2), "mg RMS", "an angle held"),
        Figure(
            "  uncertainty stated, nine free", _mg(alone.fit_standard_mps2), "mg", "worst direction, k = 1"
        ),
        Figure("  uncertainty stated, as certified", _mg(certified.fit_standard_mps2), "mg", "same"),
        Figure("  authors' own, on poses they fitted", _mg(_left(apply(theirs, means))), "mg RMS"),
        Figure("  ours, on poses we fitted", _mg(alone.residual_rms_mps2), "mg RMS"),
    ]
    faces = {face_of(pose.mean): pose for pose in reversed(poses)}
    sections = {name: (faces[name].begin, faces[name].end) for name in FACES if name in faces}
    if len(sections) == len(FACES):
        six = fit_ferraris(accel, None, 100.0, sections)
        turns = {name: (4435 + 300 * i, 4735 + 300 * i) for i, name in enumerate(TURNS)}  # not used
        found = peer.fit(values * ([MPU6050_MPS2] * 3 + [1 / 131] * 3), sections | turns, 100.0)
        figures += _beside("multi-position, six faces", six, found, accel)
    return figures


def _ferraris(peer: _Peer) -> list[Figure]:
    folder = DATA / "imu-ferraris"
    columns = ("acc_x", "acc_y", "acc_z", "gyr_x", "gyr_y", "gyr_z")
    values = read_csv(folder / "example_ferraris_session.csv", columns)
    accel = values[:, :3]
    fit = fit_ferraris(accel, np.radians(values[:, 3:]), 102.4)
    authors = json.loads((folder / "example_ferraris_session_list.json").read_text())
    theirs = {name: (part["start"], part["end"]) for name, part in authors.items()}
    say(
        "imu-ferraris: "
        + ", ".join(f"{n} {b}–{e} ({theirs[n][0]}–{theirs[n][1]})" for n, (b, e) in fit.sections.items())
    )
    say("             sections found (the authors' in brackets)")
    published = json.loads((folder / "example_cal.json").read_text())
    gain = np.linalg.inv(np.array(published["K_a"]) @ np.array(published["R_a"]))
    say(f"published example, of another session: m/s² per count {gain.round(6).tolist()}")
    say(f"             and bias {np.round(published['b_a'], 2).tolist()} counts")
    found = peer.fit(values, theirs, 102.4)
    figures = _beside("ferraris", fit, found, accel)
    if fit.gyro is not None and found is not None:
        apart = np.abs(fit.gyro.gain - np.array(found["gyro"])).max()
        figures.append(
            Figure("  gyro gain, farthest from the peer's", float(apart), "", "turned by hand", at_most=0.02)
        )
    return figures


def _beside(name: str, fit: FerrarisFit, found: dict[str, Any] | None, accel: F64) -> list[Figure]:
    rests = [pose for pose in fit.rests if not _overlaps(pose, [fit.sections[face] for face in FACES])]
    ours = _mg(fit.unseen_rms_mps2)
    say(f"{name}: gain {fit.accel.gain.round(5).tolist()}, bias {fit.accel.bias.round(4).tolist()}")
    figures = [Figure(f"accel, {name}: {len(rests)} rests not seen", ours, "mg RMS")]
    if found is None:
        return figures
    gain, bias = np.array(found["gain"]), np.array(found["bias"])
    say(f"{PEER}: gain {gain.round(5).tolist()}, bias {bias.round(4).tolist()}")
    theirs = _mg(_left((np.array([pose.mean for pose in rests]) - bias) @ gain.T))
    return [
        *figures,
        Figure("  the peer on the same rests", theirs, "mg RMS", PEER),
        Figure("  of the peer's", ours / theirs, "x", PEER, at_most=1.0),
    ]


def _simulated() -> list[Figure]:
    """Return coverage against a hidden truth, and what ten guided poses of 2 s are worth."""
    rng = np.random.default_rng(5)
    inside, unseen, refused = [], [], 0
    ups = np.array([pose.up for pose in missing_poses(())])
    for _ in range(400):
        truth = hidden(rng)
        noise = 10 ** rng.uniform(-2, 0) * MG_MPS2
        gravity = STANDARD_GRAVITY_MPS2 + rng.normal() * ANYWHERE_STANDARD_MPS2
        turned = ups + rng.normal(size=ups.shape) * 0.1
        turned /= np.linalg.norm(turned, axis=1)[:, None]
        means = measured(truth, turned * gravity) + rng.normal(size=ups.shape) * noise
        fit = fit_accelerometer(means, standard_errors_mps2=np.full_like(means, noise))
        inside.append(np.abs(fit.parameters - truth) <= 1.96 * np.sqrt(np.diag(fit.covariance)))
    for k in range(10):
        truth = hidden(rng)
        session = AccelSession(102.4)
        for i, up in enumerate(ups):
            still = np.tile(measured(truth, up[None] * STANDARD_GRAVITY_MPS2), (210, 1))
            # the noise of imu-ferraris at rest: 1.4 mg, 1.2 mg, 1.8 mg
            session.feed(still + rng.normal(size=still.shape) * np.array([1.4, 1.2, 1.8]) * MG_MPS2, 10.0 * i)
        fit = session.fit()
        others = rng.normal(size=(100, 3))
        others *= STANDARD_GRAVITY_MPS2 / np.linalg.norm(others, axis=1)[:, None]
        unseen.append(_left(fit.correct(measured(truth, others))))
        refused += _refuses(rng, k)
    return [
        Figure("accel, simulated: truth within ±1.96 σ stated", float(np.mean(inside)), "", at_least=0.935),
        Figure("  worst of the nine parameters", float(np.mean(inside, axis=0).min()), "", at_least=0.92),
        Figure("  unseen, ten guided poses of 2 s", _mg(rms(np.array(unseen))), "mg RMS", at_most=AIM_MG),
        Figure("  degenerate sets of poses refused", refused / 10, "", at_least=1.0),
    ]


def hidden(rng: np.random.Generator) -> F64:
    """Return plausible parameters: ±2° between axes, scale ±3 %, bias ±80 mg."""
    return np.concatenate(
        (rng.uniform(-0.035, 0.035, 3), rng.uniform(0.97, 1.03, 3), rng.uniform(-80, 80, 3) * MG_MPS2)
    )


def measured(truth: F64, true_mps2: F64) -> F64:
    """Return what a sensor with these parameters reads of (n, 3)."""
    reading: F64 = np.linalg.solve(gain_of(truth), true_mps2.T).T + truth[6:9]
    return reading


def _refuses(rng: np.random.Generator, kind: int) -> bool:
    """Return whether poses about one axis, leaned by any angle, are refused."""
    turn = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    lean = kind / 10
    ring = np.column_stack((np.cos(turn), np.sin(turn), np.full(12, lean)))
    frame = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    ups = (ring / np.linalg.norm(ring, axis=1)[:, None]) @ frame
    means = measured(hidden(rng), ups * STANDARD_GRAVITY_MPS2) + rng.normal(size=ups.shape) * 0.1 * MG_MPS2
    try:
        fit_accelerometer(means, standard_errors_mps2=np.full_like(means, 0.1 * MG_MPS2))
    except CalibrationRefused:
        return True
    return False


class _Peer(Peer):
    """imucal."""

    def fit(
        self, values: F64, sections: Mapping[str, tuple[int, int]], rate_hz: float
    ) -> dict[str, Any] | None:
        """Return its gain, bias and gyro gain for m/s² and deg/s (n, 6)."""
        data = self.folder / "values.npz"
        np.savez(data, values=values)
        given = json.dumps({"sections": sections, "rate_hz": rate_hz, "gravity": STANDARD_GRAVITY_MPS2})
        return self.run(PEER_PROGRAM, str(data), given)


def _overlaps(pose: Pose, sections: Sequence[tuple[int, int]]) -> bool:
    return any(pose.begin < end and begin < pose.end for begin, end in sections)


def _left(corrected: F64) -> float:
    return rms(np.sqrt((corrected**2).sum(axis=1)) - STANDARD_GRAVITY_MPS2)


def _mg(value_mps2: float | None) -> float:
    return float("nan") if value_mps2 is None else value_mps2 / MG_MPS2


def _lengths(poses: Sequence[Pose], rate_hz: float) -> str:
    return ", ".join(f"{(pose.end - pose.begin) / rate_hz:.1f}" for pose in poses)


def _table(columns: Mapping[str, F64], fit: AccelFit) -> None:
    names = ("T_xy", "T_xz", "T_yz", "scale x", "scale y", "scale z", "bias x", "bias y", "bias z")
    standard = np.sqrt(np.diag(fit.covariance))
    say(f"{'':10}{'± (k = 1)':>12}" + "".join(f"{name:>12}" for name in columns))
    for i, name in enumerate(names):
        say(f"{name:10}{standard[i]:12.5f}" + "".join(f"{values[i]:12.5f}" for values in columns.values()))


def main() -> int:
    """Calibrate from any recording, and say how good it is."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--rate-hz", type=float, required=True)
    parser.add_argument("--columns", default="ax,ay,az", help="three names, as in the header")
    parser.add_argument("--scale", type=float, default=1.0, help="m/s² of one unit of the file")
    args = parser.parse_args()
    values = read_csv(args.file, args.columns.split(",")) * args.scale
    try:
        result = fit_recording(values, args.rate_hz)
    except CalibrationRefused as error:
        print(f"refused: {error}", file=sys.stderr)
        return 1
    fit = result.fit
    say(
        f"{len(result.used)} poses used, {_lengths(result.used, args.rate_hz)} s; {len(result.others)} others"
    )
    _table({"fit": fit.parameters}, fit)
    for name in fit.undetermined:
        say(f"no pose shows the angle between {name}: held within ±{CROSS_AXIS_RAD:g} rad")
    print(f"held out, each left out in turn   {_mg(fit.held_out_rms_mps2):8.3f} mg RMS")
    if fit.alone is not None:
        print(f"  with that angle left free       {_mg(fit.alone.held_out_rms_mps2):8.3f} mg RMS")
    if result.others:
        print(f"rests that the fit did not see    {_mg(result.unseen_rms_mps2):8.3f} mg RMS")
    print(f"uncertainty stated, worst, k = 1  {_mg(fit.standard_uncertainty_mps2):8.3f} mg with gravity")
    return 0


if __name__ == "__main__":
    sys.exit(main())
