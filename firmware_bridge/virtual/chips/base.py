"""What the models share: registers, power, and samples that come with time."""

from machine_bench import clock


class Chip:
    """A chip on a bus; `present` is whether it answers."""

    def __init__(self):
        self.present = True
        self.registers = bytearray(256)
        self.writes = []
        self.power_cycle()

    def power_cycle(self):
        """Forget all that was set."""

    def read_into(self, register, buffer):
        """Give registers from `register` on."""
        for i in range(len(buffer)):
            buffer[i] = self.registers[(register + i) & 0xFF]

    def write(self, register, data):
        """Take registers."""
        for i in range(len(data)):
            self.writes.append((register + i, data[i]))
            self.set(register + i, data[i])

    def set(self, register, value):
        """Take one register."""
        self.registers[register] = value


class FifoChip(Chip):
    """An accelerometer with a FIFO of 32: sample k has the axes k, -k and 2k, as 16 bits."""

    DEPTH = 32

    def __init__(self):
        self.fifo = []
        self.made = 0
        self.lost = 0
        self.overrun = False
        self.rate_hz = 0
        self.error_ppm = 0  # of its own oscillator
        self._begun_us = 0
        super().__init__()

    def measure(self, rate_hz):
        """Begin to measure; 0 stops."""
        self.update()
        self.rate_hz = rate_hz
        self._begun_us = clock.now_us()
        self._begun_at = self.made

    def clear(self):
        """Empty the FIFO."""
        self.update()
        self.fifo.clear()
        self.overrun = False

    def update(self):
        """Make the samples that were due since the last look."""
        if not self.rate_hz:
            return
        passed_us = clock.now_us() - self._begun_us
        due = self._begun_at + passed_us * self.rate_hz * (1_000_000 + self.error_ppm) // 1_000_000_000_000
        if due - self.made > 2 * self.DEPTH:  # what nobody will ever see need not be made
            self.lost += due - self.made - 2 * self.DEPTH
            self.made = due - 2 * self.DEPTH
            self.overrun = True
        while self.made < due:
            if len(self.fifo) == self.DEPTH:
                self.fifo.pop(0)
                self.lost += 1
                self.overrun = True
            self.fifo.append(self.made)
            self.made += 1

    def pop_into(self, buffer, at):
        """Give the oldest sample, little endian."""
        k = self.fifo.pop(0) if self.fifo else 0
        for value in (k, -k, 2 * k):
            buffer[at] = value & 0xFF
            buffer[at + 1] = value >> 8 & 0xFF
            at += 2
