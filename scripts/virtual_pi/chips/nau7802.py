"""NAU7802: Nuvoton's data sheet revision 1.7; power-on sequence in 9.1, calibration in 8.6, registers in 11.

A conversion overwrites the one before it, read or not; reading it clears CR. Nothing is converted until
digital and analogue part are powered (PUD, PUA), 200 us have passed (PUR) and CS is set; the rising edge of
CS begins a conversion. After CS, a calibration, or a change of gain, channel, rate or PGA the filter still
has old values in it: the first `SETTLING` conversions are ready like any others, but only come near.
"""

from __future__ import annotations

from scripts.virtual_pi.chips.base import NEVER_HZ, RegisterChip

PU_CTRL = 0x00
CTRL1 = 0x01
CTRL2 = 0x02
OCAL1_B2 = 0x03
GCAL1_B3 = 0x06
OCAL2_B2 = 0x0A
GCAL2_B3 = 0x0D
ADCO_B2, ADCO_B0 = 0x12, 0x14
ADC = 0x15
PGA = 0x1B
POWER = 0x1C
REVISION = 0x1F
READ_ONLY = {*range(ADCO_B2, ADCO_B0 + 1), 0x1D, 0x1E, *range(REVISION, 0x100)}

RR, PUD, PUA, PUR, CS, CR = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20  # PU_CTRL
CALS, CAL_ERR, CHS = 0x04, 0x08, 0x80  # CTRL2
IDENTITY = 0x0F
READY_NS = 200_000  # from PUD to PUR, 9.1 step 3
RATES_HZ = {0: 10, 1: 20, 2: 40, 3: 80, 7: 320}  # CRS; the others are reserved
SETTLING = 4
CALIBRATION = 4
"""Conversions that a calibration takes; the data sheet names no time."""
OFFSET = bytes((0x00, 0x01, 0x23))  # what a calibration finds


class Nau7802(RegisterChip):
    """Registers, power, conversions and calibration. `self_test_fails`: calibrations end with CAL_ERR."""

    default_address = 0x2A
    axes = 1
    coded_bits = 24

    def reset(self) -> None:
        """Section 10: all 0, but each gain 1.0 (GCAL: 9 bits before the point, 23 behind it)."""
        self.registers[:] = bytes(256)
        self.registers[GCAL1_B3 : GCAL1_B3 + 4] = b"\x00\x80\x00\x00"
        self.registers[GCAL2_B3 : GCAL2_B3 + 4] = b"\x00\x80\x00\x00"
        self._powered_ns: int | None = None
        self._calibrated_ns: int | None = None
        self._settled_from = 0

    @property
    def powered_up(self) -> bool:
        """PUR: whether the digital part has been on for long enough."""
        return self._powered_ns is not None and self.now_ns() - self._powered_ns >= READY_NS

    def set_register(self, register: int, value: int) -> None:
        """Write one register; while RR is set it takes nothing but PU_CTRL."""
        if register == PU_CTRL:
            self._set_power(value)
            return
        if register in READ_ONLY or self.registers[PU_CTRL] & RR:
            return
        self.update()
        before = self.registers[register]
        if register == CTRL2:
            value = value & ~CAL_ERR | before & (CAL_ERR | CALS)  # these two the chip clears
            if value & CALS and not before & CALS:
                self.measure(NEVER_HZ)
        self.registers[register] = value
        changed = (value ^ before) & ~CALS
        if changed and register in (CTRL1, CTRL2, ADC, PGA, POWER):
            self._unsettle()
        self._apply(restart=register == CTRL2 and bool(changed & 0x70))

    def _set_power(self, value: int) -> None:
        self.update()
        before = self.registers[PU_CTRL]
        if value & RR:
            self.measure(NEVER_HZ)
            self.discard()
            self.reset()
            self.registers[PU_CTRL] = RR
            return
        self.registers[PU_CTRL] = value & ~(PUR | CR)
        if not value & PUD:
            self._powered_ns = None
        elif self._powered_ns is None:
            self._powered_ns = self.now_ns()
        self._apply(restart=bool(value & CS and not before & CS))

    def _apply(self, restart: bool) -> None:
        """Convert, or do not, as power, CS and calibration say now."""
        power = self.registers[PU_CTRL]
        on = bool(power & PUD and power & PUA) and self._powered_ns is not None
        if not on:
            self.measure(NEVER_HZ)
            return
        assert self._powered_ns is not None
        wait_ns = max(0, self._powered_ns + READY_NS - self.now_ns())
        rate_hz = RATES_HZ.get(self.registers[CTRL2] >> 4 & 7, 10)
        if self.registers[CTRL2] & CALS:
            if self._calibrated_ns is None:
                self._calibrated_ns = self.now_ns() + wait_ns + int(CALIBRATION * 1e9 / rate_hz)
            return
        wanted_hz = rate_hz if power & CS else NEVER_HZ
        if restart or wanted_hz != self._rate_hz:
            self._unsettle()
            self.measure(wanted_hz, wait_ns)

    def _unsettle(self) -> None:
        self.fix_waiting()
        self._settled_from = self._made + SETTLING

    def update(self) -> None:
        """End a calibration whose time has come, then make samples."""
        if self._calibrated_ns is not None and self.now_ns() >= self._calibrated_ns and not self.stopped:
            ended_ns, self._calibrated_ns = self._calibrated_ns, None
            self._end_calibration(ended_ns)
        super().update()

    def _end_calibration(self, ended_ns: int) -> None:
        ctrl2 = self.registers[CTRL2] & ~(CALS | CAL_ERR)
        self.registers[CTRL2] = ctrl2 | (CAL_ERR if self.self_test_fails else 0)
        offset = OCAL2_B2 if ctrl2 & CHS else OCAL1_B2
        self.registers[offset : offset + 3] = OFFSET
        self._unsettle()
        if self.registers[PU_CTRL] & CS:
            self.measure(RATES_HZ.get(ctrl2 >> 4 & 7, 10), ended_ns - self.now_ns())

    def compute(self, k: int) -> tuple[int, ...]:
        """Return the conversion, or how far the filter has come."""
        values = super().compute(k)
        short = self._settled_from - k
        if 0 < short <= SETTLING and not self.saturated:
            return (values[0] * (SETTLING + 1 - short) // (SETTLING + 1),)
        return values

    def give(self, count: int) -> bytes:
        """Give registers; reading any byte of the result clears CR."""
        first = self.pointer
        answer = super().give(count)
        if first <= ADCO_B0 and first + count > ADCO_B2:
            self.pop()
            self.overrun = False
        return answer

    def get_register(self, register: int) -> int:
        """Return what is held, and what the chip knows itself."""
        if register == PU_CTRL:
            return self.registers[PU_CTRL] | (PUR if self.powered_up else 0) | (CR if self._fifo else 0)
        if ADCO_B2 <= register <= ADCO_B0:
            return self.oldest()[0] >> (8 * (ADCO_B0 - register)) & 0xFF
        if register == REVISION:
            return IDENTITY if self.identity is None else self.identity
        return self.registers[register]
