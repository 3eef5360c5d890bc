"""The workbench: pins, buses and converters of a board, for MicroPython where there is no board.

What is connected are the models in ``chips/``, at register level. They live in the bench's time: the
computer's own, or one that a test moves on by hand.
"""

import sys
import time as real_time

TICKS_WRAP = 1 << 30  # as on chips of 32 bits
NO_DEVICE = 19  # ENODEV, of a bus on which nobody answers


class Clock:
    """The bench's time in µs. By hand: it stands still but for `advance` and for who sleeps."""

    def __init__(self):
        self.by_hand = False
        self._now_us = 0
        self.waiting = []

    def now_us(self):
        """Return the time."""
        return self._now_us if self.by_hand else real_time.ticks_us()

    def set(self, now_us):
        """Stand at this time, by hand."""
        self.by_hand = True
        self._now_us = now_us

    def advance(self, by_us):
        """Move on."""
        self._now_us += by_us


clock = Clock()


class BenchTime:
    """What a driver finds as module `time`: ticks that wrap, by whichever clock goes."""

    def ticks_us(self):
        """Return the counter, which wraps."""
        return clock.now_us() & (TICKS_WRAP - 1)

    def ticks_ms(self):
        """Return the counter, which wraps."""
        return clock.now_us() // 1000 & (TICKS_WRAP - 1)

    def ticks_diff(self, later, earlier):
        """Return the signed distance."""
        return ((later - earlier + TICKS_WRAP // 2) & (TICKS_WRAP - 1)) - TICKS_WRAP // 2

    def ticks_add(self, ticks, by):
        """Return the counter at another moment."""
        return (ticks + by) & (TICKS_WRAP - 1)

    def sleep_ms(self, milliseconds):
        """Let time pass."""
        self.sleep_us(milliseconds * 1000)

    def sleep_us(self, microseconds):
        """Let time pass."""
        if clock.by_hand:
            clock.advance(microseconds)
        else:
            real_time.sleep_us(microseconds)


def use_bench_time():
    """Let modules that are imported from now on find the bench's time."""
    sys.modules["time"] = BenchTime()


def time_by_hand(now_us=0):
    """Let the clock go by hand."""
    clock.set(now_us)
    use_bench_time()


class Net:
    """What is on one pin: a chip that drives it, chips that listen, the level that we put there."""

    def __init__(self):
        self.level = None
        self.pull = 1
        self.driver = None
        self.listeners = []
        self.history = []

    def put(self, level):
        """Drive it."""
        self.level = level
        self.history.append(level)
        if len(self.history) > 100:
            del self.history[:50]
        for listener in self.listeners:
            listener(level)

    def get(self):
        """Read it."""
        if self.driver is not None:
            return self.driver()
        return self.pull if self.level is None else self.level


nets = {}
i2c_chips = {}  # number of the bus → address → chip
spi_chips = {}  # number of the bus → pin of the chip select → chip
volts = {}  # pin of the converter → volts
duties = {}  # pin of the PWM → share of 65535
speeds_baud = {}  # number of the UART → bits/s
held = 0  # times that interrupts were switched off


def net(number):
    """Return the net of a pin."""
    if number not in nets:
        nets[number] = Net()
    return nets[number]


class Pin:
    """A pin."""

    IN = 0
    OUT = 1
    PULL_UP = 1
    PULL_DOWN = 2

    def __init__(self, number, mode=-1, pull=None, value=None):
        self.number = number
        self._net = net(number)
        if mode == Pin.IN:
            self._net.level = None
            self._net.pull = 0 if pull == Pin.PULL_DOWN else 1
        if value is not None:
            self._net.put(value)

    def __call__(self, value=None):
        """Read or drive it."""
        if value is None:
            return self._net.get()
        self._net.put(value)

    value = __call__


class I2C:
    """A bus with the chips of `i2c_chips`."""

    def __init__(self, number, sda=None, scl=None, freq=400_000):
        self._number = number

    def _chip(self, address):
        chip = i2c_chips.get(self._number, {}).get(address)
        if chip is None or not chip.present:
            raise OSError(NO_DEVICE)
        return chip

    def scan(self):
        """Return the addresses that answer."""
        chips = i2c_chips.get(self._number, {})
        return sorted([address for address in chips if chips[address].present])

    def readfrom_mem_into(self, address, register, buffer):
        """Read registers."""
        self._chip(address).read_into(register, buffer)

    def writeto_mem(self, address, register, data):
        """Write registers."""
        self._chip(address).write(register, data)

    def readfrom_into(self, address, buffer):
        """Read."""
        self._chip(address).receive_into(buffer)

    def writeto(self, address, data):
        """Write."""
        self._chip(address).command(data)


SoftI2C = I2C


class SPI:
    """A bus with the chips of `spi_chips`; which one is meant, its select pin says."""

    def __init__(self, number, baudrate=0, polarity=0, phase=0, sck=None, mosi=None, miso=None):
        self._number = number
        self._register = 0
        self.mode = (polarity, phase)

    def _chip(self):
        chips = spi_chips.get(self._number, {})
        for pin in chips:
            if net(pin).level == 0 and chips[pin].present:
                return chips[pin]
        return None

    def write(self, data):
        """Send a command byte: bit 7 reads, bit 6 goes on; or a register and its value."""
        self._register = data[0]
        chip = self._chip()
        if len(data) > 1 and chip is not None:
            chip.write(data[0] & 0x3F, data[1:])

    def readinto(self, buffer):
        """Receive what was asked for; a bus without a chip reads ones."""
        chip = self._chip()
        if chip is None or not self._register & 0x80:
            for i in range(len(buffer)):
                buffer[i] = 0xFF
            return
        chip.read_into(self._register & 0x3F, buffer)


class ADC:
    """A converter on the voltage of `volts`."""

    ATTN_11DB = 3

    def __init__(self, pin, atten=None):
        self._number = pin.number

    def read_u16(self):
        """Return 12 bits of 3.3 V, stretched to 16 as the RP2040's port does."""
        raw = min(max(int(volts.get(self._number, 0.0) / 3.3 * 4096), 0), 4095)
        return raw << 4 | raw >> 8

    def read_uv(self):
        """Return µV as the ESP32's port does."""
        return int(min(volts.get(self._number, 0.0), 3.1) * 1_000_000)


class PWM:
    """A PWM; `duties` holds what each was set to last."""

    def __init__(self, pin, freq=0, duty_u16=0):
        self._number = pin.number
        self.duty_u16(duty_u16)

    def duty_u16(self, duty):
        """Set the share."""
        duties[self._number] = duty


class UART:
    """The console's UART: only its speed can be set."""

    def __init__(self, number, baudrate=115_200):
        speeds_baud[number] = baudrate


class _Memory:
    def __getitem__(self, address):
        return 0


mem32 = _Memory()


def disable_irq():
    """Switch interrupts off."""
    global held  # noqa: PLW0603 - counts for the tests
    held += 1
    return 0


def enable_irq(state):
    """Restore them."""
