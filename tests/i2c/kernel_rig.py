"""A real kernel bus in real time, in the virtual Pi, with the same models behind it as everywhere."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from agent.sources.i2c_bus import wait_until
from agent.sources.i2c_port import Bus, open_kernel_bus
from scripts.virtual_pi.chips.base import Chip
from scripts.virtual_pi.chips.wire import Wire
from scripts.virtual_pi.usbip import Adapter, Fault

READER_PRIORITY = 40  # below the adapter's
# else the kernel takes the processor from both, for 50 ms, after a second in which they hardly rested
THROTTLE = Path("/proc/sys/kernel/sched_rt_runtime_us")


class KernelRig:
    """`/dev/i2c-N` of an adapter whose thread runs beside the reader's; a context manager."""

    simulated = False
    speed_hz = 100_000
    latency_ms = 60.0  # under emulation a look costs twenty times what it costs a Pi

    def __init__(self) -> None:
        self.wire = Wire()
        self.adapter = Adapter(self.wire)
        self.path = ""

    def __enter__(self) -> Self:
        self.adapter.attach()
        self.path = str(self.adapter.path)
        # beside the adapter's thread: waking another processor is what takes an emulator longest
        self._processors = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {self.adapter.cpu})
        self._throttle = THROTTLE.read_text()
        THROTTLE.write_text("-1")
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(READER_PRIORITY))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        os.sched_setaffinity(0, self._processors)
        THROTTLE.write_text(self._throttle)
        self.adapter.detach()

    def put(self, chips: Iterable[Chip]) -> None:
        self.wire.chips[:] = list(chips)
        time.sleep(0.05)  # they have been powered for a while

    def now_ns(self) -> int:
        return time.monotonic_ns()

    def wait(self, due_ns: int, stop: threading.Event) -> None:
        wait_until(due_ns, stop)

    def open_bus(self, path: str, timeout_ms: int) -> Bus:
        return open_kernel_bus(path, timeout_ms)

    def pull(self) -> None:
        # the kernel waits for the reader to let go, and this is the reader's thread
        threading.Thread(target=self.adapter.detach, daemon=True).start()

    def plug(self) -> None:
        threading.Thread(target=self.adapter.attach, daemon=True).start()

    def hold_down(self) -> None:
        self.adapter.fail(Fault.STALL)

    def let_go(self) -> None:
        self.adapter.fail(Fault.NONE)

    def hold_up(self, for_ns: int) -> None:
        time.sleep(for_ns / 1e9)
