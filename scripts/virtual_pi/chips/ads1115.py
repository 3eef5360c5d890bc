"""ADS1115: Texas Instruments' data sheet SBAS444, revision E; registers in 8.1, CONFIG in table 8-3.

A conversion takes one period of the data rate (10 % more or less: `rate_error_ppm`) and, in single-shot mode,
25 us to power up. In continuous mode a changed configuration begins a conversion at once; the chip would end
the current one first. The comparator's registers are held, its pin is not modelled; nor is the general call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from scripts.virtual_pi.chips.base import NEVER_HZ, Chip, Signal, clamp

CONVERSION, CONFIG, LO_THRESH, HI_THRESH = range(4)
RESET_VALUES = (0x0000, 0x8583, 0x8000, 0x7FFF)  # table 8-3
OS, MODE = 0x8000, 0x0100  # CONFIG; MODE 1 is single-shot
RATES_HZ = (8, 16, 32, 64, 128, 250, 475, 860)
POWER_UP_NS = 25_000
BEGINS_AT = 0x2000
MOVES = 0x4000
"""The default signal goes from BEGINS_AT so many counts up, and begins again."""


class Ads1115(Chip):
    """Registers, single-shot and continuous mode. Counts are what the converter gives, whatever its gain.

    ``inputs``: a signal of its own for a setting of the multiplexer (0 to 7); the others have `signal`.
    ``identity``: what CONFIG reads as, of a chip that is none.
    """

    default_address = 0x48
    axes = 1

    def __init__(
        self,
        *,
        now_ns: Callable[[], int],
        address: int | None = None,
        rate_error_ppm: float = 0.0,
        signal: Signal | None = None,
    ) -> None:
        self.inputs: dict[int, Signal] = {}
        super().__init__(
            now_ns=now_ns,
            address=address,
            rate_error_ppm=rate_error_ppm,
            signal=signal or (lambda k: (BEGINS_AT + k % MOVES,)),
        )

    def number_of(self, values: Sequence[int]) -> int:
        """Return k, modulo MOVES."""
        return int(values[0]) - BEGINS_AT

    def reset(self) -> None:
        """Table 8-3; it sleeps."""
        self.words = list(RESET_VALUES)
        self.pointer = CONVERSION
        self._mux = 0
        self._ready_ns: int | None = None

    def take(self, data: bytes) -> bool:
        """Set the pointer, and a register when all of it comes."""
        if data:
            self.pointer = data[0] & 3
        if len(data) >= 3 and self.pointer != CONVERSION:
            self.update()
            value = int.from_bytes(data[1:3])
            if self.pointer == CONFIG:
                self._configure(value)
            else:
                self.words[self.pointer] = value
        return True

    def _configure(self, value: int) -> None:
        self.words[CONFIG] = value & ~OS
        if self._ready_ns is not None and value & MODE:
            return  # OS has no effect while it converts
        self.fix_waiting()
        self._ready_ns = None
        self._mux = value >> 12 & 7
        rate_hz = RATES_HZ[value >> 5 & 7]
        if not value & MODE:
            self.measure(rate_hz)
            return
        self.measure(NEVER_HZ)
        if value & OS:
            takes_ns = 1e9 / (rate_hz * (1 + self.rate_error_ppm * 1e-6))
            self._ready_ns = self.now_ns() + POWER_UP_NS + int(takes_ns)

    def update(self) -> None:
        """End a single shot whose time has come."""
        ready_ns = self._ready_ns
        if ready_ns is not None and self.now_ns() >= ready_ns and not self.stopped:
            self._ready_ns = None
            self.make_one(ready_ns)
        super().update()

    def compute(self, k: int) -> tuple[int, ...]:
        """Return the conversion, of the input that is selected."""
        if self.saturated:
            return (0x7FFF,)
        if self._frozen is not None:
            return self._frozen
        return (clamp(self.inputs.get(self._mux, self.signal)(k)[0], -0x8000, 0x7FFF),)

    def give(self, count: int) -> bytes:
        """Give the register that is pointed to; having read the conversion is having read the sample."""
        self.update()
        value = self.words[self.pointer]
        if self.pointer == CONVERSION:
            value = self.oldest()[0] & 0xFFFF
        elif self.pointer == CONFIG:
            converting = self._ready_ns is not None or self._running
            value |= 0 if converting else OS
            value = value if self.identity is None else self.identity
        if self.pointer == CONVERSION and count >= 2:
            self.pop()
            self.overrun = False
        return (value.to_bytes(2) * (count // 2 + 1))[:count]
