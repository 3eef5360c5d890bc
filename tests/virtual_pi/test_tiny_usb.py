"""The virtual I2C adapter as the kernel's driver would use it, over a socket and without a kernel."""

from __future__ import annotations

import errno
import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from scripts.virtual_pi.tiny_usb import Fault, TinyUsb

FUNC, STATE, IO, BEGIN, END = 1, 3, 4, 1, 2  # i2c-tiny-usb.c
VENDOR_IN, VENDOR_OUT = 0xC1, 0x41
READ = 1
ADDRESS = 0x53
ACKNOWLEDGED, REFUSED = b"\1", b"\2"


class Registers:
    """A bus with one chip of 256 registers, that remembers what it saw."""

    def __init__(self) -> None:
        self.registers = bytearray(range(256))
        self.at = 0
        self.seen: list[tuple[object, ...]] = []

    def write(self, address: int, data: bytes) -> bool:
        self.seen.append(("write", address, data))
        if address != ADDRESS:
            return False
        if data:
            self.at = data[0]
            self.registers[self.at : self.at + len(data) - 1] = data[1:]
        return True

    def read(self, address: int, count: int) -> bytes | None:
        self.seen.append(("read", address, count))
        return bytes(self.registers[self.at : self.at + count]) if address == ADDRESS else None

    def stop(self) -> None:
        self.seen.append(("stop",))


class Driver:
    """The other end of the cable: what vhci-hcd sends for the driver's requests."""

    def __init__(self, cable: socket.socket) -> None:
        self._cable = cable
        self._number = 0

    def ask(self, request: int, value: int, index: int, count: int) -> tuple[int, bytes]:
        self.submit(VENDOR_IN, request, value, index, count, b"")
        return self.answer()

    def tell(self, request: int, value: int, index: int, data: bytes) -> tuple[int, int]:
        self.submit(VENDOR_OUT, request, value, index, len(data), data)
        status, length, _ = self._head()
        return status, length

    def submit(self, kind: int, request: int, value: int, index: int, length: int, data: bytes) -> int:
        self._number += 1
        head = struct.pack(">10I", 1, self._number, 1 << 16 | 1, kind >> 7, 0, 0, length, 0, 0xFFFFFFFF, 0)
        self._cable.sendall(head + struct.pack("<BBHHH", kind, request, value, index, length) + data)
        return self._number

    def unlink(self, number: int) -> int:
        """Give a request up; return the status that answers."""
        self._number += 1
        self._cable.sendall(struct.pack(">6I24x", 2, self._number, 0, 0, 0, number))
        command, answered, _, _, _, status = struct.unpack(">5Ii24x", self._receive(48))
        assert (command, answered) == (4, self._number), f"answer {command} to request {answered}"
        return int(status)

    def answer(self) -> tuple[int, bytes]:
        status, length, _ = self._head()
        return status, self._receive(length)

    def _head(self) -> tuple[int, int, int]:
        command, number, _, _, _, status, length = struct.unpack(">5IiI", self._receive(48)[:28])
        assert (command, number) == (3, self._number), f"answer {command} to request {number}"
        return status, length, number

    def _receive(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = self._cable.recv(count - len(data))
            assert piece, f"the adapter hung up after {len(data)} of {count} bytes"
            data += piece
        return data


@pytest.fixture
def wires() -> Registers:
    return Registers()


@pytest.fixture
def adapter(wires: Registers) -> TinyUsb:
    return TinyUsb(wires)


@pytest.fixture
def driver(adapter: TinyUsb) -> Iterator[Driver]:
    ours, theirs = socket.socketpair()
    ours.settimeout(10)
    thread = threading.Thread(target=adapter.serve, args=(theirs,))
    thread.start()
    with theirs, ours:
        yield Driver(ours)
        ours.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_it_is_the_adapter_that_the_driver_looks_for(driver: Driver) -> None:
    driver.submit(0x80, 6, 1 << 8, 0, 18, b"")
    status, descriptor = driver.answer()
    assert status == 0
    assert struct.unpack_from("<HH", descriptor, 8) == (0x0403, 0xC631), descriptor.hex()


def test_it_does_plain_i2c(driver: Driver) -> None:
    status, functions = driver.ask(FUNC, 0, 0, 4)
    assert (status, int.from_bytes(functions, "little") & 1) == (0, 1), functions.hex()


def test_write_then_read_is_one_transfer(driver: Driver, adapter: TinyUsb, wires: Registers) -> None:
    assert driver.tell(IO | BEGIN, 0, ADDRESS, b"\x32") == (0, 1)
    assert driver.ask(STATE, 0, 0, 1) == (0, ACKNOWLEDGED)
    assert driver.ask(IO | END, READ, ADDRESS, 6) == (0, bytes(range(0x32, 0x38)))
    assert driver.ask(STATE, 0, 0, 1) == (0, ACKNOWLEDGED)
    assert wires.seen == [("write", ADDRESS, b"\x32"), ("read", ADDRESS, 6), ("stop",)]
    traffic = adapter.traffic
    assert (traffic.transfers, traffic.messages, traffic.bytes, traffic.nacks) == (1, 2, 7, 0)
    # two starts, two addresses, seven bytes, one stop
    assert traffic.bits == 2 + 9 * (2 + 7) + 1
    assert traffic.bus_s(400_000) == pytest.approx(traffic.bits / 400e3)


def test_a_nack_ends_the_transfer(driver: Driver, adapter: TinyUsb, wires: Registers) -> None:
    assert driver.tell(IO | BEGIN, 0, 0x11, b"\0") == (0, 1)
    assert driver.ask(STATE, 0, 0, 1) == (0, REFUSED)
    assert wires.seen == [("write", 0x11, b"\0"), ("stop",)]
    assert adapter.traffic.nacks == 1


def test_the_whole_bus_refuses_for_as_long_as_it_was_told(driver: Driver, adapter: TinyUsb) -> None:
    adapter.fail(Fault.NACK, 2)
    states = []
    for _ in range(3):
        driver.ask(IO | BEGIN | END, READ, ADDRESS, 1)
        states.append(driver.ask(STATE, 0, 0, 1)[1])
    assert states == [REFUSED, REFUSED, ACKNOWLEDGED]
    assert adapter.traffic.spoiled == 2


def test_a_transfer_that_breaks_off(driver: Driver, adapter: TinyUsb) -> None:
    adapter.fail(Fault.EIO, 1)
    assert driver.ask(IO | BEGIN | END, READ, ADDRESS, 4) == (-errno.EIO, b"")
    assert driver.ask(IO | BEGIN | END, READ, ADDRESS, 4)[0] == 0


def test_a_stall_is_answered_only_when_it_is_given_up(driver: Driver, adapter: TinyUsb) -> None:
    adapter.fail(Fault.STALL, 1)
    number = driver.submit(VENDOR_IN, IO | BEGIN | END, READ, ADDRESS, 4, b"")
    assert driver.unlink(number) == -errno.ECONNRESET
    assert driver.ask(IO | BEGIN | END, READ, ADDRESS, 4)[0] == 0


def test_pieces_of_any_size_are_put_together(wires: Registers) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        thread = threading.Thread(target=TinyUsb(wires).serve, args=(theirs,))
        thread.start()
        head = struct.pack(">10I", 1, 1, 0, 0, 0, 0, 3, 0, 0xFFFFFFFF, 0)
        request = head + struct.pack("<BBHHH", VENDOR_OUT, IO | BEGIN | END, 0, ADDRESS, 3) + b"\x10\xab\xcd"
        for byte in request:
            ours.send(bytes([byte]))
        ours.settimeout(10)
        assert len(ours.recv(48, socket.MSG_WAITALL)) == 48
        ours.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert wires.registers[0x10:0x12] == b"\xab\xcd"
