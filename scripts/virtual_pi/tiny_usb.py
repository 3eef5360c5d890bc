"""The i2c-tiny-usb adapter as its USB cable sees it: requests in, answers out, no kernel.

The framing is USB/IP's, in which the kernel's virtual USB host hands requests on. Sources:
Documentation/usb/usbip_protocol.rst and drivers/i2c/busses/i2c-tiny-usb.c of Linux 6.1.
"""

from __future__ import annotations

import enum
import errno
import socket
import struct
from collections.abc import Mapping
from typing import Protocol

# USB/IP, all big-endian: command, number, device, direction, endpoint; for SUBMIT: flags, length, first
# frame, packets, interval; then the 8 bytes of the USB setup packet, little-endian.
HEAD_BYTES = 48
SUBMIT_HEAD = struct.Struct(">II4xI8xI")  # command, number, direction, length
SETUP = struct.Struct("<BBHHH")  # request type, request, value, index, length; USB 2.0, table 9-2
SETUP_OFFSET = 40
RETURN_HEAD = struct.Struct(">5IiIIII8x")  # the five; then status, length, first frame, packets, errors
UNLINKED_HEAD = struct.Struct(">5Ii24x")
CMD_SUBMIT, CMD_UNLINK, RET_SUBMIT, RET_UNLINK = 1, 2, 3, 4
NOT_ISOCHRONOUS = 0xFFFFFFFF
TO_HOST = 1

# USB 2.0, tables 9-3, 9-4 and 9-5
STANDARD, TYPE_MASK = 0x00, 0x60
GET_STATUS, GET_DESCRIPTOR, GET_CONFIGURATION = 0, 6, 8
DEVICE, CONFIGURATION, STRING = 1, 2, 3

# i2c-tiny-usb.c: commands, functionality, states
ECHO, GET_FUNC, SET_DELAY, GET_STATE = 0, 1, 2, 3
IO, IO_BEGIN, IO_END = 4, 1, 2
LAST_IO = IO | IO_BEGIN | IO_END
FUNCTIONALITY = 0x0EFF0009  # I2C_FUNC_I2C | I2C_FUNC_SMBUS_EMUL of <linux/i2c.h>
ADDRESS_ACKNOWLEDGED, ADDRESS_REFUSED = b"\1", b"\2"
READ = 1  # I2C_M_RD

# UM10204, 3.1.4 and 3.1.5: eight bits and an acknowledgement; starts and stops take about a bit each
BITS_PER_BYTE, START_BITS, STOP_BITS = 9, 1, 1

DEVICE_DESCRIPTOR = struct.pack(
    "<BBHBBBBHHHBBBB", 18, DEVICE, 0x0110, 0xFF, 0, 0, 8, 0x0403, 0xC631, 0x0200, 1, 2, 0, 1
)
CONFIGURATION_DESCRIPTOR = struct.pack("<BBHBBBBB", 9, CONFIGURATION, 18, 1, 1, 0, 0x80, 50) + struct.pack(
    "<BBBBBBBBB", 9, 4, 0, 0, 0, 0, 0, 0, 0
)
LANGUAGES = b"\x04\x03\x09\x04"  # English


def _string(text: str) -> bytes:
    encoded = text.encode("utf-16-le")
    return bytes((len(encoded) + 2, STRING)) + encoded


STRINGS = {0: LANGUAGES, 1: _string("cargobox"), 2: _string("i2c-tiny-usb")}


class Wires(Protocol):
    """What the adapter is soldered to: all chips, as one bus. False, or None, is a NACK."""

    def write(self, address: int, data: bytes) -> bool:
        """Send one write message; nothing at all is the question whether somebody is there."""
        ...

    def read(self, address: int, count: int) -> bytes | None:
        """Ask for one read message of `count` bytes."""
        ...

    def stop(self) -> None:
        """Send the STOP that ends a transfer."""
        ...


class Chip(Protocol):
    """One chip that does not care about STOP."""

    def write(self, data: bytes) -> bool:
        """Take one write message."""
        ...

    def read(self, count: int) -> bytes | None:
        """Give one read message of `count` bytes."""
        ...


class ByAddress:
    """Wires to chips that are known by their 7-bit address, and to nothing else."""

    def __init__(self, chips: Mapping[int, Chip]) -> None:
        self.chips = chips

    def write(self, address: int, data: bytes) -> bool:
        """Send one write message."""
        chip = self.chips.get(address)
        return chip is not None and chip.write(data)

    def read(self, address: int, count: int) -> bytes | None:
        """Ask for one read message."""
        chip = self.chips.get(address)
        return None if chip is None else chip.read(count)

    def stop(self) -> None:
        """Do nothing."""


class Fault(enum.Enum):
    """What the whole bus can be told to do instead of its work; and what the kernel then says."""

    NONE = "none"
    NACK = "nack"  # no chip answers, as for an address without a chip: ENXIO
    STALL = "stall"  # no answer, as from a bus whose SDA is held low: EIO after the driver's 2 s
    EIO = "eio"  # a transfer that breaks off, as after a lost arbitration: EIO at once


class Traffic:
    """What has passed over the bus."""

    __slots__ = ("bits", "bytes", "messages", "nacks", "spoiled", "transfers")

    def __init__(self) -> None:
        self.transfers = 0  # from a start to a stop, repeated starts included
        self.messages = 0
        self.bytes = 0
        self.bits = 0  # on a real wire: 9 a byte, the address too, and starts and stops
        self.nacks = 0
        self.spoiled = 0  # messages that met a fault of the whole bus

    def bus_s(self, clock_hz: float) -> float:
        """Return how long a real bus would have been busy."""
        return self.bits / clock_hz


class TinyUsb:
    """The adapter's side of the USB cable: bytes in, bytes out; knows no kernel."""

    def __init__(self, wires: Wires | Mapping[int, Chip]) -> None:
        self.wires: Wires = ByAddress(wires) if isinstance(wires, Mapping) else wires
        self.fault = Fault.NONE
        self.fault_messages: int | None = None  # how many more meet the fault; None: all
        self.traffic = Traffic()
        self._state = ADDRESS_ACKNOWLEDGED

    def fail(self, fault: Fault, messages: int | None = None) -> None:
        """Let the whole bus meet a fault: for so many messages, or until it is told otherwise."""
        self.fault = Fault.NONE  # the serving thread must not see the new fault with the old count
        self.fault_messages = messages
        self.fault = fault

    def serve(self, cable: socket.socket) -> None:
        """Answer until the other end is gone."""
        waiting = bytearray()
        while True:
            try:
                data = cable.recv(1 << 16)
            except OSError:
                return
            if not data:
                return
            if waiting:
                data = bytes(waiting + data)
                waiting.clear()
            at = 0
            while len(data) - at >= HEAD_BYTES:
                command, number, direction, length = SUBMIT_HEAD.unpack_from(data, at)
                begin = at + HEAD_BYTES
                end = begin + (length if command == CMD_SUBMIT and direction != TO_HOST else 0)
                if len(data) < end:
                    break
                reply = self._answer(command, number, direction, length, data, at, data[begin:end])
                at = end
                if reply:
                    try:
                        cable.sendall(reply)
                    except OSError:
                        return
            waiting += data[at:]

    def _answer(
        self, command: int, number: int, direction: int, length: int, data: bytes, at: int, sent: bytes
    ) -> bytes:
        if command == CMD_UNLINK:
            # asked for when the driver has waited long enough; there is an answer only to this, then
            return UNLINKED_HEAD.pack(RET_UNLINK, number, 0, 0, 0, -errno.ECONNRESET)
        answer = self._control(SETUP.unpack_from(data, at + SETUP_OFFSET), sent)
        if answer is None:
            return b""
        status, found = answer
        if status:
            found, length = b"", 0
        elif direction == TO_HOST:
            length = len(found)
        return RETURN_HEAD.pack(RET_SUBMIT, number, 0, 0, 0, status, length, 0, NOT_ISOCHRONOUS, 0) + found

    def _control(self, setup: tuple[int, ...], sent: bytes) -> tuple[int, bytes] | None:
        """Return the status and the data for the host, or None for a silence."""
        kind, request, value, index, length = setup
        if kind & TYPE_MASK == STANDARD:
            return self._standard(request, value, length)
        if request == GET_STATE:
            return 0, self._state
        if IO <= request <= LAST_IO:
            return self._transfer(request, value, index, length, sent)
        if request == GET_FUNC:
            return 0, struct.pack("<L", FUNCTIONALITY)[:length]
        if request == ECHO:
            return 0, struct.pack("<H", value)[:length]
        if request == SET_DELAY:
            return 0, b""
        return -errno.EPIPE, b""

    def _standard(self, request: int, value: int, length: int) -> tuple[int, bytes]:
        if request == GET_DESCRIPTOR:
            kind, index = value >> 8, value & 0xFF
            found = {DEVICE: DEVICE_DESCRIPTOR, CONFIGURATION: CONFIGURATION_DESCRIPTOR}.get(kind)
            if kind == STRING:
                found = STRINGS.get(index)
            return (0, found[:length]) if found else (-errno.EPIPE, b"")
        if request == GET_STATUS:
            return 0, b"\0\0"[:length]
        if request == GET_CONFIGURATION:
            return 0, b"\1"
        return 0, b""  # set address, set configuration, set interface

    def _transfer(
        self, request: int, flags: int, address: int, length: int, sent: bytes
    ) -> tuple[int, bytes] | None:
        traffic = self.traffic
        traffic.messages += 1
        traffic.transfers += request & IO_BEGIN
        traffic.bits += START_BITS + BITS_PER_BYTE + (STOP_BITS if request & IO_END else 0)
        fault = self.fault
        if fault is not Fault.NONE:
            self._spend_fault()
            if fault is Fault.STALL:
                return None
            if fault is Fault.EIO:
                return -errno.EIO, b""
        answer: bytes | None = None
        if fault is Fault.NONE:
            if flags & READ:
                answer = self.wires.read(address, length)
            elif self.wires.write(address, sent):
                answer = b""
            if answer is None or request & IO_END:
                # the driver gives up a transfer at the first NACK
                self.wires.stop()
        if answer is None:
            traffic.nacks += 1
            self._state = ADDRESS_REFUSED
            return 0, bytes(length) if flags & READ else b""
        self._state = ADDRESS_ACKNOWLEDGED
        traffic.bytes += length
        traffic.bits += BITS_PER_BYTE * length
        return 0, answer

    def _spend_fault(self) -> None:
        self.traffic.spoiled += 1
        if self.fault_messages is not None:
            self.fault_messages -= 1
            if self.fault_messages <= 0:
                self.fault, self.fault_messages = Fault.NONE, None
