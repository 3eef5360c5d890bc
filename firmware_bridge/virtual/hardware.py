"""The virtual box's hardware: power, flash, cable, and the world that its sensors feel.

Lives in a process of its own (``hardware_process.py``).
"""

from __future__ import annotations

import json
import os
import pty
import secrets
import shutil
import signal
import subprocess
import time
import tty
from dataclasses import dataclass
from pathlib import Path

from firmware_bridge.firmware_files import LAUNCHER, SLOTS, program_files
from firmware_bridge.virtual.playback import Playback, Trip, describe_streams
from firmware_bridge.virtual.streams import MOUNT_UP

REBOOT_S = 0.2
SECRET_ID_BYTES = 8


@dataclass(frozen=True, slots=True)
class Setup:
    """What a virtual box is made of."""

    trip: Trip
    link: Path | None
    state_dir: Path
    command: tuple[str, ...]
    """Interpreter and arguments that run ``main.py``."""
    drift_ppm: int
    ticks_offset_us: int


class Hardware:
    """The board, its cable and its power switch."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._flash = setup.state_dir / "flash"
        self._epoch_ns = time.monotonic_ns()
        self._lay_out_flash()
        self._playback = Playback(setup.trip, self._flash, epoch_ns=self._epoch_ns, drift_ppm=setup.drift_ppm)
        self._playback.attend()
        self._console = (setup.state_dir / "console.log").open("ab")
        self._board: subprocess.Popen[bytes] | None = None
        self._power_fd = -1
        self._near_fd = self._far_fd = -1
        self._boots = 0
        self.port = ""

    def _lay_out_flash(self) -> None:
        shutil.rmtree(self._flash, ignore_errors=True)
        slot = self._flash / SLOTS[0]
        slot.mkdir(parents=True)
        shutil.copyfile(LAUNCHER, self._flash / LAUNCHER.name)
        (self._flash / "slot").write_text(SLOTS[0])
        for name, source in program_files("linux").items():
            (slot / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(source, slot / name)

    # --- the cable ---

    def plug(self) -> None:
        """Connect the cable, which brings power with it."""
        self._near_fd, self._far_fd = pty.openpty()
        tty.setraw(self._far_fd)  # every byte is data, none is a signal or an echo
        os.set_blocking(self._near_fd, False)
        self.port = os.ttyname(self._far_fd)
        if self._setup.link is not None:
            aside = self._setup.link.with_name(self._setup.link.name + ".new")
            aside.unlink(missing_ok=True)
            aside.symlink_to(self.port)
            aside.rename(self._setup.link)
        self.power_on("power-on")

    def unplug(self) -> None:
        """Pull the cable: the port vanishes, the board loses its power."""
        self.power_off()
        if self._setup.link is not None:
            self._setup.link.unlink(missing_ok=True)
        for fd in (self._near_fd, self._far_fd):
            if fd >= 0:
                os.close(fd)
        self._near_fd = self._far_fd = -1

    # --- the board ---

    def power_on(self, cause: str) -> None:
        """Boot the board; `cause` is what it will give as the reason of its reset."""
        self._boots += 1
        power_read, self._power_fd = os.pipe()
        (self._flash / "board.json").write_text(
            json.dumps(
                {
                    "id": self._unique_id(),
                    "reset": cause,
                    "boots": self._boots,
                    "mount_up": MOUNT_UP,
                    "streams": describe_streams(self._setup.trip.streams),
                    "epoch_us": self._epoch_ns // 1000,
                    "drift_ppm": self._setup.drift_ppm,
                    "ticks_offset_us": self._setup.ticks_offset_us,
                    "power_fd": power_read,
                }
            )
        )
        self._board = subprocess.Popen(
            self._setup.command,
            stdin=self._near_fd,
            stdout=self._near_fd,
            stderr=self._console,
            cwd=self._flash,
            pass_fds=(power_read,),
        )
        os.close(power_read)

    def power_off(self) -> None:
        """Cut the board's power, in the middle of whatever it does."""
        if self._board is not None:
            self._board.kill()
            self._board.wait()
            self._board = None
            os.close(self._power_fd)

    def _unique_id(self) -> str:
        path = self._setup.state_dir / "id"
        if not path.exists():
            path.write_text(secrets.token_hex(SECRET_ID_BYTES))
        return path.read_text()

    def attend(self) -> float:
        """Feed the sensors; reboot a board whose program ended. Return when there is more to do, in s."""
        wait_s = self._playback.attend()
        if self._board is not None and self._board.poll() is not None:
            self._console.write(f"firmware ended with status {self._board.returncode}\n".encode())
            self._console.flush()
            self.power_off()
            time.sleep(REBOOT_S)  # a board's boot takes its time too, and must not spin
            self.power_on("program ended")
        return wait_s

    # --- what the other side asks for ---

    def obey(self, word: str) -> dict[str, object]:
        """Do what one line says."""
        match word.split():
            case ["reset", cause]:
                self.power_off()
                self.power_on(cause)
            case ["unplug"]:
                self.unplug()
            case ["plug"]:
                self.plug()
            case ["hang"]:
                self._signal(signal.SIGSTOP)
            case ["wake"]:
                self._signal(signal.SIGCONT)
            case _:
                return {"error": f"{word!r}, expected reset CAUSE, unplug, plug, hang or wake"}
        return {"port": self.port}

    def _signal(self, number: signal.Signals) -> None:
        if self._board is not None:
            self._board.send_signal(number)

    def close(self) -> None:
        """Switch all off."""
        self.unplug()
        self._console.close()
