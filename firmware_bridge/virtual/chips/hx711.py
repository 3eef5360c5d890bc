"""HX711: Avia Semiconductor's datasheet, serial interface on pages 4 and 5."""

from machine_bench import clock, net

OFF_US = 60
SETTLING = 4
INPUTS = {25: 128, 26: 32, 27: 64}


class Hx711Chip:
    """One converter at its two pins; conversion k gives `value(k)`."""

    def __init__(self, clock_pin, data_pin, value, rate_hz=80, late_us=0):
        """`late_us`: each converter has its own phase."""
        self.value = value
        self.period_us = 1_000_000 // rate_hz
        self.stuck = None  # a level, where the wire is broken
        self.longest_high_us = 0
        self.gain = 128
        self.given = []  # conversions that were read
        self._late_us = late_us
        self._level = 0
        self._rose_us = 0
        self._power_on()
        net(clock_pin).listeners.append(self.on_clock)
        net(data_pin).driver = self.dout

    def _power_on(self):
        self.gain = 128
        self._begun_us = clock.now_us() + self._late_us
        self._seen = 0  # conversions that ended
        self._word = None
        self._pulses = 0

    def _update(self):
        if self._level and clock.now_us() - self._rose_us > OFF_US:
            return
        ended = max(0, (clock.now_us() - self._begun_us) // self.period_us)
        if ended <= self._seen:
            return
        self._seen = ended
        if 0 < self._pulses < 24:
            return  # it is being read, the new one is lost
        if self._pulses > 24:
            self.gain = INPUTS.get(self._pulses, 0)
        self._pulses = 0
        if ended > SETTLING:
            self._word = ended

    def dout(self):
        """Return the level of DOUT."""
        if self.stuck is not None:
            return self.stuck
        self._update()
        if self._level and clock.now_us() - self._rose_us > OFF_US:
            return 1
        if self._word is None or self._pulses > 24:
            return 1
        if not self._pulses:
            return 0
        return self.value(self._word) >> (24 - self._pulses) & 1

    def on_clock(self, level):
        """Follow the clock."""
        now_us = clock.now_us()
        if level and not self._level:
            self._update()
            self._rose_us = now_us
            self._level = 1
            if self._word is not None or self._pulses:
                self._pulses += 1
            if self._pulses == 25:
                self.given.append(self._word)
                self._word = None
        elif self._level and not level:
            high_us = now_us - self._rose_us
            self.longest_high_us = max(self.longest_high_us, high_us)
            self._level = 0
            if high_us > OFF_US:
                self._power_on()
