"""One log through the pipeline: its records and its summary in a folder.

``records.jsonl`` holds what the agent would have published, in order; ``summary.json`` what it came
to; ``settings.json`` what it was made with. All are written beside their final names and renamed when
whole, so that a half-done replay is never taken for a finished one.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

import agent
from agent.blocks import NS_PER_S, Block
from agent.certificates import Certificates, at_hand
from agent.config import Config
from agent.pipeline import Item, Pipeline
from agent.records import Head, Record, as_json
from agent.replay.settings import SETTINGS_FILE, document_of
from agent.sources.log_file import LogSource, open_log
from agent.sources.log_source import DEFAULT_WINDOW_S

RECORDS_FILE = "records.jsonl"
SUMMARY_FILE = "summary.json"
QOS = 1
# As fast as it goes: each turn of the pipeline costs the same, however much it is given, so short blocks are
# joined; how they are cut changes no byte.
JOINED_S = 60.0
JOINED_SAMPLES = 65_536
ITEMS_AT_ONCE = 8

Summary = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """How to replay. ``speed`` None: as fast as it goes; 1.0: as it happened."""

    map_path: Path | None = None
    block_samples: int | None = None
    speed: float | None = None


class Interrupted(Exception):
    """Somebody asked to stop half-way."""


def replay_log(
    log: Path,
    out: Path,
    config: Config,
    options: ReplayOptions,
    *,
    stop: threading.Event | None = None,
    on_progress: Callable[[float], None] = lambda _: None,
    on_records: Callable[[Sequence[Record]], None] = lambda _: None,
    certificates: Certificates | None = None,
    fingerprint: str = "",
    attempt: str = "",
) -> Summary:
    """Replay one log into the folder `out` and return its summary.

    `certificates`: None for those that `config` names. `attempt` keeps apart those who may be at the same
    log without knowing of each other; the last one to be asked wins.
    Raises a FourPartError for a log, a map or a configuration that cannot be read, and Interrupted.
    """
    stop = stop or threading.Event()
    applied = at_hand(config) if certificates is None else certificates
    began_s = time.monotonic()
    fast = options.speed is None
    size = options.block_samples or (JOINED_SAMPLES if fast else None)
    window_s = JOINED_S if fast else DEFAULT_WINDOW_S
    source = open_log(log, map_path=options.map_path, block_samples=size, window_s=window_s)
    pipeline = pipeline_of(source, config, applied)
    out.mkdir(parents=True, exist_ok=True)
    for left in out.glob(f"{RECORDS_FILE}*.part"):
        left.unlink(
            missing_ok=True
        )  # of whoever was killed, or was given up and goes on writing into nothing
    part = out / f"{RECORDS_FILE}{attempt}.part"
    written = hashlib.sha256()
    try:
        with part.open("wb") as file:
            for records in _batches(source, pipeline, options.speed, stop, on_progress):
                lines = b"".join(line_of(record) for record in records)
                file.write(lines)
                written.update(lines)
                on_records(records)
        if stop.is_set():
            raise Interrupted
        (out / SUMMARY_FILE).unlink(missing_ok=True)  # never beside the records of another replay
        os.replace(part, out / RECORDS_FILE)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    summary = summarise(pipeline, source, time.monotonic() - began_s)
    summary["notes"] += [str(error) for error in applied.damaged]
    summary |= {"log": str(log.absolute()), "map": None, "fingerprint": fingerprint}
    summary["records_sha256"] = written.hexdigest()
    if options.map_path is not None:
        summary["map"] = str(options.map_path.absolute())
    used = applied.of(pipeline.streams, any_sensor=True)
    write_json(out / SETTINGS_FILE, document_of(config, used), attempt)
    write_summary(out, summary, attempt)
    return summary


def pipeline_of(source: LogSource, config: Config, certificates: Certificates | None = None) -> Pipeline:
    """Open `source` and build the pipeline for what it says of itself."""
    applied = at_hand(config) if certificates is None else certificates
    specs = config.apply_to(source.open())
    identity = source.identity
    return Pipeline(
        specs,
        head=Head(identity.box or config.box.id, identity.boot, agent.__version__),
        fleet=config.box.fleet,
        detectors=config.detect,
        upload=config.upload,
        certificates=applied.of(specs, any_sensor=True),
        any_sensor=True,
        mount_up=config.mount_up(identity.mount_up),
        snippets=config.snippets,
    )


def line_of(record: Record) -> bytes:
    """Return the line of ``records.jsonl`` for a record; its payload is in JSON, however it is published."""
    topic = msgspec.json.encode(record.topic)
    return b'{"topic":%s,"qos":%d,"payload":%s}\n' % (topic, QOS, as_json(record.payload))


def _batches(
    source: LogSource,
    pipeline: Pipeline,
    speed: float | None,
    stop: threading.Event,
    on_progress: Callable[[float], None],
) -> Iterator[list[Record]]:
    pace = _Pace(speed, stop) if speed else None
    items = source.items(stop)
    while batch := list(itertools.islice(items, 1 if pace is not None else ITEMS_AT_ONCE)):
        if pace is not None:
            pace.wait_for(batch[0])
        records = pipeline.push(*batch)
        if records:
            yield records
        on_progress(source.progress)
    if not stop.is_set():
        yield pipeline.finish()


class _Pace:
    """Holds items back until their time has come, `speed` times as fast as it was."""

    def __init__(self, speed: float, stop: threading.Event) -> None:
        self._speed = speed
        self._stop = stop
        self._began_s = time.monotonic()
        self._first_ns: int | None = None

    def wait_for(self, item: Item) -> None:
        if not isinstance(item, Block):
            return
        if self._first_ns is None:
            self._first_ns = item.start_ns
        due_s = self._began_s + (item.last_ns - self._first_ns) / NS_PER_S / self._speed
        self._stop.wait(max(0.0, due_s - time.monotonic()))


def summarise(pipeline: Pipeline, source: LogSource, wall_s: float) -> Summary:
    """Return what ``summary.json`` says."""
    tally, counters = pipeline.tally, source.counters
    notes = [*source.notes, *pipeline.notes()]
    if pipeline.withheld_rows:
        notes.append(
            f"{pipeline.withheld_rows} feature rows did not fit the upload budget and stayed at home"
        )
    return {
        "box": source.identity.box,
        "boot": source.identity.boot,
        "software": agent.__version__,
        **tally.as_dict(),
        "wall_s": round(wall_s, 3),
        "realtime_factor": round(tally.duration_s / wall_s, 1) if wall_s else 0.0,
        "streams": {
            spec.name: {
                "samples": tally.samples[spec.name],
                "missing": tally.missing[spec.name],
                "rate_hz": spec.rate_hz,
                "unit": spec.unit.value,
                "axes": list(spec.axes),
            }
            for spec in pipeline.streams
        },
        "input": {
            "rows": counters.rows,
            "late_rows": counters.late_rows,
            "duplicate_rows": counters.duplicate_rows,
            "unreadable_rows": counters.unreadable_rows,
            "lost_chunks": counters.lost_chunks,
            "overlapping_samples": pipeline.overlapping_samples,
        },
        "damaged": source.damaged,
        "notes": notes,
    }


def write_summary(out: Path, summary: Summary, attempt: str = "") -> None:
    """Write ``summary.json`` into `out`, whole or not at all."""
    write_json(out / SUMMARY_FILE, summary, attempt)


def write_json(path: Path, document: Any, attempt: str = "") -> None:
    """Write a JSON file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}{attempt}.part")
    try:
        part.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)  # half of it would only fill the disk that was full
        raise
