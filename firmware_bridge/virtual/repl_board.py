"""ReplBoard: a board with a flash, a prompt and a power switch, as one plugs it in to put firmware on it.

The real MicroPython behind a pty, over a littlefs2 image that outlives it: friendly and raw prompt, raw
paste, soft reboot, ``main.py`` at power-on, ``machine.reset()`` and a watchdog that bites. ``VirtualBox``
is the box that measures; this is the one that can be flashed, and pulled at any moment.

Where the unix port differs from a board, this stands in between: its process ends at a soft reboot and is
started again, and it takes Ctrl-C as a signal, which it survives only while it runs a program.
"""

from __future__ import annotations

import contextlib
import os
import pty
import queue
import select
import signal
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from firmware_bridge.virtual.small_world import SmallWorld

BLOCK_BYTES = 4096  # erase block of the flash chips on the usual boards
FLASH_BYTES = 352 * BLOCK_BYTES  # what MicroPython leaves for files on a Pico

POWER_ON, PRESSED, WATCHDOG, SOFT = 1, 2, 3, 5  # as in machine.py
CAUSES = {POWER_ON: "power-on", PRESSED: "reset", WATCHDOG: "watchdog", SOFT: "soft"}

RAW_PROMPT = b"raw REPL; CTRL-B to exit\r\n>"
FRIENDLY_PROMPT = b">>> "
BANNER = b"MicroPython "
SOFT_REBOOT = b"MPY: soft reboot\r\n"
CTRL_A, CTRL_C = b"\x01", b"\x03"
BUFFER_BYTES = 256  # what a board's driver keeps until somebody reads
NOBODY_READS_S = 0.5  # as MicroPython's USB driver waits before it throws away
# The unix port raises KeyboardInterrupt wherever the signal finds it, also while it holds a lock of its
# interpreter: let the beginning of a program, with its imports, be over
DEAF_S = 0.05
INTERRUPT_S = 0.03  # until the signal has become an exception


class ReplBoard:
    """A board at `link`, its flash in `state_dir`; a context manager.

    `watchdog_speed`: how much faster its watchdog's clock runs than ours; `cut_at_write`: see `plug`. The
    cable can be pulled and put back, the button pressed, and the power cut in mid-write.
    """

    def __init__(
        self,
        link: Path,
        state_dir: Path,
        *,
        flash_bytes: int = FLASH_BYTES,
        watchdog_speed: float = 1.0,
        cut_at_write: int | None = None,
    ) -> None:
        self.link = link
        self.image = state_dir / "flash.img"
        self.writes = 0
        """Writes to the flash since the power was last switched on."""
        self.boots = 0
        self.watchdog_bites = 0
        self.power_went = threading.Event()
        """The power went at the chosen write."""
        self._watchdog_speed = watchdog_speed
        self._world = SmallWorld(state_dir / "world")
        self._said = bytearray()
        self._heard = threading.Condition()
        self._cut_at = cut_at_write
        self._process: subprocess.Popen[bytes] | None = None
        self._control_fd = self._power_fd = -1
        self._control_rest = b""
        self._host_fd = self._host_far_fd = -1
        self._board_fd = self._board_far_fd = -1
        self._skips_main = False
        self._host_reads = True
        self._has_booted = False
        self._hears_s: float | None = None
        self._unheard = bytearray()
        self._held: bytearray | None = None
        self._bites_s: float | None = None
        self._watchdog_s = 0.0
        self._orders: queue.SimpleQueue[tuple[Callable[[], None], threading.Event]] = queue.SimpleQueue()
        self._wake_read, self._wake_write = -1, -1
        self._thread: threading.Thread | None = None
        state_dir.mkdir(parents=True, exist_ok=True)
        if not self.image.exists():
            self.image.write_bytes(b"\xff" * flash_bytes)

    @property
    def port(self) -> str:
        """The serial port; it keeps its name when the cable is put back."""
        return str(self.link)

    @property
    def said(self) -> bytes:
        """All that it sent to the host since it was plugged in."""
        return bytes(self._said)

    def wait_for(self, words: bytes, timeout_s: float = 20.0) -> bool:
        """Return whether it says this, now or within that time, or has since it was plugged in."""
        with self._heard:
            return self._heard.wait_for(lambda: words in self._said, timeout_s)

    def __enter__(self) -> Self:
        """Plug it in."""
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._serve, name="repl-board", daemon=True)
        self._thread.start()
        self.plug(cut_at_write=self._cut_at)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.unplug()
        thread, self._thread = self._thread, None
        assert thread is not None
        os.close(self._wake_write)
        thread.join()
        os.close(self._wake_read)

    def plug(self, *, cut_at_write: int | None = None) -> None:
        """Connect the cable, which brings power; the power goes in the n-th write to the flash."""

        def do() -> None:
            self._cut_at, self.writes = cut_at_write, 0
            self.power_went.clear()
            self._said.clear()
            self._plug()

        self._order(do)

    def unplug(self) -> None:
        """Pull the cable: power and port go at once."""
        self._order(self._unplug)

    def plug_at_prompt(self) -> None:
        """As if a flash had been cut short: it is pulled, and comes back at its prompt without a program."""
        self.unplug()
        self._skips_main = True
        self.plug()
        self._skips_main = False

    def press_reset(self) -> None:
        """Press the button: the board boots, the port stays."""
        self._order(lambda: self._reboot(PRESSED))

    # --- all below runs in the thread ---

    def _order(self, do: Callable[[], None]) -> None:
        done = threading.Event()
        self._orders.put((do, done))
        os.write(self._wake_write, b"!")
        done.wait()

    def _serve(self) -> None:
        while True:
            fds = [fd for fd in (self._wake_read, self._host_fd, self._board_fd, self._control_fd) if fd >= 0]
            due_s = [at_s for at_s in (self._bites_s, self._hears_s) if at_s is not None]
            wait_s = max(0.0, min(due_s) - time.monotonic()) if due_s else None
            ready, _, _ = select.select(fds, [], [], wait_s)
            if self._hears_s is not None and time.monotonic() >= self._hears_s:
                self._hears_s, self._has_booted = None, True
                self._hear_again()
            if self._wake_read in ready:
                if not os.read(self._wake_read, 1):
                    return
                do, done = self._orders.get()
                do()
                done.set()
                continue
            if self._control_fd in ready:
                self._obey()
                continue  # what it says may have ended the process whose output waits
            if self._board_fd in ready:
                self._from_board()
            if self._host_fd in ready:
                self._from_host()
            if self._bites_s is not None and time.monotonic() >= self._bites_s:
                self.watchdog_bites += 1
                self._reboot(WATCHDOG)

    def _plug(self) -> None:
        self._host_fd, self._host_far_fd = pty.openpty()
        tty.setraw(self._host_far_fd)
        os.set_blocking(self._host_fd, False)
        aside = self.link.with_name(self.link.name + ".new")
        aside.unlink(missing_ok=True)
        aside.symlink_to(os.ttyname(self._host_far_fd))
        aside.rename(self.link)
        self._start(POWER_ON)

    def _unplug(self) -> None:
        self._stop()
        self.link.unlink(missing_ok=True)
        for fd in (self._host_fd, self._host_far_fd):
            if fd >= 0:
                os.close(fd)
        self._host_fd = self._host_far_fd = -1

    def _reboot(self, cause: int) -> None:
        self._stop()
        self._start(cause)

    def _start(self, cause: int, *, skips_main: bool = False) -> None:
        """Run the boot ROM."""
        self.boots += 1
        # the prompt that it showed last
        is_raw = cause == SOFT and self._said.rfind(RAW_PROMPT) > self._said.rfind(FRIENDLY_PROMPT)
        self._has_booted = False
        self._unheard.clear()
        self._held = bytearray() if is_raw else None
        self._board_fd, self._board_far_fd = pty.openpty()
        tty.setraw(self._board_far_fd)
        os.set_blocking(self._board_fd, False)
        self._control_fd, control_write = os.pipe()
        power_read, self._power_fd = os.pipe()
        # the prompt waits for a byte, the program must not: a description of its own, that does not block
        non_waiting_fd = os.open(os.ttyname(self._board_far_fd), os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        self._world.lay_out(CAUSES[cause], self.boots, power_fd=power_read, host_fd=non_waiting_fd)
        left = -1 if self._cut_at is None else max(0, self._cut_at - self.writes)
        rom = Path(__file__).with_name("boot_rom.py")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "micropython_unix", "-i", str(rom)],
            stdin=self._board_far_fd,
            stdout=self._board_far_fd,
            stderr=self._board_far_fd,
            env={
                "PATH": os.environ.get("PATH", ""),
                "TERM": "dumb",
                "CARGOBOX_ROM": str(rom.parent),
                "CARGOBOX_FLASH": str(self.image.absolute()),
                "CARGOBOX_WORLD": f"/host{self._world.folder.absolute()}",
                "CARGOBOX_CONTROL": str(control_write),
                "CARGOBOX_RESET_CAUSE": str(cause),
                "CARGOBOX_WRITES_LEFT": str(left),
                "CARGOBOX_RAW": "1" if is_raw or skips_main or self._skips_main else "",
            },
            pass_fds=(control_write, power_read, non_waiting_fd),
            start_new_session=True,
        )
        for fd in (control_write, power_read, non_waiting_fd):
            os.close(fd)

    def _stop(self) -> None:
        """Take the power away, in the middle of whatever it does."""
        self._bites_s = self._hears_s = None
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        self._process = None
        with contextlib.suppress(OSError):  # what it managed to say before does arrive
            self._to_host(os.read(self._board_fd, 65536))
        self._count_writes()
        for fd in (self._control_fd, self._power_fd, self._board_fd, self._board_far_fd):
            os.close(fd)
        self._control_fd = self._power_fd = self._board_fd = self._board_far_fd = -1
        self._control_rest = b""

    def _count_writes(self) -> None:
        while chunk := os.read(self._control_fd, 65536):
            self.writes += chunk.count(b"write\n")

    def _obey(self) -> None:
        """Do what the board's own hardware asks for."""
        chunk = os.read(self._control_fd, 65536)
        if not chunk:
            self._ended()
            return
        *words, self._control_rest = (self._control_rest + chunk).split(b"\n")
        self.writes += words.count(b"write")
        for word in words:
            if word == b"fed" and self._bites_s is not None:
                self._bites_s = time.monotonic() + self._watchdog_s
            elif word == b"runs" and not self._has_booted and self._hears_s is None:
                self._hears_s = time.monotonic() + DEAF_S
            elif word.startswith(b"watchdog"):
                self._watchdog_s = int(word.split()[1]) / 1000 / self._watchdog_speed
                self._bites_s = time.monotonic() + self._watchdog_s
            elif word == b"reset":
                self._reboot(PRESSED)
                return
            elif word == b"cut":
                self._unplug()
                self.power_went.set()
                return

    def _ended(self) -> None:
        """A soft reboot: the unix port's process ends. A board's watchdog goes on counting through it.

        Or our signal came when the program had just ended by itself: then a board is at its prompt.
        """
        assert self._process is not None
        bites_s, was_killed = self._bites_s, self._process.wait() == -signal.SIGINT
        self._stop()
        if not was_killed:
            self._to_host(SOFT_REBOOT)
        self._start(SOFT, skips_main=was_killed)
        self._bites_s = bites_s

    def _from_board(self) -> None:
        try:
            data = os.read(self._board_fd, 65536)
        except OSError:
            return
        if self._held is None:
            self._to_host(data)
            return
        # reset into the raw prompt: a board comes up in it, the unix port has to be asked
        self._held += data
        if RAW_PROMPT in self._held:
            self._to_host(bytes(self._held[self._held.find(RAW_PROMPT) :]))
            self._held = None
            self._hear_again()
        elif self._held.endswith(FRIENDLY_PROMPT):
            self._to_host(bytes(self._held[: self._held.rfind(BANNER)]))
            self._held.clear()
            os.write(self._board_fd, CTRL_A)

    def _from_host(self) -> None:
        try:
            data = os.read(self._host_fd, 4096)
        except OSError:
            return
        if self._has_booted and self._held is None:
            self._hear(data)
        elif self._process is not None:
            self._unheard += data[: BUFFER_BYTES - len(self._unheard)]

    def _hear_again(self) -> None:
        """Take what came while nobody listened."""
        if self._has_booted and self._held is None:
            data, self._unheard = bytes(self._unheard), bytearray()
            self._hear(data)

    def _hear(self, data: bytes) -> None:
        assert self._process is not None
        if CTRL_C in data and self._catches_interrupt():
            # as a board's USB or UART interrupt does: what came before Ctrl-C is forgotten
            self._process.send_signal(signal.SIGINT)
            data = data[data.rfind(CTRL_C) + 1 :]
            time.sleep(INTERRUPT_S)
        with contextlib.suppress(BlockingIOError):
            os.write(self._board_fd, data)

    def _to_host(self, data: bytes) -> None:
        with self._heard:
            self._said += data
            self._heard.notify_all()
        while data:
            wait_s = NOBODY_READS_S if self._host_reads else 0.0
            _, ready, _ = select.select([], [self._host_fd], [], wait_s)
            self._host_reads = bool(ready)
            if not ready:
                return  # as on a board, what nobody reads is lost
            with contextlib.suppress(BlockingIOError):
                data = data[os.write(self._host_fd, data) :]

    def _catches_interrupt(self) -> bool:
        """Whether a program runs that Ctrl-C would interrupt; at the prompt the signal would kill."""
        assert self._process is not None
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith("SigCgt:"):
                return bool(int(line.split()[1], 16) >> (signal.SIGINT - 1) & 1)
        return False
