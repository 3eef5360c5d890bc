"""Power cuts of the virtual Pi while the ring records: every file opens, and what was synced is there.

After each cut the machine boots from what the disk has kept, the ring is opened (which ends what was not
ended), and every file is read by the stock `mcap` package and value by value. What was handed over and is not
there must be less than a chunk, with what waited to become a message.
"""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from scripts.virtual_pi import image, project
from scripts.virtual_pi.errors import VirtualPiError
from scripts.virtual_pi.forgetful_disk import ForgetfulDisk
from scripts.virtual_pi.machine import Options, VirtualPi
from scripts.virtual_pi.paths import PROJECT, VENV, Cache
from scripts.virtual_pi.power_cuts import Lines
from scripts.virtual_pi.ring_witness import FAST_HZ, SPECS

FOLDER = "/var/lib/recordings-proof"
PYTHON = f"cd {PROJECT} && exec {VENV}/bin/python -u -m scripts.virtual_pi.ring_witness"
OPENED_S, FLUSH_COMES_S, CHECKED_S = 120.0, 20.0, 120.0
SHORTEST_S, LONGEST_S = 4.0, 14.0
CHUNK_BYTES = 64 * 1024
WAITING_S = 0.5
"""What was handed over and is in no message yet, and what came while the chunk was on its way to the card."""


@dataclass
class Tally:
    """What was counted. Everything from `lost` on must stay empty."""

    cuts: int = 0
    cuts_at_a_flush: int = 0
    files: int = 0
    files_cut_short: int = 0
    samples_synced: int = 0
    keeps_synced: int = 0
    forgotten_sectors: int = 0
    worst_lost_s: float = 0.0
    worst_lost_bytes: int = 0
    """Of the sensors, in what was handed over and is not there."""
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    unstated: list[str] = field(default_factory=list)
    file_system_errors: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether each file opened, and no more than a chunk was lost."""
        return not (self.lost or self.wrong or self.unstated or self.file_system_errors)

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON document."""
        return asdict(self)


class RecordingCuts:
    """The whole proof; `say` is told how it goes."""

    def __init__(self, folder: Path, *, seed: int, say: Callable[[str], None], niceness: int = 0) -> None:
        self.tally = Tally()
        self.enough = threading.Event()
        self._folder = folder
        self._rng = random.Random(seed)
        self._seed = seed
        self._say = say
        self._niceness = niceness
        self._cache = Cache.default()
        self._lock = threading.Lock()
        self._handed: dict[str, dict[str, int]] = {}
        self._synced: dict[str, dict[str, int]] = {}
        self._kept: list[str] = []
        self._is_recording = threading.Event()

    def run(self, cuts: int) -> Tally:
        """Do it all."""
        image.build(self._cache)
        disk_file, tar = self._folder / "disk.img", self._folder / "project.tar"
        project.pack(self._cache, tar)
        subprocess.run(["cp", "--sparse=always", str(self._cache.disk), str(disk_file)], check=True)
        with ForgetfulDisk(disk_file, self._folder / "disk", random.Random(self._seed + 1)) as disk:
            with VirtualPi(self._cache, tar, self._options(disk)) as pi:
                pi.check("sync")
                pi.power_off()
            while self.tally.cuts < cuts and not self.enough.is_set():
                self._one_cut(disk)
            disk.power_on()
            with VirtualPi(self._cache, None, self._options(disk)) as pi:
                self._record(pi, "f" * 16)
                self._judge(pi, "f" * 16)
                pi.power_off()
        checked = subprocess.run(
            ["e2fsck", "-fn", str(disk_file)], check=False, capture_output=True, text=True
        )
        if checked.returncode:
            self.tally.file_system_errors.append(f"e2fsck: {checked.stdout.strip()}")
        return self.tally

    def _options(self, disk: ForgetfulDisk) -> Options:
        return Options(drive=disk.uri, niceness=self._niceness)

    def _one_cut(self, disk: ForgetfulDisk) -> None:
        began_s, rng, tally = time.monotonic(), self._rng, self.tally
        boot = f"{tally.cuts + 1:016x}"
        disk.power_on()
        with VirtualPi(self._cache, None, self._options(disk)) as pi:
            self._record(pi, boot)
            if tally.cuts:
                self._judge(pi, boot)
            threading.Event().wait(rng.uniform(SHORTEST_S, LONGEST_S))
            at_flush = rng.random() < 0.7
            if at_flush:
                disk.stop_at_flush()
            forgotten = disk.cut(FLUSH_COMES_S if at_flush else 0.0)
            pi.power_cut()
        tally.cuts += 1
        tally.cuts_at_a_flush += at_flush
        tally.forgotten_sectors += forgotten.unsure - forgotten.newest
        handed = self._handed.get(boot, {}).get("accel", 0)
        self._say(
            f"cut {tally.cuts:2}: {time.monotonic() - began_s:.0f} s, {handed / FAST_HZ:.1f} s recorded, "
            f"{forgotten.unsure} sectors unsure; {tally.files} files, worst loss {tally.worst_lost_s:.2f} s"
            f"{'' if tally.is_good else '; SOMETHING IS WRONG'}"
        )

    def _record(self, pi: VirtualPi, boot: str) -> None:
        """Let the witness begin; return when it has handed over its first second."""
        self._is_recording.clear()

        def serve() -> None:
            with contextlib.suppress(VirtualPiError):  # the power is cut
                pi.run(f"{PYTHON} record {FOLDER} {boot}", timeout_s=3600, on_output=Lines(self._hear).feed)

        threading.Thread(target=serve, daemon=True).start()
        if not self._is_recording.wait(OPENED_S):
            self.tally.lost.append(f"boot {boot}: the ring does not record")

    def _hear(self, line: str) -> None:
        kind, _, rest = line.partition(" ")
        with self._lock:
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
                    self.tally.lost.append(f"boot {boot}: the ring pauses: {trouble}")
                self._handed[boot] = told
                if told["accel"] > FAST_HZ:
                    self._is_recording.set()

    def _judge(self, pi: VirtualPi, now: str) -> None:
        """Hold all files of earlier boots against what was handed over and what was synced."""
        found = json.loads(pi.check(f"{PYTHON} check {FOLDER}", timeout_s=CHECKED_S).strip().splitlines()[-1])
        tally = self.tally
        ends: dict[tuple[str, str], int] = {}
        stated: set[str] = set()
        tally.files = tally.files_cut_short = 0
        tally.wrong += found["unreadable"]
        for file in found["files"]:
            if file["boot"] == now:
                continue
            tally.files += 1
            tally.files_cut_short += file["state"] == "cut"
            if file["state"] == "cut":
                stated.add(file["boot"])
            tally.wrong += [f"{file['file']}: {words}" for words in file["wrong"]]
            if file["state"] not in ("whole", "cut"):
                tally.wrong.append(f"{file['file']} is {file['state']}")
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
        kernel = pi.run("dmesg | grep -E 'EXT4-fs (error|warning)|I/O error'").output
        tally.file_system_errors += kernel.splitlines()

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
        self.tally.worst_lost_s = max(self.tally.worst_lost_s, round(lost_s, 2))
        self.tally.worst_lost_bytes = max(self.tally.worst_lost_bytes, lost_bytes)
        if not said and lost_bytes and boot in {b for b, _ in ends}:
            # cut right behind a file's end, or before the first chunk of the next: the next file was empty
            whole = ends.get((boot, "accel"), 0)
            if told["accel"] - whole > most / 6:
                self.tally.unstated.append(f"boot {boot}")
