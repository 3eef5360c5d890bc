"""Which certificates are applied: never one of another sensor, in a replay any, and none in silence."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from agent.blocks import Block, RegularClock
from agent.certificates import Certificates, at_hand, warnings
from agent.config import CertificateSettings, Config, OutboxSettings, StreamOverride, load_config
from agent.correction import Correction
from agent.doctor import State
from agent.doctor.configuration import check
from agent.doctor.finding import Patient
from agent.errors import ConfigError
from agent.log_info import LogInfo
from agent.pipeline import Item, Pipeline
from agent.recorder.mcap_writer import McapRecorder
from agent.records import Head
from agent.replay.runner import ReplayOptions, replay_log
from agent.service import Service
from agent.streams import TABLE, StreamSpec
from agent.timebase import TimeMark, TimeQuality
from calibration.certificate import Certificate
from calibration.errors import CertificateError
from calibration.store import CertificateStore

HERE, OTHER = "ADXL345 at i2c-1 0x53", "ADXL345 at i2c-1 0x1D"
SPEC = msgspec.structs.replace(TABLE["accel"], sensor=HERE)
MARK = TimeMark(0, 1_780_000_000_000_000_000, TimeQuality.SYNCED)


def made(number: int = 1, **changes: Any) -> Certificate:
    base = Certificate(
        stream="accel",
        sensor=HERE,
        gain=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
        bias=(0.1 * number, 0.0, 0.0),
        method="m",
        made_at=f"2026-03-{number:02}T09:30:00Z",
    )
    return msgspec.structs.replace(base, **changes)


def kept(*certificates: Certificate, named: Sequence[Certificate] = ()) -> Certificates:
    return Certificates(tuple(named), certificates)


# -- one sensor and another ------------------------------------------------------------------------


def test_one_of_another_sensor_is_refused_in_words() -> None:
    with pytest.raises(ConfigError) as caught:
        Correction([SPEC], [made(sensor=OTHER)])
    error = caught.value
    assert OTHER in error.got and HERE in error.expected and made(sensor=OTHER).hash in error.doing
    assert f"[streams.accel] sensor = '{OTHER}'" in error.remedy


def test_who_knows_better_says_which_sensor_it_is() -> None:
    (spec,) = Config(streams={"accel": StreamOverride(sensor=OTHER)}).apply_to([SPEC])
    assert Correction([spec], [made(sensor=OTHER, standard_uncertainty=0.1)]).notes() == []


@pytest.mark.parametrize(
    ("known", "said", "words"), [("", HERE, "does not say which"), (HERE, "", "names none"), (HERE, HERE, "")]
)
def test_what_cannot_be_checked_is_said(known: str, said: str, words: str) -> None:
    spec = msgspec.structs.replace(SPEC, sensor=known)
    notes = Correction([spec], [made(sensor=said, standard_uncertainty=0.1)]).notes()
    assert (len(notes), words in "".join(notes)) == (1 if words else 0, True), notes


def test_figures_in_another_unit_are_refused() -> None:
    with pytest.raises(ConfigError, match="figures in g, expected mps2"):
        Correction([SPEC], [made(unit="g")])


# -- a folder --------------------------------------------------------------------------------------


def biases(certificates: Certificates, spec: StreamSpec = SPEC, *, any_sensor: bool = False) -> list[float]:
    return [round(c.bias[0], 3) for c in certificates.of([spec], any_sensor=any_sensor)]


def test_of_a_folder_each_sensor_has_its_own() -> None:
    both = kept(made(1), made(2, sensor=OTHER))
    assert biases(both) == [0.1]
    assert biases(both, msgspec.structs.replace(SPEC, sensor=OTHER)) == [0.2]
    third = msgspec.structs.replace(SPEC, sensor="another")
    assert biases(both, third) == []
    (note,) = both.passed_over([third], ())
    assert f"no certificate for another; the folder has those of {HERE}, {OTHER}" in note
    assert biases(both, third, any_sensor=True) == [0.2], "a replay takes the latest"
    assert biases(kept(made(1), made(2, sensor="")), third) == [0.2], "one that names none fits any"
    assert biases(both, msgspec.structs.replace(SPEC, sensor="")) == [0.2]
    assert biases(kept(made(1), named=[made(3)])) == [0.3], "what is named goes first"
    assert biases(both, TABLE["load"]) == []


def test_the_latest_of_each_sensor_is_read_from_the_folder(tmp_path: Path) -> None:
    store = CertificateStore(tmp_path / "kept")
    for number in (1, 2, 3):
        store.add(made(number))
    store.add(made(4, sensor=OTHER))
    damaged = store.add(made(5))
    damaged.write_bytes(damaged.read_bytes().replace(b"0.5", b"0.6"))
    (tmp_path / "box.toml").write_text('[certificates]\nfolder = "kept"\n')
    found = at_hand(load_config(tmp_path / "box.toml"))
    assert [round(c.bias[0], 3) for c in found.kept] == [0.3, 0.4]
    assert len(found.damaged) == 1 and "edited" in str(found.damaged[0])
    assert at_hand(Config()) == Certificates()


# -- before it expires -----------------------------------------------------------------------------


def test_warnings_need_a_clock_that_was_set() -> None:
    soon = made(valid_until="2026-06-10")
    (words,) = warnings([soon, made(valid_until="2027-06-10")], MARK)
    assert "accel expires in 13 days" in words
    assert warnings([soon], TimeMark(0, MARK.offset_ns, TimeQuality.UNSET)) == []


def in_days(days: float) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()


def configured(tmp_path: Path, *certificates: Certificate) -> Config:
    paths = [tmp_path / f"{number}.json" for number in range(len(certificates))]
    for path, certificate in zip(paths, certificates, strict=True):
        path.write_bytes(certificate.to_json())
    return Config(
        certificates=CertificateSettings(files=tuple(map(str, paths))),
        outbox=OutboxSettings(directory=str(tmp_path / "outbox")),
    )


@pytest.mark.parametrize(
    ("days", "words"), [(400, ""), (20.5, "expires in 20 days"), (-3, "expired: it was valid until")]
)
def test_the_doctor_says_when_it_expires(tmp_path: Path, days: float, words: str) -> None:
    config = configured(tmp_path, made(valid_until=in_days(days)))
    found = [f for f in check(Patient(config=config)) if f.subject == "certificates"]
    told = [f for f in found if f.state is State.WARNING]
    assert len(told) == bool(words) and all(words in f.found for f in told), found
    assert found[-1].state is State.OK and found[-1].found == "for accel"


def test_the_doctor_says_what_was_edited(tmp_path: Path) -> None:
    path = CertificateStore(tmp_path).add(made())
    path.write_bytes(path.read_bytes().replace(b"0.1", b"0.2"))
    config = Config(certificates=CertificateSettings(folder=str(tmp_path)))
    wrong = [f for f in check(Patient(config=config)) if f.state is State.WRONG and path.name in f.subject]
    assert len(wrong) == 1 and "edited" in wrong[0].remedy, wrong


def test_a_file_that_is_named_and_was_edited_is_refused(tmp_path: Path) -> None:
    path = CertificateStore(tmp_path).add(made())
    config = Config(certificates=CertificateSettings(files=(str(path),)))
    assert at_hand(config).named == (made(),)
    path.write_bytes(path.read_bytes().replace(b"0.1", b"0.2"))
    with pytest.raises(CertificateError, match="edited"):
        at_hand(config)


def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    (tmp_path / "round").symlink_to(tmp_path / "round")
    for name in ("missing", "file", "dangling", "round", "nul\0"):
        (told,) = at_hand(Config(certificates=CertificateSettings(folder=str(tmp_path / name)))).damaged
        assert "[certificates]" in told.remedy, told


# -- live and in a replay --------------------------------------------------------------------------


class Source:
    """An accelerometer whose place is known: at rest for some seconds."""

    mount_up: tuple[float, float, float] | None = None

    def __init__(self, seconds: int = 3, level_mps2: float = 9.80665) -> None:
        rng = np.random.default_rng(1)
        self.values = rng.normal(0, 0.02, (seconds * 100, 3)).astype(np.float32)
        self.values[:, 2] += level_mps2

    def open(self) -> tuple[StreamSpec, ...]:
        return (SPEC,)

    def items(self, stop: threading.Event) -> Iterator[Item]:
        yield MARK
        yield Block("accel", 0, RegularClock.of_rate(100), self.values)

    def close(self) -> None:
        pass


def test_the_agent_does_not_start_with_one_of_another_sensor(tmp_path: Path) -> None:
    service = Service(configured(tmp_path, made(sensor=OTHER)), Source())
    try:
        with pytest.raises(ConfigError, match="a certificate of the sensor"):
            service.start()
    finally:
        service.stop(drain_s=0.0)


def test_the_agent_says_what_expires_and_what_is_not_trusted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    given = made(valid_until=in_days(5.5), bias=(0.0, 0.0, 0.0), standard_uncertainty=0.01)
    service = Service(configured(tmp_path, given), Source(200, level_mps2=10.8))
    service.start()
    assert service.ended.wait(60)
    service.stop(drain_s=0.0)
    said = [record.getMessage() for record in caplog.records]
    assert any("accel expires in 5 days" in words for words in said), said
    assert any("accel is not trusted: at rest it reads 10.8" in words for words in said), said


def test_a_replay_applies_any_and_says_so(tmp_path: Path) -> None:
    log, source = tmp_path / "log.mcap", Source(60)
    with McapRecorder(
        log, LogInfo(box="b", boot="0" * 16, software="0.1.0", streams=source.open())
    ) as recorder:
        for item in source.items(threading.Event()):
            recorder.write(item)
    config = configured(tmp_path, made(2, sensor=OTHER))
    summary = replay_log(log, tmp_path / "out", config, ReplayOptions())
    assert any(f"of another sensor: {OTHER}, and here is {HERE}" in note for note in summary["notes"]), (
        summary
    )
    lines = (tmp_path / "out" / "records.jsonl").read_text().splitlines()
    bodies = [json.loads(line)["payload"] for line in lines]
    assert {(b["cal"], b["trust"]) for b in bodies} == {(made(2, sensor=OTHER).hash, "trusted")}
    assert bodies[0]["columns"]["accel_mean_mps2"]["x"][0] == pytest.approx(-0.2, abs=0.01)
    (tmp_path / "kept").mkdir()
    path = CertificateStore(tmp_path / "kept").add(made())
    path.write_bytes(path.read_bytes().replace(b"0.1", b"0.2"))
    config = Config(certificates=CertificateSettings(folder=str(tmp_path / "kept")))
    summary = replay_log(log, tmp_path / "again", config, ReplayOptions())
    assert any("edited" in note for note in summary["notes"]), summary


def test_live_and_replay_agree(tmp_path: Path) -> None:
    """The name of the sensor is in the recording: with the right certificate nothing is noted."""
    log, source = tmp_path / "log.mcap", Source(60)
    given = made(2, standard_uncertainty=0.1)
    with McapRecorder(
        log, LogInfo(box="b", boot="0" * 16, software="0.1.0", streams=source.open())
    ) as recorder:
        for item in source.items(threading.Event()):
            recorder.write(item)
    live = Pipeline([SPEC], head=Head("b", "0" * 16, "0.1.0"), fleet="default", certificates=[given])
    records = live.push(*source.items(threading.Event())) + live.finish()
    summary = replay_log(log, tmp_path / "out", configured(tmp_path, given), ReplayOptions())
    assert not [note for note in summary["notes"] if "sensor" in note], summary["notes"]
    lines = (tmp_path / "out" / "records.jsonl").read_bytes().splitlines()
    assert [json.loads(line)["payload"] for line in lines] == [json.loads(r.payload) for r in records]
