"""BME280: Bosch's data sheet BST-BME280-DS002; memory map in table 18, modes in 3.3, I2C in 6.2, time in 9.1.

The trimming and raw values of temperature and pressure are those of Bosch's worked example (BMP280 data sheet
BST-BMP280-DS001, 3.12): 25.08 degC, 100653.27 Pa. Those of the humidity are of a real chip's kind. The low
bits of a raw value are always given, whatever the oversampling.

A write message is pairs of register and value (6.2.1): nothing counts on. What is written to ctrl_hum counts
from the next write to ctrl_meas on (5.4.3). A measurement takes the longest time of 9.1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from scripts.virtual_pi.chips.base import NEVER_HZ, RegisterChip, Signal

CALIB_A, CALIB_B = 0x88, 0xE1
DIG_H1 = 0xA1
ID = 0xD0
RESET = 0xE0
CTRL_HUM = 0xF2
STATUS = 0xF3
CTRL_MEAS = 0xF4
CONFIG = 0xF5
DATA, DATA_END = 0xF7, 0xFF

IDENTITY = 0x60
RESET_CODE = 0xB6
SLEEP, FORCED, NORMAL = 0, 1, 3  # 2 is forced as well
COPY_NS = 2_000_000  # start-up, table 1; im_update is set meanwhile
STANDBY_NS = tuple(int(ms * 1e6) for ms in (0.5, 62.5, 125, 250, 500, 1000, 10, 20))  # table 27

TEMPERATURE_TRIM = (27504, 26435, -1000)
PRESSURE_TRIM = (36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000)
HUMIDITY_TRIM = (75, 362, 0, 313, 50, 30)  # dig_H1 to dig_H6
WORKED_EXAMPLE = (519_888, 415_148, 28_000)  # adc_T, adc_P, and a humidity
SKIPPED = (0x80000, 0x80000, 0x8000)  # 5.4.7 to 5.4.9
LARGEST = (0xFFFFF, 0xFFFFF, 0xFFFF)
MOVES = 1024
"""The default signal goes so many counts up from the worked example, which is sample 0, and begins again."""


def trimming() -> dict[int, int]:
    """Return the calibration registers: table 16."""
    found: dict[int, int] = {}
    words = b"".join((word & 0xFFFF).to_bytes(2, "little") for word in TEMPERATURE_TRIM + PRESSURE_TRIM)
    found.update(enumerate(words, CALIB_A))
    h1, h2, h3, h4, h5, h6 = HUMIDITY_TRIM
    found[DIG_H1] = h1
    rest = (h2 & 0xFF, h2 >> 8, h3, h4 >> 4 & 0xFF, h4 & 0x0F | (h5 & 0x0F) << 4, h5 >> 4 & 0xFF, h6 & 0xFF)
    found.update(enumerate(rest, CALIB_B))
    return found


class Bme280(RegisterChip):
    """Registers, forced and normal mode. Axes: adc_T, adc_P, adc_H; `raw` makes every sample the same."""

    default_address = 0x76
    coded_bits = 20

    def __init__(
        self,
        *,
        now_ns: Callable[[], int],
        address: int | None = None,
        rate_error_ppm: float = 0.0,
        signal: Signal | None = None,
    ) -> None:
        super().__init__(
            now_ns=now_ns,
            address=address,
            rate_error_ppm=rate_error_ppm,
            signal=signal or (lambda k: tuple(value + k % MOVES for value in WORKED_EXAMPLE)),
        )

    @property
    def raw(self) -> tuple[int, ...]:
        """What the next sample will be; may be set."""
        return self.signal(self._made)

    @raw.setter
    def raw(self, values: tuple[int, int, int]) -> None:
        self.fix_waiting()
        self.signal = lambda k: values

    def number_of(self, values: Sequence[int]) -> int:
        """Return k, modulo MOVES."""
        return int(values[0]) - WORKED_EXAMPLE[0]

    def reset(self) -> None:
        """Table 18, and the values from the factory."""
        self.registers[:] = bytes(256)
        for register, value in trimming().items():
            self.registers[register] = value
        self._last = SKIPPED
        self._oversampled_h = 0
        self._ready_ns: int | None = None  # when the measurement of forced mode ends
        self._next_mode = SLEEP
        self._copied_ns = self.now_ns() + COPY_NS

    def _times(self) -> tuple[int, int, int]:
        ctrl = self.registers[CTRL_MEAS]
        settings = (ctrl >> 5, ctrl >> 2 & 7, self._oversampled_h)
        t, p, h = ((0, 1, 2, 4, 8, 16, 16, 16)[setting] for setting in settings)
        return t, p, h

    @property
    def measurement_ns(self) -> int:
        """How long one measurement takes, with the oversampling as it is set."""
        t, p, h = self._times()
        ms = 1.25 + 2.3 * t + (2.3 * p + 0.575 if p else 0) + (2.3 * h + 0.575 if h else 0)
        return int(ms * 1e6 / (1 + self.rate_error_ppm * 1e-6))

    def take(self, data: bytes) -> bool:
        """Set the pointer; further bytes are pairs."""
        if data:
            self.pointer = data[0]
            for at in range(1, len(data), 2):
                self.pointer = data[at - 1]
                self.set_register(self.pointer, data[at])
        return True

    def set_register(self, register: int, value: int) -> None:
        """Write one of the five registers that can be."""
        self.update()
        if register == RESET and value == RESET_CODE:
            self.power_cycle()
        elif register == CTRL_HUM:
            self.registers[CTRL_HUM] = value & 7
        elif register == CTRL_MEAS:
            self._set_mode(value)
        elif register == CONFIG and self.registers[CTRL_MEAS] & 3 != NORMAL:
            self.registers[CONFIG] = value  # "may be ignored" in normal mode, 5.4.6: here it is

    def _set_mode(self, value: int) -> None:
        self.fix_waiting()
        self._oversampled_h = self.registers[CTRL_HUM]
        self.registers[CTRL_MEAS] = value
        if self._ready_ns is not None:
            self._next_mode = value & 3  # what is being measured is measured to its end, 3.3.1
            return
        self.measure(NEVER_HZ)
        self._enter(value & 3, self.now_ns())

    def _enter(self, mode: int, at_ns: int) -> None:
        if mode == NORMAL:
            period_ns = self.measurement_ns + STANDBY_NS[self.registers[CONFIG] >> 5]
            # measure() applies the error of the oscillator; here the time of the measurement has it already.
            rate_hz = 1e9 / period_ns / (1 + self.rate_error_ppm * 1e-6)
            self.measure(rate_hz, at_ns - self.now_ns() + self.measurement_ns - period_ns)
        elif mode != SLEEP:
            self._ready_ns = at_ns + self.measurement_ns

    def update(self) -> None:
        """End a measurement of forced mode whose time has come."""
        ready_ns = self._ready_ns
        if ready_ns is not None and self.now_ns() >= ready_ns and not self.stopped:
            self._ready_ns = None
            self.make_one(ready_ns)
            mode, self._next_mode = self._next_mode, SLEEP
            self.registers[CTRL_MEAS] = self.registers[CTRL_MEAS] & ~3 | mode
            self._enter(mode, ready_ns)
        super().update()

    def compute(self, k: int) -> tuple[int, ...]:
        """Return the raw values; what is not measured has its own."""
        values = LARGEST if self.saturated else self._frozen or self.signal(k)
        return tuple(
            value if times else skipped
            for value, times, skipped in zip(values, self._times(), SKIPPED, strict=True)
        )

    def give(self, count: int) -> bytes:
        """Give registers; reading data is reading the sample."""
        first = self.pointer
        answer = super().give(count)
        if first < DATA_END and first + count > DATA:
            self.pop()
        return answer

    def get_register(self, register: int) -> int:
        """Return what is held, and what the chip knows itself."""
        if DATA <= register < DATA_END:
            t, p, h = self.oldest()
            words = (p << 4).to_bytes(3) + (t << 4).to_bytes(3) + h.to_bytes(2)
            return words[register - DATA]
        if register == STATUS:
            return (8 if self._measuring() else 0) | (1 if self.now_ns() < self._copied_ns else 0)
        if register == ID:
            return IDENTITY if self.identity is None else self.identity
        return self.registers[register]

    def _measuring(self) -> bool:
        if self._ready_ns is not None:
            return True
        if not self._running:
            return False
        start_ns, period_ns = self._runs[-1]
        return (self.now_ns() - start_ns) % period_ns >= period_ns - self.measurement_ns
