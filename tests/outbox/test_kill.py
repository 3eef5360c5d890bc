"""A process killed while it writes: what it was told is durable is there, once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from agent.outbox import Outbox
from agent.outbox.inspect import iter_waiting

KILLS = 12

WRITER = """
import sys
from pathlib import Path
from agent.outbox import Outbox
from agent.records import Kind
from tests.outbox.samples import record
outbox = Outbox(Path(sys.argv[1]), commit_window_s=0.01, segment_bytes=3000)
seq = int(sys.argv[2])
while True:
    outbox.put([record(seq), record(seq + 1), record(seq + 2, Kind.ALARM)])
    print(seq + 2, flush=True)
    seq += 3
    if seq % 9 == 0:
        taken = outbox.take(2, timeout_s=0)
        print("ack", *[w.seq for w in taken], flush=True)
        outbox.acknowledge([w.doc_id for w in taken])
        outbox.release_all()
"""


def killed(folder: Path, kills: int) -> tuple[int, int]:
    """Kill a writer so often; return how many records it was told are durable, and how many came back."""
    back = 0
    durable: set[int] = set()
    may_be_gone: set[int] = set()
    next_seq = 0
    for kill in range(kills):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder / "outbox"), str(next_seq)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        ) as writer:
            assert writer.stdout is not None
            for count, line in enumerate(writer.stdout):
                if line.startswith("ack"):
                    may_be_gone.update(int(word) for word in line.split()[1:])
                else:
                    durable.update(range(int(line) - 2, int(line) + 1))
                if count == 20 + 7 * (kill % 12):
                    writer.kill()  # goes on writing until the kernel gets to it
        with Outbox(folder / "outbox") as outbox:
            assert outbox.stats().damaged_stretches == 0
            found = [w.seq for w in iter_waiting(folder / "outbox")]
        assert len(found) == len(set(found)), "a record is there once"
        missing = durable - may_be_gone - set(found)
        assert not missing, f"kill {kill}: lost {sorted(missing)} of {len(durable)}"
        back += len(found)
        next_seq = max(found) + 1
        next_seq += -next_seq % 3
    return len(durable), back


def test_killed_again_and_again(tmp_path: Path) -> None:
    durable, _ = killed(tmp_path, KILLS)
    assert durable > 300
