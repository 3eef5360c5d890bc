"""Reading beside a running agent, and what the outbox costs in memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.errors import OutboxError
from agent.outbox import Outbox
from agent.outbox.inspect import iter_waiting, outbox_stats, verify
from agent.records import Kind
from tests.outbox.samples import filled, record, records


def test_reading_beside_a_running_agent(tmp_path: Path) -> None:
    with Outbox(tmp_path) as outbox:
        outbox.put([*records(range(4)), record(4, Kind.ALARM)])
        before = sorted((p.name, p.read_bytes()) for p in tmp_path.glob("*.seg"))
        stats = outbox_stats(tmp_path)
        assert stats["waiting"] == 5
        assert stats["waiting_by_kind"] == {"alarm": 1, "features": 4}
        assert stats["oldest_t"] == "2026-01-01T00:00:00.000000Z"
        assert stats["in_use_by_pid"] == os.getpid()
        assert [w.seq for w in iter_waiting(tmp_path)] == [0, 1, 2, 3, 4]
        verdict = verify(tmp_path)
        assert verdict.sound and verdict.records == 5
        assert sorted((p.name, p.read_bytes()) for p in tmp_path.glob("*.seg")) == before, (
            "nothing is written"
        )
    assert outbox_stats(tmp_path)["in_use_by_pid"] is None


def test_what_is_being_written_is_not_damage(tmp_path: Path) -> None:
    with Outbox(tmp_path) as outbox:
        outbox.put([record(0, Kind.ALARM)])
        segment = tmp_path / "00000001.seg"
        segment.write_bytes(segment.read_bytes() + b"\xf5\xfe half a frame")
        verdict = verify(tmp_path)
        assert verdict.sound and not verdict.findings
        torn = segment.read_bytes()
    segment.write_bytes(torn)  # an agent that ends in order leaves none behind
    verdict = verify(tmp_path)
    assert verdict.sound and verdict.torn_bytes and verdict.findings, "without an agent it is a torn tail"


def test_damage_is_found(tmp_path: Path) -> None:
    filled(tmp_path, 5)
    segment = tmp_path / "00000001.seg"
    data = bytearray(segment.read_bytes())
    data[150] ^= 1
    segment.write_bytes(data)
    verdict = verify(tmp_path)
    assert not verdict.sound and verdict.damaged_stretches == 1
    assert verdict.as_dict()["findings"] == verdict.findings


def test_no_outbox_is_an_error_in_four_parts(tmp_path: Path) -> None:
    for read in (outbox_stats, verify, lambda d: list(iter_waiting(d))):
        with pytest.raises(OutboxError, match="no such directory"):
            read(tmp_path / "nowhere")


GROWTH = """
import sys
from pathlib import Path
from agent.outbox import Outbox
from tests.outbox.samples import records
def rss_mib():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20
outbox = Outbox(Path(sys.argv[1]))
outbox.put(records(range(1000), filler="x" * 200))
outbox.flush()
begin = rss_mib()
for first in range(1000, 151_000, 500):
    outbox.put(records(range(first, first + 500), filler="x" * 200))
    outbox.flush()  # what waits for a busy disk is in memory, too, and not what this is about
print(rss_mib() - begin)
outbox.close()
outbox = Outbox(Path(sys.argv[1]))
print(rss_mib() - begin)
taken = 0
while waiting := outbox.take(50, timeout_s=0):
    outbox.acknowledge([w.doc_id for w in waiting])
    taken += len(waiting)
    if taken == 50_000:
        break
print(rss_mib() - begin)
"""


def test_150_000_waiting_records_cost_a_few_megabytes(tmp_path: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-c", GROWTH, str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    grown_mib = [float(word) for word in said.stdout.split()]
    # nine bytes each are 1.4; how the allocator keeps what is written is most of the rest
    assert max(grown_mib) < 5, f"MiB more after writing, opening again, delivering: {grown_mib}"
