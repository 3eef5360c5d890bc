"""A page shows the trip as it was replayed: its certificates, its limits, whatever else lies about since."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.cli import main
from agent.errors import LogFileError
from agent.replay.settings import SETTINGS_FILE
from agent.report import write_report
from agent.report.packing import unpacked_values
from calibration.certificate import Certificate, parse_certificate
from tests.report.trips import CONFIG, accel_mps2, replayed, write_log

GAIN = 1.25
RATE_HZ = 100
BANDS = (6.0, 12.0)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Write a certificate that nobody can overlook."""
    gain = tuple(tuple(GAIN * (i == j) for j in range(3)) for i in range(3))
    path = tmp_path / "accel.json"
    path.write_bytes(
        Certificate(
            stream="accel", gain=gain, bias=(0.0,) * 3, method="six positions", made_at="2026-01-01"
        ).to_json()
    )
    return path


def page_of(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


def data_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    document: dict[str, Any] = json.loads(found[1])
    return document


def ratio_to_the_log(page: str) -> float:
    """Return how much larger the samples of the first incident of the page are than those of the log."""
    document = data_of(page)
    drop = next(event for event in document["events"] if event["type"] == "drop")
    clip = next(clip for clip in drop["clips"] if clip["stream"] == "accel")
    values = np.column_stack([unpacked_values(packed) for packed in clip["values"]])
    first = round((drop["start"] + clip["start"]) * RATE_HZ)
    logged = np.array([accel_mps2((first + i) / RATE_HZ) for i in range(len(values))])
    return float(np.median(np.linalg.norm(values, axis=1) / np.linalg.norm(logged, axis=1)))


def test_a_page_is_corrected_as_its_replay_was(tmp_path: Path, certificate: Path) -> None:
    log, log_map = write_log(tmp_path)
    out = tmp_path / "out"
    words = ["replay", str(log), "--map", str(log_map), "--out", str(out), "--report"]
    assert main([*words, "--certificate", str(certificate)]) == 0
    named = parse_certificate(certificate.read_bytes()).hash
    assert f"certificate {named}" in page_of(out), "the page names no certificate, or another"
    assert ratio_to_the_log(page_of(out)) == pytest.approx(GAIN, abs=0.01)
    written = page_of(out)
    certificate.unlink()  # what was applied is kept with the results
    (out / "report.html").unlink()
    assert main(["report", str(out)]) == 0
    assert page_of(out) == written, "`report` shows another page than `replay --report` did"


def test_each_trip_of_a_sweep_is_judged_by_its_own_limits(tmp_path: Path) -> None:
    log, log_map = write_log(tmp_path)
    config = tmp_path / "box.toml"
    config.write_text("[detect.temperature]\nlow_degc = 2.0\nhigh_degc = 30.0\n")
    out = tmp_path / "out"
    sweep = "detect.temperature.high_degc=" + ",".join(map(str, BANDS))
    words = ["replay", str(log), "--map", str(log_map), "--out", str(out), "--config", str(config)]
    assert main([*words, "--sweep", sweep, "--report"]) == 0
    own = {6.0: "temperature was outside 2 to 6 °C for 10 s", 12.0: "temperature stayed within 2 to 12 °C"}

    def check() -> None:
        overview = page_of(out)
        rows = dict(
            re.findall(r'<a href="[^"]*">(high_degc=[\d.]+)</a>.*?data-label="Story"[^>]*>([^<]*)<', overview)
        )
        for high, said in own.items():
            assert said in rows[f"high_degc={high}"], rows
            assert said in page_of(out / f"high_degc={high}")

    check()
    assert main(["report", str(out), "--config", str(config)]) == 0
    check()


def test_another_configuration_than_the_replays_is_said_and_not_shown(tmp_path: Path) -> None:
    out, log, log_map = replayed(tmp_path)
    write_report(out, log=log, map_path=log_map, config=CONFIG)
    same = page_of(out)
    assert "as it was replayed" not in same
    config = tmp_path / "other.toml"
    config.write_text("[detect.temperature]\nhigh_degc = 30.0\n")
    assert main(["report", str(out), "--config", str(config)]) == 0
    assert "2 to 8 °C" in page_of(out) and "30 °C" not in page_of(out)
    assert "differs from that of the replay" in page_of(out)


def test_a_folder_of_an_older_version_is_shown_by_what_is_given(tmp_path: Path) -> None:
    out, _, _ = replayed(tmp_path)
    (out / SETTINGS_FILE).unlink()
    config = tmp_path / "box.toml"
    config.write_text("[detect.temperature]\nlow_degc = 2.0\nhigh_degc = 30.0\n")
    assert main(["report", str(out), "--config", str(config)]) == 0
    assert "2 to 30 °C" in page_of(out)
    assert "did not keep its settings" in page_of(out)


@pytest.mark.parametrize(
    "text", ["", "{}", '{"config": {"detect": 3}}', '{"config": {}, "certificates": [{}]}']
)
def test_damaged_settings_are_refused_in_words(tmp_path: Path, text: str) -> None:
    out, _, _ = replayed(tmp_path)
    (out / SETTINGS_FILE).write_text(text)
    with pytest.raises(LogFileError, match="Replay the log again"):
        write_report(out)


def test_no_secret_is_kept(tmp_path: Path) -> None:
    log, log_map = write_log(tmp_path)
    (tmp_path / "password").write_text("hunter2")
    config = tmp_path / "box.toml"
    config.write_text(
        f'[broker]\nhost = "broker.example"\nusername = "box"\npassword_file = "{tmp_path}/password"\n'
    )
    out = tmp_path / "out"
    assert main(["replay", str(log), "--map", str(log_map), "--out", str(out), "--config", str(config)]) == 0
    kept = (out / SETTINGS_FILE).read_text()
    for secret in ("broker.example", "password_file", "hunter2"):
        assert secret not in kept.replace('"password_file": ""', ""), f"{secret} is in {SETTINGS_FILE}"


@pytest.mark.parametrize("rows", [1, 50])
def test_a_log_too_short_for_a_record_has_its_date_and_its_length(tmp_path: Path, rows: int) -> None:
    log, log_map = write_log(tmp_path)
    log.write_text("\n".join(log.read_text().splitlines()[: rows + 1]) + "\n")
    words = ["replay", str(log), "--map", str(log_map), "--out", str(tmp_path / "out"), "--report"]
    assert main(words) == 0
    assert not (tmp_path / "out" / "records.jsonl").read_text(), "it is no longer too short"
    page = page_of(tmp_path / "out")
    assert "On 12 May 2026" in page and "1970" not in page
    assert "temperature 5.0 °C" in page and "harms" not in page
    document = data_of(page)
    assert document["t1"] - document["t0"] < 2.0


def test_a_trip_without_a_date_counts_from_its_begin(tmp_path: Path) -> None:
    out, _, _ = replayed(tmp_path)
    text = (out / "records.jsonl").read_text()
    (out / "records.jsonl").write_text(re.sub(r'"tq":"\w+"', '"tq":"unset"', text))
    assert main(["report", str(out)]) == 0
    page = page_of(out)
    assert "after 0:00:20" in page or "after 0:00:40" in page, page[page.index("<h1") :][:400]
    assert "Into the trip" in page and "UTC" not in page.partition("<script")[0]
    assert data_of(page)["t0"] < 1.0 and 59 < data_of(page)["t1"] < 62
