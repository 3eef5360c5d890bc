"""A real I2C bus in the guest whose chips are Python objects: an ``i2c-tiny-usb`` adapter over USB/IP.

The kernel's virtual USB host (``vhci-hcd``) hands the requests for a USB device to a socket. Behind it
stands this program, as the adapter (``tiny_usb``), whose driver gives a ``/dev/i2c-N`` with every transfer
that smbus2 knows. To detach the device is to pull the cable.

Runs in the guest, as root: as a thread beside the chips' models in one process, or as one of its own
(``bus_process``). Source: tools/usb/usbip and drivers/usb/usbip/vhci_sysfs.c of Linux 6.1.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from firmware_bridge.errors import FourPartError
from scripts.virtual_pi.tiny_usb import ByAddress, Chip, Fault, TinyUsb, Traffic, Wires

__all__ = ["Adapter", "ByAddress", "Chip", "Fault", "Traffic", "Wires"]

VHCI = Path("/sys/devices/platform/vhci_hcd.0")
I2C_DEVICES = Path("/sys/class/i2c-dev")
KERNEL_MODULES = ("vhci-hcd", "i2c-tiny-usb", "i2c-dev")
FULL_SPEED = 2  # enum usb_device_speed, <linux/usb/ch9.h>
DEVICE_ID = 1 << 16 | 1  # bus and device number at the far end, of which it has but one
PLUG_TIMEOUT_S = 20.0
LOOK_S = 0.01


class Adapter:
    """The adapter, plugged in: a thread that serves it, and the bus that the kernel made of it.

    A context manager. `wires`: a bus of chips, or chips by their 7-bit address. `usb_port` is one of the
    kernel's eight; each adapter needs its own.

    A transfer wakes the thread and two of the kernel's several times, and to wake another processor is what
    takes an emulator longest. So they all run on `cpu`, the last one if it is not given, at `priority`
    (SCHED_FIFO; None leaves it as it is). A thread of the same process that reads the bus does well to run
    there, too.
    """

    def __init__(
        self,
        wires: Wires | Mapping[int, Chip],
        *,
        usb_port: int = 0,
        cpu: int | None = None,
        priority: int | None = 50,
    ) -> None:
        self.device = TinyUsb(wires)
        self.bus = -1
        self._usb_port = usb_port
        self.cpu = max(os.sched_getaffinity(0)) if cpu is None else cpu
        self._priority = priority
        self._thread: threading.Thread | None = None
        self._hand = threading.Lock()  # one at a time puts the cable in or pulls it

    def __enter__(self) -> Self:
        self.attach()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.detach()

    @property
    def path(self) -> Path:
        """The bus's device file; there while the cable is in."""
        return Path(f"/dev/i2c-{self.bus}")

    @property
    def traffic(self) -> Traffic:
        """What has passed, since the adapter was made."""
        return self.device.traffic

    def fail(self, fault: Fault, messages: int | None = None) -> None:
        """Let the whole bus meet a fault: for so many messages, or until it is told otherwise."""
        self.device.fail(fault, messages)

    def attach(self) -> int:
        """Put the cable in; return the number of the bus when its device file can be opened."""
        with self._hand:
            return self._attach()

    def detach(self) -> None:
        """Pull the cable; return when the device file is gone."""
        with self._hand:
            self._detach()

    def _attach(self) -> int:
        if self._thread is not None:
            return self.bus
        if not VHCI.exists() or not I2C_DEVICES.exists():
            subprocess.run(["modprobe", "-a", *KERNEL_MODULES], check=True)
        ours, kernels = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with kernels:  # the kernel keeps a reference of its own
            self._write("attach", f"{self._usb_port} {kernels.fileno()} {DEVICE_ID} {FULL_SPEED}")
        self._thread = threading.Thread(target=self._serve, args=(ours,), daemon=True, name="usbip")
        self._thread.start()
        for thread in _kernel_threads():
            self._favour(thread)
        end_s = time.monotonic() + PLUG_TIMEOUT_S
        while time.monotonic() < end_s:
            found = self._find_bus()
            if found is not None and os.access(f"/dev/i2c-{found}", os.R_OK | os.W_OK):
                self.bus = found
                return found
            time.sleep(LOOK_S)
        self._write("detach", str(self._usb_port))
        self._thread = None
        raise FourPartError(
            f"plugging the virtual I2C adapter into USB port {self._usb_port}",
            got=f"no bus in {PLUG_TIMEOUT_S:.0f} s",
            expected="/dev/i2c-N",
            remedy="A program that still has the old bus open keeps the kernel from making a new one: "
            "end it. `dmesg` says more.",
        )

    def _detach(self) -> None:
        if self._thread is None:
            return
        self._write("detach", str(self._usb_port))
        self._thread.join(PLUG_TIMEOUT_S)
        self._thread = None
        end_s = time.monotonic() + PLUG_TIMEOUT_S
        while self.path.exists() and time.monotonic() < end_s:
            time.sleep(LOOK_S)

    def _serve(self, cable: socket.socket) -> None:
        self._favour(0)
        with cable:
            self.device.serve(cable)

    def _favour(self, thread: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(thread, {self.cpu})
            if self._priority is not None:
                os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(self._priority))

    def _find_bus(self) -> int | None:
        for folder in VHCI.glob(f"usb*/*-{self._usb_port + 1}/*/i2c-*"):
            return int(folder.name.removeprefix("i2c-"))
        return None

    def _write(self, name: str, words: str) -> None:
        try:
            (VHCI / name).write_text(words)
        except OSError as error:
            raise FourPartError(
                f"writing {words!r} to {VHCI / name}",
                got=os.strerror(error.errno or 0),
                expected=f"the kernel to {name} a USB device",
                remedy="This runs as root in the virtual Pi, and each adapter has a USB port of its own.",
            ) from None


def _kernel_threads() -> list[int]:
    """Return those that carry requests between the virtual USB host and its sockets."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (folder / "comm").read_text().strip() in ("vhci_rx", "vhci_tx"):
                found.append(int(folder.name))
    return found
