"""The RP2040 as the module `board`: the cable is its own USB; load cells are read by its PIO.

USB's serial port, MicroPython's shared/tinyusb/mp_usbd_cdc.c: a write of at most 64 bytes waits, up to
half a second, until as much room is in a buffer of 256; poll says only whether a single byte is free.
So each write is a whole packet of 64 bytes: then the free room is always a multiple of 64, and where a
byte is free a packet is. Behind the end of a frame a packet is filled with zeros, which mean nothing there.
"""

import select
import sys
import time

import machine
from board_common import CommonBoard
from packing import copy_from, fill
from sensors.base import Sensor
from wiring import Pins, Wiring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sensors.base import Told

PACKET_BYTES = 64  # of USB at full speed
LEAVE_MS = 50  # what was written reaches the host before a reset
MOST_STATE_MACHINES = 8
CHIP_RESET = 0x40064008  # RP2040 datasheet 2.12.7, CHIP_RESET
HAD_RUN = 1 << 16  # the last reset came from the RUN pin
REFERENCE_V = 3.3  # ADC_AVDD
LARGEST = 32767

PINS = Pins(
    inputs=set(range(30)),
    outputs=set(range(30)),
    analog={26, 27, 28, 29},
)

DEFAULTS = """{
"buses": {"i2c0": {"sda": 4, "scl": 5}, "spi0": {"sck": 18, "mosi": 19, "miso": 16}},
"sensors": [
{"chip": "adxl345", "bus": "spi0", "select": 17, "rate_hz": 1600},
{"chip": "hx711", "clock": 9, "data": [10, 11, 12, 13], "capacity_kg": 50},
{"chip": "bme280", "bus": "i2c0"},
{"chip": "analog", "pin": 26, "pa_per_v": 5000, "divider": 1.5},
{"chip": "switch", "pin": 22}
]}"""


class Rp2Wiring(Wiring):
    """What an RP2040 does in its own way."""

    def __init__(self, faults: "list[Told]") -> None:
        super().__init__(PINS, faults)
        self._state_machines = 0

    def analog(self, pin: int) -> "tuple[Any, float, int]":
        """12 bits, which MicroPython stretches to 16; we take 15, which are signed."""
        adc = machine.ADC(machine.Pin(pin))

        def read() -> int:
            return adc.read_u16() >> 1

        return read, REFERENCE_V / LARGEST, LARGEST

    def cells(
        self, place: str, streams: "list[dict[str, Any]]", clock: int, data: "list[int]", gain: int
    ) -> Sensor:
        """Read by a state machine where the data pins follow one another, else by the program."""
        for i in range(len(data)):
            if data[i] != data[0] + i:
                return super().cells(place, streams, clock, data, gain)
        from sensors.hx711_pio import PioCells

        number = self._state_machines
        if number >= MOST_STATE_MACHINES:
            return super().cells(place, streams, clock, data, gain)
        self._state_machines += 4  # one in each half of the PIO: two programs do not fit into one
        return PioCells(place, streams, self._faults, clock, data[0], len(data), gain, number)


class Board(CommonBoard):
    """A Raspberry Pi Pico or another board with the RP2040."""

    ring_bytes = 65_536  # of 190 KB of heap: 2.5 s of everything at the fastest

    def __init__(self) -> None:
        faults: "list[Told]" = []
        super().__init__("rp2", Rp2Wiring(faults), faults, DEFAULTS)
        self._out = sys.stdout.buffer
        self._out_poll = select.poll()
        self._out_poll.register(sys.stdout, select.POLLOUT)
        self._packet = bytearray(PACKET_BYTES)
        self._filled = 0

    def cause(self) -> str:
        """Power-on and brown-out are one bit in this chip; a reset of our own is a watchdog's to it."""
        if machine.reset_cause() == machine.WDT_RESET:
            return "watchdog"
        if "RP2040" in getattr(sys.implementation, "_machine", "") and machine.mem32[CHIP_RESET] & HAD_RUN:
            return "reset button"
        return "power-on"

    def _leave(self) -> bool:
        """Write the packet if it is full and there is room; return whether there is one to fill."""
        if self._filled < PACKET_BYTES:
            return True
        for _ in self._out_poll.ipoll(0):
            self._filled = 0
            self._out.write(self._packet)
            return True
        return False

    def write_host(self, buffer: bytearray, begin: int, end: int) -> int:
        """Fill packets while there is room for them; a frame that ends is on its way at once."""
        at = begin
        while at < end and self._leave():
            count = min(PACKET_BYTES - self._filled, end - at)
            self._filled = copy_from(buffer, at, at + count, self._packet, self._filled)
            at += count
        if at == end and end > begin and buffer[end - 1] == 0:
            self._filled = fill(self._packet, self._filled, PACKET_BYTES)
        self._leave()
        return at - begin

    def wait(self, timeout_ms: int) -> None:
        """As on every board; and what the host had no room for may have some now."""
        self._leave()
        super().wait(timeout_ms)

    def reset(self) -> None:
        """Let the last answer leave before."""
        self._leave()
        time.sleep_ms(LEAVE_MS)
        super().reset()
