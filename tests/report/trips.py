"""A small trip to report on: two falls, a warm spell and a hole, made up to the sample."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agent.config import Config
from agent.detection import DetectorSettings
from agent.detection.temperature import TemperatureSettings
from agent.replay.runner import ReplayOptions, replay_log

BEGIN = datetime(2026, 5, 12, 14, 1, 30, tzinfo=UTC)
RATE_HZ = 100
SECONDS = 60
FALLS_S = (20.0, 40.0)
FALL_S = 0.42
WARM_S = (45.0, 55.0)
HOLE_S = (30.0, 32.0)
CONFIG = Config(detect=DetectorSettings(temperature=TemperatureSettings(low_degc=2.0, high_degc=8.0)))
HOSTILE = "</script><script>document.title='taken'</script><img src=x onerror=alert(1)>\u202egnp"


def accel_mps2(at_s: float) -> tuple[float, float, float]:
    """Return the specific force: at rest, in free fall, and in the impact at its end."""
    for fall_s in FALLS_S:
        if fall_s <= at_s < fall_s + FALL_S:
            return 0.01, -0.02, 0.03
        if fall_s + FALL_S <= at_s < fall_s + FALL_S + 0.03:
            return 3.25, -1.5, 75.125
    return 0.0, 0.1 * math.sin(at_s), 9.8


def write_log(folder: Path) -> tuple[Path, Path]:
    """Write the log and its map."""
    log, log_map = folder / "trip.csv", folder / "trip.toml"
    rows = ["time,x,y,z,t"]
    for i in range(SECONDS * RATE_HZ):
        at_s = i / RATE_HZ
        if HOLE_S[0] <= at_s < HOLE_S[1]:
            continue
        x, y, z = accel_mps2(at_s)
        degc = "" if i % RATE_HZ else f"{11.0 if WARM_S[0] <= at_s < WARM_S[1] else 5.0}"
        when = (BEGIN + timedelta(seconds=at_s)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        rows.append(f"{when},{x:.4f},{y:.4f},{z:.4f},{degc}")
    log.write_text("\n".join(rows) + "\n")
    log_map.write_text(
        '[time]\ncolumn = "time"\nformat = "iso8601"\n\n'
        '[streams.accel]\ncolumns = ["x", "y", "z"]\nunit = "mps2"\nup = "z"\n\n'
        '[streams.temperature]\ncolumns = ["t"]\nunit = "degC"\n'
    )
    return log, log_map


def replayed(folder: Path) -> tuple[Path, Path, Path]:
    """Replay the log; return the folder of its records, the log and its map."""
    log, log_map = write_log(folder)
    out = folder / "out"
    replay_log(log, out, CONFIG, ReplayOptions(map_path=log_map))
    return out, log, log_map


def made_hostile(out: Path) -> None:
    """Give everything that has a name in a replay's folder one that wants to be markup."""
    lines = [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]
    for line in lines:
        payload = line["payload"]
        payload["box"] = HOSTILE
        if "stream" in payload:
            payload["stream"] = payload["reason"] = HOSTILE
        if payload.get("phase") == "end":
            payload["values"] |= {HOSTILE: HOSTILE, "sensor": HOSTILE}
            payload["context"] = HOSTILE
        if line["topic"].endswith(("event", "alarm")) and payload["type"] == "temperature":
            payload["type"] = HOSTILE
    (out / "records.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    summary = json.loads((out / "summary.json").read_text())
    summary |= {"box": HOSTILE, "notes": [HOSTILE]}
    summary["streams"][HOSTILE] = {"samples": 1, "missing": 0, "rate_hz": 1.0}
    (out / "summary.json").write_text(json.dumps(summary))
