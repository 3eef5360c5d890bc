"""The ring in a running agent: it records, keeps what an alarm needs, and tells of what it missed."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from agent.beats import Beats
from agent.blocks import NS_PER_S, Block, RegularClock, Silence
from agent.cli import main
from agent.config import Config, OutboxSettings
from agent.outbox.inspect import iter_waiting
from agent.pipeline import Item
from agent.recorder import shelf
from agent.recorder.settings import RecorderSettings
from agent.records import Record, decode
from agent.ring_recording import FOLDER, directory_of, ring_recording
from agent.service import Service
from agent.streams import TABLE, StreamSpec
from agent.timebase import TimeMark, measure_mark
from tests.house.tree import TOP
from tests.recorder.rings import BOOT, SPECS, drive, ring_at


class Swing:
    """A source whose pressure jumps by more than the limit after a minute of a quiet drive."""

    mount_up: tuple[float, float, float] | None = None

    def __init__(self) -> None:
        self.mark: TimeMark = measure_mark()

    def open(self) -> tuple[StreamSpec, ...]:
        return (TABLE["pressure"],)

    def items(self, stop: threading.Event) -> Iterator[Item]:
        rate_hz = TABLE["pressure"].rate_hz
        values = np.full((int(62 * rate_hz), 1), 5000.0, np.float32)
        values[int(60 * rate_hz) :] += 4500.0
        yield self.mark
        clock = RegularClock.of_rate(rate_hz, anchor_ns=self.mark.box_ns - 62 * NS_PER_S)
        for first in range(0, len(values), 50):
            yield Block("pressure", first, clock, values[first : first + 50])
        yield Silence("pressure", clock.time_ns(len(values)))

    def close(self) -> None:
        """Close without a word."""


def run_to_the_end(config: Config) -> tuple[Service, list[Record]]:
    records: list[Record] = []
    service = Service(config, Swing(), on_records=records.extend)
    service.start()
    assert service.ended.wait(30)
    service.stop(drain_s=0.0)
    return service, records


def config_at(tmp_path: Path, **recorder: object) -> Config:
    return Config(
        outbox=OutboxSettings(directory=str(tmp_path / "outbox")),
        recorder=RecorderSettings(directory=str(tmp_path / "ring"), min_free_mib=0.0, **recorder),  # type: ignore[arg-type]
    )


def test_an_alarm_keeps_its_minutes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    service, records = run_to_the_end(config_at(tmp_path, keep_before_s=15.0, keep_after_s=5.0, file_s=10.0))
    (alarm,) = [decode(r.payload) for r in records if r.kind == "alarm"]
    (keep,) = shelf.keeps_in(tmp_path / "ring")[0]
    assert keep.id == f"{service.boot}-{alarm['id']}" and keep.why == "pressure, severity 4", keep
    files = shelf.files_in(tmp_path / "ring")
    kept = [keep.covers(file) for file in files]
    assert len(files) == 6 and kept == [False] * 4 + [True] * 2, "the alarm came 60 s on"
    assert main(["recordings", "list", "--dir", str(tmp_path / "ring"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [bool(file["kept"]) for file in document["files"]] == kept
    assert document["keeps"][0]["why"] == keep.why
    assert service.ring_directory == tmp_path / "ring"


def test_export_is_what_was_measured_and_verify_reads_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_to_the_end(config_at(tmp_path, file_s=10.0))
    ring, out = str(tmp_path / "ring"), tmp_path / "out.mcap"
    assert main(["recordings", "export", "5m", "now", str(out), "--dir", ring, "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)["exported"]
    assert told["samples"] == 62 * TABLE["pressure"].rate_hz and told["notes"] == []
    assert main(["replay", str(out), "--out", str(tmp_path / "replayed")]) == 0
    assert '"phase":"start"' in (tmp_path / "replayed/records.jsonl").read_text()
    assert main(["recordings", "verify", "--dir", ring]) == 0
    path = shelf.files_in(tmp_path / "ring")[2].path
    data = bytearray(path.read_bytes())
    data[data.index(b"zstd") + 20] ^= 1
    path.write_bytes(data)
    assert main(["recordings", "verify", "--dir", ring]) == 1
    assert path.name in capsys.readouterr().out


def test_keep_and_release_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_to_the_end(config_at(tmp_path, keep_after_s=0.0, keep_before_s=0.0))
    ring = ["--dir", str(tmp_path / "ring")]
    assert main(["recordings", "keep", "2m", "now", "--why", "asked for", *ring]) == 0
    (keep,) = (one for one in shelf.keeps_in(tmp_path / "ring")[0] if one.by == "hand")
    assert keep.why == "asked for"
    capsys.readouterr()
    assert main(["recordings", "list", *ring]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.endswith("asked for"))
    short = line.split()[1]
    assert keep.id.endswith(short) and len(short) < len(keep.id), line
    assert main(["recordings", "release", short, *ring]) == 0
    assert [one.by for one in shelf.keeps_in(tmp_path / "ring")[0]] == ["agent"]
    capsys.readouterr()
    for words, said in (
        (["keep", "9d", "8d"], "none of 9d to 8d"),
        (["keep", "now", "2m"], "FROM before TO"),
        (["release", "drop-1"], "nothing is kept under that name"),
        (["export", "2m", "now"], "2 words behind it"),
        (["keep", "noon", "now"], "reading the time 'noon'"),
    ):
        assert main(["recordings", *words, *ring]) in (1, 2)
        assert said in capsys.readouterr().err, words


def test_a_folder_that_cannot_be_written_ends_nothing_and_is_told(tmp_path: Path) -> None:
    (tmp_path / "ring").write_text("not a folder")
    service, records = run_to_the_end(config_at(tmp_path))
    assert service.failure is None and [r for r in records if r.kind == "alarm"]
    (gap,) = [decode(w.payload) for w in iter_waiting(tmp_path / "outbox") if w.kind == "gap"]
    rate_hz = TABLE["pressure"].rate_hz
    assert (gap["kind"], gap["stream"], gap["reason"]) == ("recording", "pressure", "card"), gap
    assert (gap["first"], gap["last"]) == (0, 62 * rate_hz - 1), gap


def test_what_a_slow_card_leaves_no_place_for_is_skipped_and_told(tmp_path: Path) -> None:
    config = config_at(tmp_path)
    recording = ring_recording(config, tmp_path / "ring", SPECS, BOOT, None, Beats())
    items = [item for item in drive(200.0) if isinstance(item, Block)]
    for at in range(0, len(items), 50):  # nobody takes them
        recording.hand_over(items[at : at + 50], lambda: None, lambda: False)
    skipped = [one for one in recording.missed() if one["stream"] == "accel"]
    assert skipped and skipped[0]["reason"] == "slow" and skipped[0]["last"] == items[-1].end - 1, skipped
    recording.no_more()
    recording.run()
    recording.close()
    (told,) = skipped
    files = shelf.files_in(tmp_path / "ring")
    assert sum(f.size_bytes for f in files) > 6 * told["first"], "what was queued before is recorded"


def test_a_mistake_in_the_ring_ends_no_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.recorder.ring.Ring._began", lambda *_: 1 / 0)
    service, records = run_to_the_end(config_at(tmp_path))
    assert service.failure is None and [r for r in records if r.kind == "alarm"]
    assert service._ring is not None and "ZeroDivisionError" in service._ring.ring.trouble


def test_where_the_ring_is(tmp_path: Path) -> None:
    under_systemd = {"STATE_DIRECTORY": f"{tmp_path}:/elsewhere"}
    assert directory_of(Config(), {}) is None
    assert directory_of(Config(), under_systemd) == tmp_path / FOLDER
    assert directory_of(config_at(tmp_path), under_systemd) == tmp_path / "ring"
    assert directory_of(Config(recorder=RecorderSettings(enabled=False)), under_systemd) is None


def test_without_a_ring_nobody_imports_its_packages() -> None:
    packages = "{'mcap', 'zstandard', 'lz4'}"
    program = f"import agent.commands.run, agent.service, sys; print({packages} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=TOP, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_health_tells_of_the_ring(tmp_path: Path) -> None:
    ring = ring_at(tmp_path)
    for item in drive(2.2):
        ring.write(item)
    told = ring.look()
    assert told["files"] == 3 and told["bytes"] > 30_000 and not told["paused"] and told["kept"] == 0, told
    ring.close()
