"""The simulated bus behaves as /dev/i2c-N does: time, NACKs, and each way to fail."""

from __future__ import annotations

import errno

import pytest
from smbus2 import i2c_msg

from scripts.virtual_pi.chips.adxl345 import Adxl345
from scripts.virtual_pi.chips.nau7802 import Nau7802
from tests.i2c.simulated_bus import SimClock, SimulatedBus

ADXL = 0x53


def bus_with_both() -> tuple[SimClock, SimulatedBus, Adxl345, Nau7802]:
    clock = SimClock()
    adxl = Adxl345(now_ns=clock.now_ns)
    nau = Nau7802(now_ns=clock.now_ns)
    return clock, SimulatedBus(clock, [adxl, nau]), adxl, nau


def registers(bus: SimulatedBus, address: int, register: int, count: int = 1) -> bytes:
    answer = i2c_msg.read(address, count)
    bus.i2c_rdwr(i2c_msg.write(address, [register]), answer)
    return bytes(answer)


def test_a_register_is_read_in_one_transaction_that_takes_its_bits() -> None:
    clock, bus, _, _ = bus_with_both()
    assert registers(bus, ADXL, 0x00) == b"\xe5"
    # START, address, register; START, address, value; STOP: 10 + 9 + 10 + 9 + 1 bits of 2.5 us
    assert clock.now_ns() == 20_000 + 39 * 2500, f"{clock.now_ns()} ns"
    assert (bus.transfers, bus.busy_ns) == (1, clock.now_ns())


def test_nobody_and_an_absent_chip_answer_alike() -> None:
    _, bus, adxl, _ = bus_with_both()
    for address in (0x1D, ADXL):
        adxl.absent = True
        with pytest.raises(OSError) as raised:
            bus.write_quick(address)
        assert raised.value.errno == errno.ENXIO, raised.value
    bus.nack_errno = errno.EREMOTEIO
    with pytest.raises(OSError) as raised:
        bus.read_byte(ADXL)
    assert raised.value.errno == errno.EREMOTEIO
    adxl.absent = False
    bus.write_quick(ADXL)
    assert bus.read_byte(ADXL) == 0xE5


def test_a_second_read_message_is_refused() -> None:
    _, bus, _, _ = bus_with_both()
    with pytest.raises(OSError) as raised:
        bus.i2c_rdwr(i2c_msg.read(ADXL, 1), i2c_msg.write(ADXL, [0]))
    assert raised.value.errno == errno.EOPNOTSUPP


def test_a_stuck_bus_takes_its_time_out() -> None:
    clock, bus, _, _ = bus_with_both()
    bus.stuck = True
    with pytest.raises(OSError) as raised:
        bus.write_quick(ADXL)
    assert raised.value.errno == errno.ETIMEDOUT
    assert clock.now_ns() == bus.timeout_ns
    bus.stuck = False
    bus.write_quick(ADXL)


def test_lost_arbitration_and_given_errors_last_as_long_as_said() -> None:
    _, bus, _, _ = bus_with_both()
    bus.arbitration_losses = 2
    bus.fail_next = [OSError(errno.EIO, "once")]
    seen = []
    for _ in range(4):
        try:
            bus.write_quick(ADXL)
            seen.append(0)
        except OSError as error:
            seen.append(error.errno or -1)
    assert seen == [errno.EIO, errno.EAGAIN, errno.EAGAIN, 0]


def test_an_unplugged_adapter_must_be_opened_again() -> None:
    _, bus, _, _ = bus_with_both()
    port = bus.open("/dev/i2c-1")
    port.write_quick(ADXL)
    bus.gone = True
    with pytest.raises(FileNotFoundError):
        bus.open("/dev/i2c-1")
    bus.gone = False
    with pytest.raises(OSError) as raised:
        port.write_quick(ADXL)
    assert raised.value.errno == errno.ENODEV
    again = bus.open("/dev/i2c-1")
    again.write_quick(ADXL)
    again.close()
    with pytest.raises(OSError) as raised:
        again.read_byte(ADXL)
    assert raised.value.errno == errno.EBADF


def test_waiting_is_late_and_never_early_and_the_same_each_time() -> None:
    def wake_ups() -> list[int]:
        clock = SimClock(late_ns=300_000, seed=7)
        late = []
        for due_ns in range(10**7, 10**9, 10**7):
            clock.wait_until(due_ns)
            late.append(clock.now_ns() - due_ns)
        return late

    late = wake_ups()
    assert min(late) >= 0
    assert 200_000 < max(late) <= 300_000, max(late)
    assert late == wake_ups()


def test_two_chips_at_one_address_pull_the_same_wire() -> None:
    clock = SimClock()
    first, second = (Adxl345(now_ns=clock.now_ns) for _ in range(2))
    first.identity, second.identity = 0b1010, 0b0110
    bus = SimulatedBus(clock, [first, second])
    assert registers(bus, ADXL, 0x00) == bytes((0b0010,))
