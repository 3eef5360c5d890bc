"""Power cuts of the virtual Pi while the ring records: every file opens, and what was synced is there.

After each cut the machine boots from what the disk has kept, the ring is opened (which ends what was not
ended), and every file is read by the stock `mcap` package and value by value. What was handed over and is not
there must be less than a chunk, with what waited to become a message.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts import proof
from scripts.virtual_pi import cutting
from scripts.virtual_pi.cutting import PowerCutProof
from scripts.virtual_pi.machine import VirtualPi
from scripts.virtual_pi.paths import PROJECT, VENV
from scripts.virtual_pi.ring_witness import FAST_HZ, SPECS

FOLDER = "/var/lib/recordings-proof"
PYTHON = f"cd {PROJECT} && exec {VENV}/bin/python -u -m scripts.virtual_pi.ring_witness"
OPENED_S, CHECKED_S = 120.0, 120.0
SHORTEST_S, LONGEST_S = 4.0, 14.0
CHUNK_BYTES = 64 * 1024
WAITING_S = 0.5
"""What was handed over and is in no message yet, and what came while the chunk was on its way to the card."""


@dataclass
class Tally(cutting.Tally):
    """What was counted beside."""

    files: int = 0
    """There at the end; the oldest have gone for want of room, and none that an incident keeps."""
    files_cut_short: int = 0
    samples_synced: int = 0
    keeps_synced: int = 0
    dearest_cut_s: float = 0.0
    """Of the accelerometer, handed over and not there."""
    dearest_cut_bytes: int = 0
    """Of all sensors."""
    lost: list[str] = field(default_factory=list)
    paused: list[str] = field(default_factory=list)
    """The ring records no more, and nobody has cut the power."""
    wrong_or_unreadable: list[str] = field(default_factory=list)
    unstated: list[str] = field(default_factory=list)


class RecordingCuts(PowerCutProof[Tally]):
    """The whole proof."""

    AT_FLUSH = 0.7

    def __init__(
        self, folder: Path, *, seed: int, say: Callable[[str], None] = proof.tell, niceness: int = 0
    ) -> None:
        super().__init__(folder, Tally(), seed=seed, say=say, niceness=niceness)
        self._handed: dict[str, dict[str, int]] = {}
        self._synced: dict[str, dict[str, int]] = {}
        self._kept: list[str] = []
        self._is_recording = threading.Event()

    def install(self, pi: VirtualPi) -> None:
        """Nothing: the witness makes its folder."""
        pi.check("sync")

    @contextlib.contextmanager
    def until_cut(self) -> Iterator[VirtualPi]:
        """Record, and look meanwhile at what the last cut has left."""
        boot = self._boot()
        with self.booted() as pi:
            self._record(pi, boot)
            if self.tally.cuts:
                self._judge(pi, boot)
            self.run_for(SHORTEST_S, LONGEST_S)
            yield pi

    def last_boot(self) -> None:
        """Record once more, so that the last file is mended, and look."""
        with self.booted() as pi:
            self._record(pi, self._boot())
            self._judge(pi, self._boot())
            pi.power_off()

    def progress(self) -> str:
        """Return what is known so far."""
        handed = self._handed.get(f"{self.tally.cuts:016x}", {}).get("accel", 0)
        return (
            f"{handed / FAST_HZ:.1f} s recorded; {self.tally.files} files, "
            f"the dearest cut cost {self.tally.dearest_cut_s:.2f} s"
        )

    def _boot(self) -> str:
        return f"{self.tally.cuts + 1:016x}"

    def _record(self, pi: VirtualPi, boot: str) -> None:
        """Let the witness begin; return when it has handed over its first second."""
        self._is_recording.clear()
        self.listen_to(pi, f"{PYTHON} record {FOLDER} {boot}")
        if not self._is_recording.wait(OPENED_S):
            self.tally.not_up.append(f"boot {boot}: the ring does not record")

    def hear(self, line: str) -> None:
        """Take what the witness hands over (H), has synced (S) or kept (K)."""
        kind, _, rest = line.partition(" ")
        if kind == "K":
            self._kept.append(rest)
        elif kind in "HS" and rest:
            told = json.loads(rest)
            boot = told.pop("boot")
            if kind == "S":
                told.pop("bytes")
                self._synced.setdefault(boot, {}).update(told)
                return
            if trouble := told.pop("trouble"):
                if self.disk is None or self.disk.is_on:
                    self.tally.paused.append(f"boot {boot}: {trouble}")
                return  # else it is the cut itself, seen in the moment before the machine is gone, too
            self._handed[boot] = told
            if told["accel"] > FAST_HZ:
                self._is_recording.set()

    def _judge(self, pi: VirtualPi, now: str) -> None:
        said = pi.check(f"{PYTHON} check {FOLDER}", timeout_s=CHECKED_S)
        self.judge(json.loads(said.strip().splitlines()[-1]), now)
        self.look_at_kernel(pi)

    def judge(self, found: dict[str, Any], now: str) -> None:
        """Hold all files of boots before `now` against what was handed over and what was synced."""
        tally = self.tally
        ends: dict[tuple[str, str], int] = {}
        stated: set[str] = set()
        tally.files = tally.files_cut_short = 0
        tally.wrong_or_unreadable += found["unreadable"]
        for file in found["files"]:
            if file["boot"] == now:
                continue
            tally.files += 1
            tally.files_cut_short += file["state"] == "cut"
            if file["state"] == "cut":
                stated.add(file["boot"])
            tally.wrong_or_unreadable += [f"{file['file']}: {words}" for words in file["wrong"]]
            if file["state"] not in ("whole", "cut"):
                tally.wrong_or_unreadable.append(f"{file['file']} is {file['state']}")
            for name, (_, end) in file["spans"].items():
                ends[file["boot"], name] = max(end, ends.get((file["boot"], name), 0))
        with self._lock:
            handed = {boot: dict(told) for boot, told in self._handed.items() if boot != now}
            kept = [name for name in self._kept if not name.startswith(now)]
        tally.samples_synced = sum(sum(told.values()) for boot, told in self._synced.items() if boot != now)
        for boot, told in handed.items():
            for name, end in self._synced.get(boot, {}).items():
                if ends.get((boot, name), 0) < end:
                    tally.lost.append(f"boot {boot}: {name} {ends.get((boot, name), 0)} to {end} was synced")
            self._measure(boot, told, ends, boot in stated)
        if missing := set(kept) - set(found["keeps"]):
            tally.lost.append(f"kept: {sorted(missing)}")
        tally.keeps_synced = len(kept)

    def _measure(self, boot: str, told: dict[str, int], ends: dict[tuple[str, str], int], said: bool) -> None:
        lost_bytes = 0
        for spec in SPECS:
            lost = max(0, told[spec.name] - ends.get((boot, spec.name), 0))
            lost_bytes += lost * len(spec.axes) * {"accel": 2}.get(spec.name, 4)
            if spec.name == "accel":
                lost_s = lost / FAST_HZ
        most = CHUNK_BYTES + WAITING_S * FAST_HZ * 6
        if lost_bytes > most:
            self.tally.lost.append(f"boot {boot}: {lost_bytes} bytes of samples, a chunk has {CHUNK_BYTES}")
        self.tally.dearest_cut_s = max(self.tally.dearest_cut_s, round(lost_s, 2))
        self.tally.dearest_cut_bytes = max(self.tally.dearest_cut_bytes, lost_bytes)
        if not said and lost_bytes and boot in {b for b, _ in ends}:
            # cut right behind a file's end, or before the first chunk of the next: the next file was empty
            whole = ends.get((boot, "accel"), 0)
            if told["accel"] - whole > most / 6:
                self.tally.unstated.append(f"boot {boot}")
