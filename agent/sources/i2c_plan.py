"""Whether a bus can carry what is configured, and how often each chip is looked at.

A chip with a FIFO is looked at as often as the wanted latency asks; where the bus cannot, its reads are
made longer and rarer, up to half of its FIFO, so that a thread that is held up for the other half loses
nothing. Where even that is too much, the configuration is refused before a single sample is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent.errors import ConfigError
from agent.sources.drivers.base import BusCost, Driver, FreeRunning, Triggered

NS_PER_S = 1_000_000_000
CLOCKS_PER_OCTET = 9  # eight bits and the acknowledge
COMFORTABLE = 0.7  # load up to which reads stay short: the rest is for what comes back, and for retries
USABLE = 0.9  # load beyond which the bus no longer keeps up
FIFO_PART = 0.5  # of a FIFO, between two looks
CHECK_S = 2.0  # how often settings are read again
LOOKS_PER_SAMPLE = 1.3  # of a chip without a FIFO: some looks find nothing yet
TURNS_PER_CONVERSION = 2  # of a chip that is triggered: start, collect
NO_COST = BusCost(0, 0)
DEFAULT_OVERHEAD_NS = 120_000  # a transaction's START, STOP, system call and Python, on a Raspberry Pi 3


@dataclass(frozen=True, slots=True)
class BusSpeed:
    """What a transaction costs: clocks on the wire, and time around it."""

    speed_hz: int
    overhead_ns: int = DEFAULT_OVERHEAD_NS

    def time_ns(self, cost: BusCost) -> float:
        """Return the bus time of `cost`."""
        return self.octets_ns(cost.octets) + cost.transfers * self.overhead_ns

    def octets_ns(self, octets: float) -> float:
        """Return the time of so many bytes on the wire."""
        return octets * CLOCKS_PER_OCTET * NS_PER_S / self.speed_hz


@dataclass(frozen=True, slots=True)
class Plan:
    """``intervals_ns``: between two looks, a chip each. ``load``: part of the bus's time that it takes."""

    intervals_ns: tuple[int, ...]
    load: float


def plan(
    bus: str,
    drivers: Sequence[Driver],
    speed: BusSpeed,
    latency_ns: int,
    switching: Sequence[BusCost] | None = None,
) -> Plan:
    """Return how often to look at each chip. Raises ConfigError when the bus cannot carry it all.

    `switching`: what it costs to reach each of them behind a multiplexer, once a turn.
    """
    switching = switching or [NO_COST] * len(drivers)
    longest = tuple(_longest_ns(d) for d in drivers)
    stretch = 1.0
    while True:
        intervals = tuple(
            min(most, max(_shortest_ns(d, latency_ns), round(_shortest_ns(d, latency_ns) * stretch)))
            for d, most in zip(drivers, longest, strict=True)
        )
        loads = [load_of(d, i, speed, s) for d, i, s in zip(drivers, intervals, switching, strict=True)]
        if sum(loads) <= COMFORTABLE or intervals == longest:
            break
        stretch *= 1.25
    if sum(loads) > USABLE:
        raise _too_much(bus, drivers, loads, speed)
    return Plan(intervals, sum(loads))


def load_of(driver: Driver, interval_ns: int, speed: BusSpeed, switching: BusCost = NO_COST) -> float:
    """Return the part of the bus's time that a chip takes when it is looked at each `interval_ns`.

    `switching`: what each turn costs beforehand.
    """
    per_s = driver.check_cost * (1 / CHECK_S)
    if isinstance(driver, FreeRunning):
        looks_per_s = NS_PER_S / interval_ns
        if driver.depth == 1:
            looks_per_s = LOOKS_PER_SAMPLE * driver.rate_hz
        takes_per_s = min(NS_PER_S / interval_ns, driver.rate_hz)
        each = driver.rate_hz / takes_per_s
        per_s += (switching + driver.look_cost) * looks_per_s + _take_cost(driver, each) * takes_per_s
    elif isinstance(driver, Triggered):
        turns = TURNS_PER_CONVERSION * len(driver.conversions)
        per_s += (switching * turns + driver.round_cost) * driver.rate_hz
    return speed.time_ns(per_s) / NS_PER_S


def _take_cost(driver: FreeRunning, count: float) -> BusCost:
    """Return the cost of fetching `count` samples, which on average need not be whole."""
    whole = int(count)
    part = count - whole
    return driver.take_cost(whole) * (1 - part) + driver.take_cost(whole + 1) * part


def _shortest_ns(driver: Driver, latency_ns: int) -> int:
    period_ns = round(NS_PER_S / driver.rate_hz)
    if isinstance(driver, FreeRunning) and driver.depth > 1:
        # half of the latency: a sample waits for the next look, and then for its turn on the bus
        return min(_longest_ns(driver), max(period_ns, latency_ns // 2))
    return period_ns


def _longest_ns(driver: Driver) -> int:
    period_ns = round(NS_PER_S / driver.rate_hz)
    if isinstance(driver, FreeRunning) and driver.depth > 1:
        return max(period_ns, round(period_ns * driver.depth * FIFO_PART))
    return period_ns


def _too_much(bus: str, drivers: Sequence[Driver], loads: Sequence[float], speed: BusSpeed) -> ConfigError:
    shares = ", ".join(
        f"{d.chip} {load / USABLE:.0%}"
        for d, load in sorted(zip(drivers, loads, strict=True), key=lambda pair: -pair[1])
    )
    faster = (
        "Lower the rates, use a second bus, or run this one at 400 kHz: "
        "dtparam=i2c_arm_baudrate=400000 in /boot/firmware/config.txt."
        if speed.speed_hz < 400_000
        else "Lower the rates, or put some of the sensors on a second bus."
    )
    return ConfigError(
        f"planning the reads of {bus}",
        got=f"{bus} at {speed.speed_hz / 1000:g} kHz carries {USABLE / sum(loads):.0%} of what is configured "
        f"({shares} of what it can)",
        expected="a bus that keeps up with its sensors",
        remedy=faster,
    )
