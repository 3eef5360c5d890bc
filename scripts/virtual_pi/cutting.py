"""Power cuts of the virtual Pi, whatever runs on it: the loop, and what is counted in each.

A proof says what is installed, what runs before a cut, and what must be there afterwards; `PowerCutProof`
does the rest: a disk that forgets, cuts at a flush or at any moment, and e2fsck(8) at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import signal
import subprocess
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from scripts import proof
from scripts.virtual_pi import image, project
from scripts.virtual_pi.errors import VirtualPiError
from scripts.virtual_pi.forgetful_disk import ForgetfulDisk
from scripts.virtual_pi.machine import Options, VirtualPi
from scripts.virtual_pi.paths import Cache

FLUSH_COMES_S = 20.0
AN_HOUR_S = 3600.0
KERNEL_TROUBLE = "dmesg | grep -E 'EXT4-fs (error|warning)|I/O error|JBD2: .*(error|Invalid)'"


@dataclass
class Tally:
    """What was counted. Every list must stay empty: it says what is wrong."""

    cuts: int = 0
    cuts_at_a_flush: int = 0
    sectors_not_flushed: int = 0
    sectors_forgotten: int = 0
    not_up: list[str] = field(default_factory=list)
    """After a cut the machine, or what is to run on it, does not come up."""
    file_system_errors: list[str] = field(default_factory=list)

    def wrong(self) -> list[str]:
        """Return all that is wrong, in words."""
        lists = {name: value for name, value in asdict(self).items() if isinstance(value, list)}
        return [f"{name.replace('_', ' ')}: {words}" for name, found in lists.items() for words in found]

    @property
    def is_good(self) -> bool:
        """Whether nothing is wrong."""
        return not self.wrong()

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON document, what is wrong at its end."""
        return dict(sorted(asdict(self).items(), key=lambda item: isinstance(item[1], list)))


TallyT = TypeVar("TallyT", bound=Tally)


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


class PowerCutProof(ABC, Generic[TallyT]):
    """The loop. `say` is told how it goes."""

    AT_FLUSH = 0.8
    """That part of the cuts comes as a flush is asked for: then most can be forgotten."""
    NETWORK = False

    def __init__(
        self,
        folder: Path,
        tally: TallyT,
        *,
        seed: int,
        say: Callable[[str], None] = proof.tell,
        niceness: int = 0,
    ) -> None:
        self.tally = tally
        self.enough = threading.Event()
        """Set, the cut that is under way is the last; what there is, is judged."""
        self.folder = folder
        self.rng = random.Random(seed)
        self.seed = seed
        self.disk: ForgetfulDisk | None = None
        self.say = say
        self._niceness = niceness
        self._lock = threading.Lock()
        self._cache = Cache.default()
        self._told: set[str] = set()

    # -- what a proof says -------------------------------------------------------------------------

    def beside(self) -> contextlib.AbstractContextManager[object]:
        """What runs on the host as long as the proof lasts."""
        return contextlib.nullcontext()

    @abstractmethod
    def install(self, pi: VirtualPi) -> None:
        """Make it ready, at the first boot; it is shut down in order afterwards."""

    @abstractmethod
    def until_cut(self) -> contextlib.AbstractContextManager[VirtualPi]:
        """Switch it on, judge what the last cut has left, let it run; inside, the power is cut."""

    @abstractmethod
    def last_boot(self) -> None:
        """After the last cut: switch it on once more, and judge."""

    @abstractmethod
    def progress(self) -> str:
        """Return what is known so far, for the line of a cut."""

    @abstractmethod
    def hear(self, line: str) -> None:
        """Take one line of a witness; one at a time."""

    # -- what all have -----------------------------------------------------------------------------

    @property
    def after(self) -> str:
        """Which cut was the last, for what is found."""
        return f"after cut {self.tally.cuts}"

    def run(self, cuts: int) -> TallyT:
        """Do it all."""
        image.build(self._cache)
        disk_file, tar = self.folder / "disk.img", self.folder / "project.tar"
        project.pack(self._cache, tar)
        subprocess.run(["cp", "--sparse=always", str(self._cache.disk), str(disk_file)], check=True)
        with (
            self.beside(),
            ForgetfulDisk(disk_file, self.folder / "disk", random.Random(self.seed + 1)) as self.disk,
        ):
            with self.booted(tar) as pi:
                self.install(pi)
                pi.power_off()
            try:
                while self.tally.cuts < cuts and not self.enough.is_set():
                    self._one_cut(self.disk)
                self.last_boot()
            except VirtualPiError as error:
                if not self.tally.cuts:
                    raise
                self.tally.not_up.append(f"{self.after}: {error}")
        checked = subprocess.run(
            ["e2fsck", "-fn", str(disk_file)], check=False, capture_output=True, text=True
        )
        if checked.returncode:
            self.tally.file_system_errors.append(f"e2fsck: {checked.stdout.strip()}")
        return self.tally

    def booted(self, tar: Path | None = None) -> VirtualPi:
        """Switch the disk on, and return the machine, to be entered."""
        assert self.disk is not None
        self.disk.power_on()
        options = Options(drive=self.disk.uri, network=self.NETWORK, niceness=self._niceness)
        return VirtualPi(self._cache, tar, options)

    def listen_to(self, pi: VirtualPi, command: str) -> None:
        """Run a witness in the guest until the cut, and hear what it says."""

        def hear(line: str) -> None:
            with self._lock:
                self.hear(line)

        def serve() -> None:
            with contextlib.suppress(VirtualPiError):  # the power is cut
                pi.run(command, timeout_s=AN_HOUR_S, on_output=Lines(hear).feed)

        threading.Thread(target=serve, daemon=True).start()

    def look_at_kernel(self, pi: VirtualPi) -> None:
        """Count what the kernel says against its file system."""
        said = pi.run(KERNEL_TROUBLE).output
        self.tally.file_system_errors += [f"{self.after}: {line}" for line in said.splitlines()]

    def run_for(self, shortest_s: float, longest_s: float) -> None:
        """Let it run: a moment of its own choice is all that a power cut waits for."""
        threading.Event().wait(self.rng.uniform(shortest_s, longest_s))

    def _one_cut(self, disk: ForgetfulDisk) -> None:
        began_s, tally = time.monotonic(), self.tally
        with self.until_cut() as pi:
            at_flush = self.rng.random() < self.AT_FLUSH
            if at_flush:
                disk.stop_at_flush()
            forgotten = disk.cut(FLUSH_COMES_S if at_flush else 0.0)
            pi.power_cut()
        tally.cuts += 1
        tally.cuts_at_a_flush += at_flush
        tally.sectors_not_flushed += forgotten.unsure
        tally.sectors_forgotten += forgotten.unsure - forgotten.newest
        self.say(
            f"cut {tally.cuts:2}: {time.monotonic() - began_s:.0f} s, {forgotten.unsure} sectors not "
            f"flushed, {forgotten.unsure - forgotten.newest} of them forgotten; {self.progress()}"
        )
        for words in tally.wrong():
            if words not in self._told:
                self._told.add(words)
                self.say(f"  WRONG: {words}")


def arguments(description: str | None) -> argparse.Namespace:
    """Parse what both commands take."""
    parser = proof.parser(description)
    parser.add_argument("--cuts", type=int, default=20, metavar="N", help="how often (default: 20)")
    parser.add_argument("--seed", type=int, default=1, help="of all that is left to chance (default: 1)")
    parser.add_argument("--niceness", type=int, default=0, help="of QEMU on this machine (default: 0)")
    return parser.parse_args()


def main(description: str | None, make: Callable[..., PowerCutProof[Any]]) -> int:
    """Be the command; the first Ctrl-C makes the cut that is under way the last."""
    given = arguments(description)

    def prove() -> proof.Proof:
        with tempfile.TemporaryDirectory(prefix="power-cuts-") as folder:
            cuts = make(Path(folder), seed=given.seed, niceness=given.niceness)
            with _last_at_interrupt(cuts):
                tally = cuts.run(given.cuts)
        return proof.Proof(tally.as_dict(), tally.wrong())

    return proof.run(prove, as_json=given.json)


@contextlib.contextmanager
def _last_at_interrupt(cuts: PowerCutProof[Any]) -> Iterator[None]:
    def end(_number: int, _frame: object) -> None:
        if cuts.enough.is_set():
            raise KeyboardInterrupt
        cuts.enough.set()
        proof.tell("this cut is the last; once more ends it at once")

    before = signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
