"""Witnesses in the guest of what an outbox calls durable, each told to the host before a power cut can come.

python -m scripts.virtual_pi.witness agent ARGUMENTS    the agent itself; each alarm that `Outbox.put` has
    made durable is sent to the listener
python -m scripts.virtual_pi.witness listen             prints what the agent's witness says
python -m scripts.virtual_pi.witness probe FOLDER SEQ   writes to an outbox of its own from SEQ on, and prints
    what it found (F), what is durable (D), and what may be gone from now on (A)
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from agent.outbox import Outbox
from agent.outbox.inspect import iter_waiting
from agent.records import Kind, Record

ADDRESS = "/run/witness"
PAUSE_S = 0.03
PROBE_BOOT = "00112233aabbccdd"
SEGMENT_BYTES = 4000


def agent(arguments: Sequence[str]) -> int:
    """Run the agent; nothing of it is changed but that somebody hears when `put` has returned."""
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.setblocking(False)
    put = Outbox.put

    def put_and_tell(self: Outbox, records: Sequence[Record]) -> None:
        put(self, records)
        if self.stats().trouble is None:
            for record in records:
                if record.urgent:
                    with contextlib.suppress(OSError):  # nobody listens yet
                        told.sendto(f"{record.boot} {record.seq}".encode(), ADDRESS)

    Outbox.put = put_and_tell  # type: ignore[method-assign]
    from agent.cli import main as cargobox

    return cargobox(list(arguments))


def listen() -> int:
    """Print each word of the agent's witness as it comes."""
    heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(ADDRESS)
    heard.bind(ADDRESS)
    os.chmod(ADDRESS, 0o666)
    while True:
        print("W", heard.recv(200).decode(), flush=True)


def probe(folder: Path, seq: int) -> int:
    """Write, and now and then acknowledge, until the power is cut."""
    with Outbox(folder, commit_window_s=0.2, segment_bytes=SEGMENT_BYTES) as outbox:
        stats = outbox.stats()
        found = [waiting.seq for waiting in iter_waiting(folder)]
        told = {"found": found, "torn_bytes": stats.torn_bytes, "damaged": stats.damaged_stretches}
        print("F", json.dumps({**told, "findings": stats.findings}), flush=True)
        seq = max([seq, *(number + 1 for number in found)])
        pause = threading.Event()
        while True:
            outbox.put([_record(seq), _record(seq + 1), _record(seq + 2, Kind.ALARM)])
            _say_durable(outbox, seq, seq + 2)
            outbox.put([_record(number) for number in range(seq + 3, seq + 9)])
            if seq % 2:
                outbox.flush()
                _say_durable(outbox, seq + 3, seq + 8)
            seq += 9
            if seq % 5 == 0:
                taken = outbox.take(20, timeout_s=0)
                print("A", *(waiting.seq for waiting in taken), flush=True)
                outbox.acknowledge([waiting.doc_id for waiting in taken])
                outbox.release_all()
            pause.wait(PAUSE_S)


def _say_durable(outbox: Outbox, first: int, last: int) -> None:
    if outbox.stats().trouble is None:  # else they are in memory: the disk went a moment before the machine
        print("D", first, last, flush=True)


def _record(seq: int, kind: Kind = Kind.FEATURES) -> Record:
    payload = b'{"seq":%d,"t":"2026-01-01T00:00:00.000000Z","filler":"%s"}' % (seq, b"x" * (seq * 37 % 300))
    return Record(kind, PROBE_BOOT, seq, f"cargobox/1/fleet/probe/{kind}", payload)


def main() -> int:
    """Be the witness that was asked for."""
    role, *arguments = sys.argv[1:]
    if role == "agent":
        return agent(arguments)
    if role == "listen":
        return listen()
    return probe(Path(arguments[0]), int(arguments[1]))


if __name__ == "__main__":
    sys.exit(main())
