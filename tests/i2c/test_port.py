"""The rim of a bus: how it is opened, given back to the kernel, and what each chip behind a switch costs."""

from __future__ import annotations

import errno
import os
import threading

import pytest

from agent.blocks import FaultKind
from agent.doctor.i2c_scan import Bus
from agent.errors import ConfigError
from agent.sources import i2c_bus
from agent.sources.drivers.adxl345 import Adxl345Settings
from agent.sources.drivers.base import ChipError, Driver
from agent.sources.drivers.nau7802 import Nau7802Settings
from agent.sources.i2c_bus import I2cBus
from agent.sources.i2c_port import I2cPort, KernelBus, open_kernel_bus
from tests.i2c.rig import SimulatedRig

LOAD = Nau7802Settings(rate_hz=320)


def bus_of(rig: SimulatedRig, *places: tuple[int, int] | None, speed_hz: int = 400_000) -> I2cBus:
    """Return a bus of load cells at these channels of these multiplexers."""
    chips = [(LOAD.make(), LOAD.address, *(place or (None, None))) for place in places]
    return I2cBus(rig.path, chips, speed_hz=speed_hz, open_bus=rig.open_bus, now_ns=rig.now_ns, wait=rig.wait)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_bus_that_never_was_there_is_not_said_to_be_gone() -> None:
    port = I2cPort("/dev/i2c-77")
    with pytest.raises(ChipError, match=r"there is no such bus, .*raspi-config nonint do_i2c 0"):
        port.open()
    with pytest.raises(ChipError, match="there is no such bus"):
        port.place(0x53).read(1)


def test_what_is_no_bus_is_not_left_open() -> None:
    before = open_files()
    for _ in range(3):
        with pytest.raises(OSError, match="ioctl"):
            open_kernel_bus("/dev/null", 50)
    assert open_files() == before


def test_the_kernels_bus_offers_all_that_the_doctor_asks_of_one() -> None:
    asked = {name for name in vars(Bus) if not name.startswith("_")}
    assert asked and asked <= set(dir(KernelBus)), asked


def test_a_refused_plan_leaves_no_bus_open() -> None:
    rig = SimulatedRig()
    bus = bus_of(rig, *((0x70, channel) for channel in range(4)), speed_hz=10_000)
    with pytest.raises(ConfigError, match="carries"):
        bus.open()
    assert not bus.port.is_open


def test_the_bus_is_closed_while_the_kernel_frees_its_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unbinding a controller whose bus is open would wait for ever."""
    rig = SimulatedRig()
    bus = bus_of(rig, None)
    open_meanwhile: list[bool] = []

    def free(path: str, *, harder: bool) -> bool:
        open_meanwhile.append(bus.port.is_open)
        return False

    monkeypatch.setattr(i2c_bus, "free_lines", free)
    bus.open()
    rig.hold_down()
    stop = threading.Event()
    for _ in bus.items(stop):
        if len(open_meanwhile) == 5:
            break
    bus.close()
    assert open_meanwhile == [False] * 5


@pytest.mark.parametrize("number", [errno.EIO, errno.ENXIO, errno.EREMOTEIO])
def test_a_bus_that_cannot_be_opened_again_is_gone_whatever_the_error(number: int) -> None:
    rig = SimulatedRig()
    port = I2cPort(rig.path, open_bus=rig.open_bus, now_ns=rig.now_ns)
    port.open()
    rig.bus.gone_errno = number
    place = port.place(0x53)
    with pytest.raises(ChipError) as nobody:
        place.read(1)
    assert nobody.value.kind is FaultKind.NACK
    assert port.is_open
    rig.pull()
    with pytest.raises(ChipError) as gone:
        place.read(1)
    assert gone.value.kind is FaultKind.BUS_GONE
    assert not port.is_open, "the kernel waits until it is let go of"


def test_switching_between_channels_is_planned() -> None:
    loads = []
    for places in ([None], [(0x70, 0)], [(0x70, 0), (0x70, 1)], [(0x70, 0), (0x71, 0)]):
        bus = bus_of(SimulatedRig(), *places)
        bus.open()
        assert bus.plan is not None
        loads.append(bus.plan.load / len(places))
        bus.close()
    direct, alone, switched, of_two = loads
    assert alone == direct, "nothing to switch"
    assert switched > 1.5 * direct, loads
    assert of_two > 1.3 * switched, loads


def test_a_chip_right_on_the_bus_needs_no_switch() -> None:
    rig = SimulatedRig()
    accel = Adxl345Settings()
    chips: list[tuple[Driver, int, int | None, int | None]] = [(accel.make(), accel.address, None, None)]
    chips += [(LOAD.make(), LOAD.address, 0x70, channel) for channel in (0, 1)]
    bus = I2cBus(rig.path, chips, open_bus=rig.open_bus, now_ns=rig.now_ns, wait=rig.wait)
    first, *others = bus._switching()
    assert first.transfers == 0
    assert [cost.transfers for cost in others] == [2, 2]
