"""``python -m scripts.virtual_pi.bus_bench``, in the guest: how fast the virtual bus is, and how even.

Prints transfers a second and their times, with the adapter in this process and in one of its own, how
late a thread wakes up, and what the kernel says of each fault.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from smbus2 import SMBus, i2c_msg

from scripts.virtual_pi.usbip import Adapter, Fault

ADDRESS = 0x53
NOBODY = 0x11
BENCH_S = 4.0


class Registers:
    """A chip that is nothing but 256 registers."""

    def __init__(self) -> None:
        self._registers = bytes(range(256)) * 2
        self._at = 0

    def write(self, data: bytes) -> bool:
        """Set the pointer."""
        if data:
            self._at = data[0]
        return True

    def read(self, count: int) -> bytes:
        """Return registers from the pointer on."""
        return self._registers[self._at : self._at + count]


def combined(bus: SMBus, count: int, address: int = ADDRESS) -> None:
    """Write a register's number and read from it on, in one transfer."""
    read = i2c_msg.read(address, count)
    bus.i2c_rdwr(i2c_msg.write(address, b"\0"), read)


def percentiles(times_s: list[float]) -> str:
    """Say how these times are distributed, in microseconds."""
    ordered = sorted(times_s)
    at = [ordered[int(part * (len(ordered) - 1))] * 1e6 for part in (0.5, 0.99, 0.999, 1)]
    return "p50 {:.0f}, p99 {:.0f}, p99.9 {:.0f}, max {:.0f} µs".format(*at)


def rate(what: str, transfer: Callable[[], object]) -> None:
    """Print how often `transfer` can be done in a second."""
    times_s = []
    began_s = now_s = time.perf_counter()
    while now_s - began_s < BENCH_S:
        before_s = now_s
        transfer()
        now_s = time.perf_counter()
        times_s.append(now_s - before_s)
    print(f"  {what:42} {len(times_s) / (now_s - began_s):7.0f}/s   {percentiles(times_s)}", flush=True)


def wake_ups(what: str, pause_s: float, priority: int | None) -> None:
    """Print how late a thread wakes up that sleeps until points of a grid."""
    late_s: list[float] = []

    def sleep() -> None:
        if priority is not None:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
        next_s = time.monotonic()
        for _ in range(int(BENCH_S / pause_s)):
            next_s += pause_s
            time.sleep(max(0.0, next_s - time.monotonic()))
            late_s.append(time.monotonic() - next_s)

    thread = threading.Thread(target=sleep)
    thread.start()
    thread.join()
    print(f"  {what:42}           late by {percentiles(late_s)}", flush=True)


def serve_alone(ready: multiprocessing.synchronize.Event, end: multiprocessing.synchronize.Event) -> None:
    """Hold the adapter in a process of its own."""
    with Adapter({ADDRESS: Registers()}):
        ready.set()
        end.wait()


@contextlib.contextmanager
def own_process() -> Iterator[int]:
    """Give the number of a bus whose adapter is in another process."""
    context = multiprocessing.get_context("spawn")
    ready, end = context.Event(), context.Event()
    process = context.Process(target=serve_alone, args=(ready, end))
    process.start()
    ready.wait()
    time.sleep(0.5)
    [found] = Path("/sys/devices/platform/vhci_hcd.0").glob("usb*/*-1/*/i2c-*")
    try:
        yield int(found.name.removeprefix("i2c-"))
    finally:
        end.set()
        process.join()


def speed(bus: SMBus) -> None:
    """Print the rates of this bus."""
    rate("write 1, read 1", lambda: combined(bus, 1))
    rate("write 1, read 6", lambda: combined(bus, 6))
    rate("write 1, read 96", lambda: combined(bus, 96))
    rate("smbus read_byte_data", lambda: bus.read_byte_data(ADDRESS, 0))
    rate("write 2", lambda: bus.i2c_rdwr(i2c_msg.write(ADDRESS, b"\0\0")))


def said(action: Callable[[], object]) -> str:
    """Return what the kernel says of a transfer, and how long it took."""
    before_s = time.monotonic()
    try:
        action()
        name = "works"
    except OSError as error:
        number = error.errno or 0
        name = f"{errno.errorcode.get(number)} ({number})"
    return f"{name} after {(time.monotonic() - before_s) * 1e3:.1f} ms"


def faults(adapter: Adapter, bus: SMBus) -> None:
    """Print what the kernel makes of every fault, and of a pulled cable."""
    print("faults", flush=True)
    print(f"  no chip at the address: {said(lambda: combined(bus, 1, NOBODY))}")
    for fault in Fault:
        adapter.fail(fault)
        before_s = time.monotonic()
        print(f"  {fault.value}: {said(lambda: combined(bus, 1))}; then", end=" ", flush=True)
        adapter.fail(Fault.NONE)
        print(f"{said(lambda: combined(bus, 1))}", flush=True)
        assert time.monotonic() - before_s < 10
    number = adapter.bus
    before_s = time.monotonic()
    adapter.detach()
    print(
        f"  detached in {(time.monotonic() - before_s) * 1e3:.0f} ms; {adapter.path} is there: "
        f"{adapter.path.exists()}; open file: {said(lambda: combined(bus, 1))}",
        flush=True,
    )
    print(f"  opening it: {said(lambda: SMBus(number))}", flush=True)
    timer = threading.Timer(3.0, bus.close)
    timer.start()
    before_s = time.monotonic()
    again = adapter.attach()
    print(
        f"  attached while the old file is open (closed after 3 s): bus {number} is now {again}, "
        f"after {time.monotonic() - before_s:.1f} s"
    )
    timer.join()
    with SMBus(again) as fresh:
        print(f"  and {said(lambda: combined(fresh, 1))}")
    for _ in range(3):
        before_s = time.monotonic()
        adapter.detach()
        middle_s = time.monotonic()
        again = adapter.attach()
        print(
            f"  closed, detached in {(middle_s - before_s) * 1e3:.0f} ms, attached in "
            f"{(time.monotonic() - middle_s) * 1e3:.0f} ms: bus {again}"
        )


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="rates in this process alone")
    arguments = parser.parse_args()
    print(f"clock: {Path('/sys/devices/system/clocksource/clocksource0/current_clocksource').read_text()}")
    if not arguments.short:
        print("wake-ups of a thread")
        wake_ups("every 10 ms", 0.01, None)
        wake_ups("every 10 ms, SCHED_FIFO", 0.01, 40)
        wake_ups("every 1 ms, SCHED_FIFO", 0.001, 40)
    print("adapter in this process")
    with Adapter({ADDRESS: Registers()}) as adapter:
        bus = SMBus(adapter.bus)
        speed(bus)
        print("the same, this thread on the adapter's processor")
        everywhere = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {adapter.cpu})
        speed(bus)
        os.sched_setaffinity(0, everywhere)
        if not arguments.short:
            faults(adapter, bus)
        bus.close()
    if not arguments.short:
        print("adapter in a process of its own")
        with own_process() as number, SMBus(number) as bus:
            speed(bus)
            print("the same, this thread on the adapter's processor")
            os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
            speed(bus)


if __name__ == "__main__":
    main()
