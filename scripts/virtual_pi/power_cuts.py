"""Power cuts of the virtual Pi: the agent as its service, a disk that forgets, and a broker that outlives it.

The broker and its subscriber run on the host, so that what they have is sure; a gate before them is shut most
of the time. What is held against the agent after each cut and at the end:

- the alarms that the agent's witness named (`Outbox.put` had returned): each arrives;
- the numbers of each boot: without a hole from 0 to the last that arrives;
- a second outbox beside it, whose durable records are all known (`witness probe`): none is lost, none twice;
- `cargobox outbox verify`, what the kernel says of its file system, and e2fsck(8) at the end.
"""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from firmware_bridge.virtual import VirtualBox
from firmware_bridge.virtual.trip import Trip
from scripts.virtual_pi import image, project
from scripts.virtual_pi.errors import VirtualPiError
from scripts.virtual_pi.forgetful_disk import ForgetfulDisk, Forgotten
from scripts.virtual_pi.gate import Gate
from scripts.virtual_pi.machine import Options, VirtualPi
from scripts.virtual_pi.paths import PROJECT, VENV, Cache
from scripts.virtual_pi.serial_cable import SerialCable
from tests.live.watcher import Watcher
from tests.uplink.brokers import Mosquitto

OUTBOX, PROBE = "/var/lib/cargobox/outbox", "/var/lib/probe"
INSTALLED_S, SERVICE_UP_S, DRAINED_S, FLUSH_COMES_S = 600.0, 300.0, 300.0, 20.0
SHORTEST_S, LONGEST_S = 3.0, 8.0
"""So long it runs before a cut, once it reads the box."""
PYTHON = f"cd {PROJECT} && exec {VENV}/bin/python -u -m scripts.virtual_pi.witness"
# a demo's trip has some alarms a minute; from a fifth of a g each jolt of the road is one
CONFIGURATION = """
[box]
id = "power-cuts"
[source.serial]
port = "/dev/ttyS1"
[broker]
host = "10.0.2.2"
port = {port}
[upload]
batch_s = 1
[health]
every_s = 5.0
[detect.shock]
peak_mps2 = 2.0
delta_v_mps = 0.01
noted_peak_mps2 = 1.9
noted_delta_v_mps = 0.005
settle_s = 0.05
"""
WITNESSED = f"""[Service]
Environment=PYTHONPATH={PROJECT}
ExecStart=
ExecStart={VENV}/bin/python -m scripts.virtual_pi.witness agent run \
--config /etc/cargobox/cargobox.toml --wait
"""
INSTALL = f"{VENV}/bin/cargobox service install && systemctl is-enabled cargobox.service && sync"


@dataclass
class Tally:
    """What was counted. Everything from `lost` on must stay 0 or empty."""

    cuts: int = 0
    cuts_at_a_flush: int = 0
    cuts_offline: int = 0
    unsure_sectors: int = 0
    forgotten_sectors: int = 0
    alarms_witnessed: int = 0
    records_arrived: int = 0
    arrived_again: int = 0
    boots: int = 0
    probe_durable: int = 0
    torn_tails: int = 0
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    holes: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    file_system_errors: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether nothing was lost or broken."""
        return not (self.lost or self.twice or self.holes or self.damaged or self.file_system_errors)

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON document."""
        return asdict(self)


@dataclass
class Truth:
    """What the witnesses have said."""

    alarms: set[tuple[str, int]] = field(default_factory=set)
    durable: set[int] = field(default_factory=set)
    may_be_gone: set[int] = field(default_factory=set)
    next_seq: int = 0
    on_found: Callable[[dict[str, Any]], None] = lambda _: None
    """Called with what the probe finds when it opens its outbox."""

    def hear(self, line: str) -> None:
        """Take one line of a witness."""
        kind, _, rest = line.partition(" ")
        if kind == "W":
            boot, seq = rest.split()
            self.alarms.add((boot, int(seq)))
        elif kind == "D":
            first, last = map(int, rest.split())
            self.durable.update(range(first, last + 1))
            self.next_seq = max(self.next_seq, last + 1)
        elif kind == "A":
            self.may_be_gone.update(map(int, rest.split()))
        elif kind == "F":
            self.on_found(json.loads(rest))


class Lines:
    """Bytes in whatever pieces, cut into lines; what was not ended by the cut was not said."""

    def __init__(self, hear: Callable[[str], None]) -> None:
        self._hear = hear
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take more."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._hear(line.decode(errors="replace"))


class PowerCuts:
    """The whole proof; `say` is told how it goes."""

    def __init__(self, folder: Path, *, seed: int, say: Callable[[str], None], niceness: int = 0) -> None:
        self.tally = Tally()
        self.enough = threading.Event()
        """Set, the cut that is under way is the last; what there is, is judged."""
        self._folder = folder
        self._rng = random.Random(seed)
        self._seed = seed
        self._say = say
        self._niceness = niceness
        self.truth = Truth(on_found=self._judge_probe)
        self._lock = threading.Lock()
        self._opened = threading.Event()
        self._cache = Cache.default()

    def run(self, cuts: int) -> Tally:
        """Do it all."""
        image.build(self._cache)
        disk_file, tar = self._folder / "disk.img", self._folder / "project.tar"
        project.pack(self._cache, tar)
        copied = ["cp", "--sparse=always", str(self._cache.disk), str(disk_file)]
        subprocess.run(copied, check=True)
        broker = Mosquitto(self._folder, "max_queued_messages 0")
        try:
            with (
                Gate(broker.port) as gate,
                Watcher(broker.port) as watcher,
                ForgetfulDisk(disk_file, self._folder / "disk", random.Random(self._seed + 1)) as disk,
                VirtualBox(Trip(seed=self._seed), self._folder / "box", self._folder / "board"),
            ):
                self._install(disk, gate, tar)
                while self.tally.cuts < cuts and not self.enough.is_set():
                    self._one_cut(disk, gate, watcher)
                self._drain(disk, gate, watcher)
                self.judge(_arrived(watcher), arrived_again=watcher.duplicates)
        finally:
            broker.kill()
        checked = subprocess.run(
            ["e2fsck", "-fn", str(disk_file)], check=False, capture_output=True, text=True
        )
        if checked.returncode:
            self.tally.file_system_errors.append(f"e2fsck: {checked.stdout.strip()}")
        return self.tally

    def _options(self, disk: ForgetfulDisk) -> Options:
        return Options(drive=disk.uri, network=True, niceness=self._niceness)

    def _install(self, disk: ForgetfulDisk, gate: Gate, tar: Path) -> None:
        """Boot for the first time, install the service as operators do, and shut down in order."""
        with VirtualPi(self._cache, tar, self._options(disk)) as pi:
            pi.put(WITNESSED.encode(), "/etc/systemd/system/cargobox.service.d/witness.conf")
            pi.put(CONFIGURATION.format(port=gate.port).encode(), "/etc/cargobox/cargobox.toml")
            pi.check(INSTALL, timeout_s=INSTALLED_S)
            pi.power_off()

    @contextlib.contextmanager
    def _on(self, disk: ForgetfulDisk, *, with_box: bool) -> Iterator[VirtualPi]:
        """Switch it on; the service begins by itself."""
        disk.power_on()
        with VirtualPi(self._cache, None, self._options(disk)) as pi, contextlib.ExitStack() as parts:
            if with_box:
                parts.enter_context(SerialCable(str(self._folder / "box"), pi.serial))
            self._hear(pi, "listen")
            end_s = time.monotonic() + SERVICE_UP_S
            shown = ""
            while "active" not in shown.split() or (with_box and "reading" not in shown):
                if time.monotonic() > end_s:
                    journal = pi.run("journalctl -u 'cargobox*' -o cat -n 40").output
                    self.tally.lost.append(f"the service is not up after a cut: {shown}\n{journal}")
                    break
                shown = pi.check("systemctl show --value -p ActiveState -p StatusText cargobox; sleep 0.5")
            yield pi

    def _hear(self, pi: VirtualPi, words: str) -> None:
        def hear(line: str) -> None:
            with self._lock:
                self.truth.hear(line)

        def serve() -> None:
            with contextlib.suppress(VirtualPiError):  # the power is cut
                pi.run(f"{PYTHON} {words}", timeout_s=3600, on_output=Lines(hear).feed)

        threading.Thread(target=serve, daemon=True).start()

    def _one_cut(self, disk: ForgetfulDisk, gate: Gate, watcher: Watcher) -> None:
        began_s = time.monotonic()
        rng, tally = self._rng, self.tally
        is_online = rng.random() < 0.5
        (gate.open if is_online else gate.shut)()
        with self._on(disk, with_box=True) as pi:
            self._look(pi)
            self._probe(pi)
            self._run_for(rng.uniform(SHORTEST_S, LONGEST_S))
            if rng.random() < 0.5:
                is_online = not is_online
                (gate.open if is_online else gate.shut)()
                self._run_for(rng.uniform(SHORTEST_S, LONGEST_S))
            at_flush = rng.random() < 0.8
            if at_flush:
                disk.stop_at_flush()
            forgotten = disk.cut(FLUSH_COMES_S if at_flush else 0.0)
            pi.power_cut()
        gate.shut()
        tally.cuts += 1
        tally.cuts_at_a_flush += at_flush
        tally.cuts_offline += not is_online
        self._count(forgotten)
        self._say(
            f"cut {tally.cuts:2}: {time.monotonic() - began_s:.0f} s, {forgotten.unsure} sectors unsure, "
            f"{forgotten.unsure - forgotten.newest} of them forgotten; {len(self.truth.alarms)} alarms and "
            f"{len(self.truth.durable)} records of the probe durable, {len(watcher.messages)} arrived"
            f"{'' if tally.is_good else '; SOMETHING IS WRONG'}"
        )

    @staticmethod
    def _run_for(seconds: float) -> None:
        threading.Event().wait(seconds)  # a moment of its own choice is all that a power cut waits for

    def _count(self, forgotten: Forgotten) -> None:
        self.tally.unsure_sectors += forgotten.unsure
        self.tally.forgotten_sectors += forgotten.unsure - forgotten.newest

    def _look(self, pi: VirtualPi) -> None:
        """After a cut: what the agent found, whether its files are sound, and what the probe's has lost."""
        after = f"after cut {self.tally.cuts}"
        said = pi.run("journalctl -b -u cargobox -o cat | grep 'outbox ' ").output
        for line in said.splitlines():
            self.tally.torn_tails += "never completely written" in line or "being created" in line
            if "damage" in line or "cannot be" in line:
                self.tally.damaged.append(f"{after}: {line}")
        for folder in (OUTBOX, PROBE):
            if pi.run(f"test -d {folder}").status == 0:
                verdict = pi.run(f"{VENV}/bin/cargobox outbox verify --dir {folder}")
                if verdict.status:
                    self.tally.damaged.append(f"{after}: verify {folder}: {verdict.output}")
        kernel = pi.run("dmesg | grep -E 'EXT4-fs (error|warning)|I/O error|JBD2: .*(error|Invalid)'").output
        self.tally.file_system_errors += [f"{after}: {line}" for line in kernel.splitlines()]

    def _probe(self, pi: VirtualPi) -> None:
        """Let the probe open its outbox, and write; return when it has said what it found."""
        self._opened.clear()
        self._hear(pi, f"probe {PROBE} {self.truth.next_seq}")
        if not self._opened.wait(SERVICE_UP_S):
            self.tally.lost.append(f"after cut {self.tally.cuts}: the probe's outbox does not open")

    def _judge_probe(self, found: dict[str, Any]) -> None:
        """Hold what the probe has found against all that was durable; it says that first."""
        seqs, truth, after = found["found"], self.truth, f"after cut {self.tally.cuts}"
        if missing := truth.durable - truth.may_be_gone - set(seqs):
            self.tally.lost.append(f"{after}: the probe's {sorted(missing)}")
        if len(seqs) != len(set(seqs)):
            again = sorted(seq for seq, count in Counter(seqs).items() if count > 1)
            self.tally.twice.append(f"{after}: the probe's {again}")
        if found["damaged"]:
            self.tally.damaged.append(f"{after}: the probe's: {found['findings']}")
        self.tally.torn_tails += found["torn_bytes"] > 0
        self._opened.set()

    def _drain(self, disk: ForgetfulDisk, gate: Gate, watcher: Watcher) -> None:
        """Switch it on without a box, so that nothing new comes, and let all out that waits."""
        with self._on(disk, with_box=False) as pi:
            self._look(pi)
            self._probe(pi)
            gate.open()
            end_s = time.monotonic() + DRAINED_S
            stats = f"{VENV}/bin/cargobox outbox stats --dir {OUTBOX} --json"
            while (waiting := json.loads(pi.check(stats))["waiting"]) and time.monotonic() < end_s:
                threading.Event().wait(1.0)
            if waiting:
                self.tally.lost.append(f"{waiting} records still wait {DRAINED_S:.0f} s after the last boot")
            with contextlib.suppress(AssertionError):  # what has not come is named by judge
                watcher.until(lambda: self.truth.alarms <= _arrived(watcher), "alarm that was witnessed")
            pi.power_off()

    def judge(self, arrived: set[tuple[str, int]], *, arrived_again: int) -> None:
        """Hold what has arrived, as (boot, seq), against what was durable."""
        tally = self.tally
        if missing := self.truth.alarms - arrived:
            tally.lost.append(f"alarms {sorted(missing)}")
        boots: dict[str, set[int]] = {}
        for boot, seq in arrived:
            boots.setdefault(boot, set()).add(seq)
        for boot, seqs in boots.items():
            if holes := set(range(max(seqs))) - seqs:
                tally.holes.append(f"boot {boot}: {sorted(holes)} of 0 to {max(seqs)}")
        tally.alarms_witnessed = len(self.truth.alarms)
        tally.probe_durable = len(self.truth.durable)
        tally.records_arrived, tally.arrived_again = len(arrived), arrived_again
        tally.boots = len(boots)


def _arrived(watcher: Watcher) -> set[tuple[str, int]]:
    messages = watcher.of("alarm", "event", "features", "gap", "snippet", "health")
    return {(str(message.body["boot"]), int(message.body["seq"])) for message in messages}
