"""Golden replays: what recordings, and scenes made from a seed, came to when somebody last looked and agreed.

Of a recording that others made only figures are kept: its events, its summary and a digest of its features.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

import agent
from agent.commands.compare_words import report
from agent.compare import Comparison, Rules, Run, Tolerance, compare
from agent.compare.digest import digest
from agent.config import Config
from agent.pipeline import Pipeline
from agent.records import Head
from agent.replay.runner import RECORDS_FILE, ReplayOptions, line_of, replay_log
from scripts.examination.box_settings import config_of
from scripts.examination.judge import mark, pieces
from scripts.examination.paper import HARMFUL, Question, scene_for

HERE = Path(__file__).parent
TOP = HERE.parents[1]
DATA = TOP.parent / "shared" / "data"
FEATURES = "features"
# other machines add up in another order: the last digits of a mean may differ, a detector's words may not
DIGEST = Tolerance(1e-5, relative=True)
IGNORED = ("boot", "place", "streams")
LEFT_OUT = frozenset(
    {"wall_s", "realtime_factor", "fingerprint", "records_sha256", "log", "map", "boot", "streams", "folders"}
)
MOST_CHARACTERS = (
    160  # of a text; what is longer is raw data, and is not to be copied from others' recordings
)

# name → the log in ../shared/data, its map in docs/maps
RECORDINGS: Mapping[str, tuple[str, str]] = {
    "dropped_box": ("fragile-goods-box/dropped_box.csv", "fragile-goods-box"),
    "rough_handling": ("fragile-goods-box/rough_handling.csv", "fragile-goods-box"),
    "car_trip_0921": ("fragile-goods-box/car_trip_0921.csv", "fragile-goods-box"),
    "driver_17": ("driver-behavior/17/acelerometro_terra.csv", "driver-behavior"),
    "driver_20": ("driver-behavior/20/acelerometro_terra.csv", "driver-behavior"),
    "tram_35": ("transit-vibration/L35_1915_Most_Kutiky_neutral.csv", "transit-vibration"),
    "container-motion": ("container-motion/samples.csv", "container-motion"),
}


def _scene(number: int, kind: str, background: str) -> Question:
    return Question(7, HARMFUL, number, kind, background, recorded=False)


SCENES: Mapping[str, Question] = {
    "made_drop": _scene(1, "fell_off", "made idle"),
    "made_harsh_turn": _scene(6, "evading", "made truck I, sprung"),
    "made_tilt": _scene(0, "leaned_over", "made truck I, sprung"),
    "made_shock": _scene(16, "sawtooth", "made rest"),
    "made_bump": _scene(3, "hard_pothole", "made truck II, sprung"),
    "made_harsh_brake": _scene(4, "emergency_braking", "made truck III, bed"),
    "made_vibration": _scene(7, "beyond_the_packaging", "made rest"),
    "made_slosh": _scene(8, "surged_in_braking", "made truck III, sprung"),
    "made_load_shift": _scene(9, "slid_on_the_way", "made truck II, bed"),
    "made_pressure": _scene(10, "liquid_slammed", "made rest"),
    "made_leak": _scene(25, "puddle", "made rest"),
    "made_temperature": _scene(12, "cooling_failed", "made rest"),
    "made_humidity": _scene(13, "wet_load", "made rest"),
}
WHOLE = frozenset({"made_drop", "made_harsh_turn"})
"""Scenes of which every record is kept, features too."""
NAMES = (*SCENES, *RECORDINGS)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a log came to: lines of records, and the summary with the digest of what is not among them."""

    lines: tuple[bytes, ...]
    summary: Mapping[str, Any]

    @property
    def run(self) -> Run:
        """It as one side of a comparison."""
        return Run(self.lines, self.summary)


def absent(name: str) -> str:
    """Say why a golden replay cannot be done here; empty if it can."""
    if name in RECORDINGS and not (DATA / RECORDINGS[name][0]).is_file():
        return f"the recording ../shared/data/{RECORDINGS[name][0]} is not here"
    return ""


def replayed(name: str, config: Config | None = None) -> Outcome:
    """Replay a log as it is now; `config` in place of its own. Raises a FourPartError."""
    return _of_scene(name, config) if name in SCENES else _of_recording(name, config)


def settings_of(name: str) -> Config:
    """Return the configuration that a log is replayed with."""
    return config_of(scene_for(SCENES[name]).settings) if name in SCENES else Config()


def _of_recording(name: str, config: Config | None) -> Outcome:
    log, map_name = RECORDINGS[name]
    options = ReplayOptions(map_path=TOP / "docs" / "maps" / f"{map_name}.toml")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        summary = replay_log(DATA / log, out, config or Config(), options)
        return _outcome((out / RECORDS_FILE).read_bytes().splitlines(), summary, whole=False)


def _of_scene(name: str, config: Config | None) -> Outcome:
    scene = scene_for(SCENES[name])
    config = config or config_of(scene.settings)
    pipeline = Pipeline(
        config.apply_to(one.spec for one in scene.series),
        head=Head(config.box.id, "0" * 16, agent.__version__),
        fleet=config.box.fleet,
        detectors=config.detect,
        upload=config.upload,
        mount_up=config.mount_up(scene.mount_up),
    )
    records = pipeline.push(mark())
    for block in pieces(scene):
        records += pipeline.push(block)
    records += pipeline.finish()
    summary = {"software": agent.__version__, **pipeline.tally.as_dict(), "notes": list(pipeline.notes())}
    return _outcome([line_of(record) for record in records], summary, whole=name in WHOLE)


def _outcome(lines: list[bytes], summary: Mapping[str, Any], *, whole: bool) -> Outcome:
    kept: list[bytes] = []
    features: list[bytes] = []
    for line in lines:
        record = msgspec.json.decode(line)
        kind = record["topic"].rpartition("/")[2]
        body = {k: v for k, v in record["payload"].items() if k not in ("sw", "seq", "boot", "box", "v")}
        if kind == FEATURES:
            features.append(msgspec.json.encode(record["payload"]))
        if whole or kind != FEATURES:
            kept.append(msgspec.json.encode({"topic": kind, "payload": _shortened(body)}))
    told = {key: value for key, value in summary.items() if key not in LEFT_OUT}
    return Outcome(tuple(kept), told if whole else {**told, "digest": digest(features)})


def _shortened(body: Mapping[str, Any]) -> dict[str, Any]:
    """Put a fingerprint in the place of raw data."""
    return {
        key: f"sha256 {hashlib.sha256(value.encode()).hexdigest()}"
        if isinstance(value, str) and len(value) > MOST_CHARACTERS
        else value
        for key, value in body.items()
    }


def path_of(name: str) -> Path:
    """Return where a golden outcome lies."""
    return HERE / f"{name}.json"


def kept(name: str) -> Outcome:
    """Return the golden outcome. Raises FileNotFoundError."""
    document = json.loads(path_of(name).read_text(encoding="utf-8"))
    return Outcome(tuple(msgspec.json.encode(record) for record in document["records"]), document["summary"])


def keep(name: str, outcome: Outcome) -> None:
    """Make an outcome the golden one: a record a line, so that a change of it reads well."""
    records = ",\n".join(line.decode() for line in outcome.lines)
    summary = json.dumps(outcome.summary, indent=1, ensure_ascii=False)
    text = f'{{"summary": {summary},\n"records": [\n{records}\n]}}\n'
    path_of(name).write_text(text, encoding="utf-8")


def beside_golden(name: str, outcome: Outcome) -> Comparison:
    """Compare an outcome (B) with the golden one (A)."""
    rules = Rules({"digest": DIGEST}, IGNORED)
    return compare(kept(name).run, outcome.run, rules)


def in_words(name: str, result: Comparison) -> str:
    """Say what a comparison came to, A being the golden outcome."""
    return "\n".join(report(result, name))
