"""The ESP32 as the module `board`: the cable is UART 0 behind the board's USB bridge.

MicroPython's ports/esp32/uart.c: standard output goes straight to the UART's FIFO of 128 bytes, and
waits while that is full. Nothing says how full it is, but a UART is as regular as a clock: what was
written a while ago has left. So we never write more than has room, and never wait.
"""

import sys
import time

import machine
from board_common import CONFIGURATION, CommonBoard
from wiring import Pins, Wiring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sensors.base import Told

BAUD = 921_600  # as firmware_bridge/port.py opens it
US_PER_16_BYTES = 16 * 10_000_000 // BAUD + 1  # ten bits a byte
FIFO_BYTES = 128  # ESP32 technical reference manual 13.3.3
LONG_US = 4 * 8 * US_PER_16_BYTES  # by then it is empty
LEAVE_MS = 10
OTHER_CHIPS = ("ESP32S", "ESP32-S", "ESP32C", "ESP32-C", "ESP32H", "ESP32-H", "ESP32P", "ESP32-P")
VOLTS_PER_COUNT = 1e-4
LARGEST = 30_500  # the converter ends somewhere between 3.05 and 3.15 V

PINS = Pins(  # 6 to 11 belong to the flash, 1 and 3 to the cable, 34 to 39 can only listen
    inputs={0, 2, 4, 5} | set(range(12, 24)) | {25, 26, 27} | set(range(32, 40)),
    outputs={0, 2, 4, 5} | set(range(12, 24)) | {25, 26, 27, 32, 33},
    analog=set(range(32, 40)),  # the second converter shares its pins with the radio
)

DEFAULTS = """{
"buses": {"i2c0": {"sda": 21, "scl": 22}, "spi2": {"sck": 18, "mosi": 23, "miso": 19}},
"sensors": [
{"chip": "adxl345", "bus": "spi2", "select": 5, "rate_hz": 800},
{"chip": "hx711", "clock": 25, "data": [26, 27, 32, 33], "capacity_kg": 50},
{"chip": "bme280", "bus": "i2c0"},
{"chip": "analog", "pin": 34, "pa_per_v": 5000, "divider": 1.5},
{"chip": "switch", "pin": 4}
]}"""


class Esp32Wiring(Wiring):
    """What an ESP32 does in its own way."""

    def __init__(self, faults: "list[Told]") -> None:
        super().__init__(PINS, faults)

    def analog(self, pin: int) -> "tuple[Any, float, int]":
        """Its converter is not straight; read_uv() puts that right with what the factory measured."""
        adc = machine.ADC(machine.Pin(pin), atten=machine.ADC.ATTN_11DB)

        def read() -> int:
            return adc.read_uv() // 100

        return read, VOLTS_PER_COUNT, LARGEST


class Board(CommonBoard):
    """A board with the ESP32."""

    ring_bytes = 32_768  # of 110 KB of heap: 1.3 s of everything at the fastest

    def __init__(self) -> None:
        faults: "list[Told]" = []
        chip = getattr(sys.implementation, "_machine", "")
        if any(other in chip for other in OTHER_CHIPS):
            faults.append((CONFIGURATION, "starting", chip, "an ESP32: this one has other pins"))
        super().__init__("esp32", Esp32Wiring(faults), faults, DEFAULTS)
        machine.UART(0, baudrate=BAUD)
        self._out: "Any" = sys.stdout.buffer  # its write() takes an offset, of which the stubs do not know
        self._room = 0
        self._room_at = time.ticks_us()

    def cause(self) -> str:
        """Return MicroPython's word for it; brown-out is power-on to it."""
        cause = machine.reset_cause()
        words = {
            machine.PWRON_RESET: "power-on",
            machine.HARD_RESET: "reset button",
            machine.WDT_RESET: "watchdog",
            machine.DEEPSLEEP_RESET: "deep sleep",
            machine.SOFT_RESET: "soft",
        }
        return words.get(cause, "unknown")

    def wait(self, timeout_ms: int) -> None:
        """As on every board. poll() would sleep for a whole tick of FreeRTOS: 10 ms, a FIFO's length."""
        begin = time.ticks_ms()
        while not self.something_came() and time.ticks_diff(time.ticks_ms(), begin) < timeout_ms:
            time.sleep_ms(1)

    def reset(self) -> None:
        """Let the last answer leave before."""
        time.sleep_ms(LEAVE_MS)
        super().reset()

    def write_host(self, buffer: bytearray, begin: int, end: int) -> int:
        """Write what the UART's FIFO has room for."""
        now = time.ticks_us()
        gone_us = time.ticks_diff(now, self._room_at)
        if gone_us >= LONG_US or gone_us < 0:
            self._room = FIFO_BYTES
            self._room_at = now
        elif gone_us >= US_PER_16_BYTES:
            times = gone_us // US_PER_16_BYTES
            self._room += 16 * times
            self._room_at = time.ticks_add(self._room_at, times * US_PER_16_BYTES)
            if self._room >= FIFO_BYTES:
                self._room = FIFO_BYTES
                self._room_at = now  # an empty FIFO saves nothing up
        count = min(end - begin, self._room)
        if count <= 0:
            return 0
        self._out.write(buffer, begin, count)
        self._room -= count
        return count
