"""The I2C buses of this computer: who answers where, also behind multiplexers, and is it what is configured?

Nothing is changed: no chip is set up, and a multiplexer connects again what it did. A bus on which a
program measures is only asked for the identities of what is configured; it is neither searched nor switched.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent.doctor.finding import Area, Finding, Patient, State
from agent.doctor.i2c_chips import HandsOff, MayNotAsk, Seen, Where, is_mux, is_there, recognise
from agent.doctor.i2c_compare import chip_findings
from agent.doctor.i2c_scan import FIRST, LAST, Bus, Scan, scan
from agent.doctor.ports import may_open
from agent.doctor.strangers import usual_at
from agent.sources.drivers import chip_of
from agent.sources.drivers.base import ChipError
from agent.sources.drivers.tca9548a import Tca9548a
from agent.sources.i2c_port import SWITCH_ON, I2cPort, open_kernel_bus, why_not_open
from agent.sources.i2c_settings import I2cSettings
from firmware_bridge.port_users import users_of

DEV = Path("/dev")
NAMES = Path("/sys/class/i2c-dev")
TIMEOUT_MS = 50
CHANNELS = 8

# graphics and mainboard: a stranger has no business there, and the first take seconds. Those with numbers are
# the HDMI plugs of a Raspberry Pi 4 and 5 (i2c-brcmstb), where somebody seems to be at every address
FOREIGN = re.compile(
    r"hdmi|ddc|dpdc|i915|nvidia|amdgpu|radeon|smbus|vc4|Broadcom STB|fef0[49]500\.i2c|107d508[0-9a-f]+\.i2c",
    re.IGNORECASE,
)
LINES_DOWN = (
    "Pull the sensors off one by one until it answers; look for a short, and for 3.3 V and ground at each."
)


def check(patient: Patient) -> Iterator[Finding]:
    """Look at every bus that the kernel offers, and at those that are configured."""
    configured = patient.config.source.i2c if patient.config is not None else ()
    devices = sorted(DEV.glob("i2c-*"), key=lambda path: (len(path.name), path.name))
    wanted = {os.path.realpath(settings.bus): settings for settings in configured}
    there = {os.path.realpath(device) for device in devices}
    if not devices and not wanted:
        yield Finding(
            Area.I2C,
            State.SKIPPED,
            "buses",
            "this computer offers none",
            f"Nothing to do if all sensors are on the microcontroller. {SWITCH_ON}",
        )
    for path, settings in wanted.items():
        if path not in there and not os.path.exists(path):
            names = ", ".join(str(device) for device in devices if not _is_foreign(device))
            found = f"there is no such bus; this computer has {names or 'none'}"
            remedy = f"If it is one of those, correct `bus`. {SWITCH_ON}" if names else SWITCH_ON
            yield Finding(Area.I2C, State.WRONG, settings.bus, found, remedy)
        elif path not in there:
            devices.append(Path(path))
    for device in devices:
        yield from _look_at(device, patient, wanted.get(os.path.realpath(device)))


def _look_at(device: Path, patient: Patient, settings: I2cSettings | None) -> Iterator[Finding]:
    name = _name(device)
    subject = f"{device} ({name})" if name else str(device)
    if settings is None and _is_foreign(device):
        yield Finding(Area.I2C, State.SKIPPED, subject, "it belongs to graphics or mainboard")
        return
    if not may_open(str(device)):
        yield Finding(
            Area.I2C,
            State.WARNING if settings is None else State.WRONG,
            subject,
            "permission denied",
            "`sudo usermod -aG i2c $USER`, then log in again; or look as root.",
        )
        return
    patient.say(f"looking at {device} …")
    seen = look(device, patient, settings)
    yield judge(subject, seen, settings)
    if seen.scan.usable:
        yield from chip_findings(device.name, seen, settings, patient.config)


def look(device: Path, patient: Patient, settings: I2cSettings | None) -> Seen:
    """Find out who is on a bus, as far as may be asked now."""
    seen = Seen(users=users_of(str(device)))
    port: I2cPort | None = None
    try:
        with contextlib.closing(open_kernel_bus(str(device), TIMEOUT_MS)) as bus:
            port = I2cPort(str(device), timeout_ms=TIMEOUT_MS, open_bus=lambda *_: bus)
            port.open()
            if seen.users:
                _ask_gently(port, seen, settings)
            else:
                _search(port, bus, seen, patient, settings)
    except OSError as error:
        words, remedy = why_not_open(error)
        seen.scan = Scan(error=words, remedy=remedy)
    except ChipError as error:
        seen.scan.stuck = port is not None and port.stuck
        seen.scan.error = "" if seen.scan.stuck else f"{error.got}, expected {error.expected}"
    return seen


def _ask_gently(port: I2cPort, seen: Seen, settings: I2cSettings | None) -> None:
    """Ask those that are configured, right on the bus, for registers that say who they are."""
    for chip in settings.chips if settings is not None else ():
        where = Where.of(chip)
        if where.mux is not None:
            seen.not_asked.add(where)
            continue
        try:
            answer = is_there(HandsOff(port.place(where.address)), chip_of(chip), where)
        except MayNotAsk:
            seen.not_asked.add(where)
            continue
        if answer is not None:
            seen.scan.found.append(where.address)
            seen.answers.append(answer)


def _search(port: I2cPort, bus: Bus, seen: Seen, patient: Patient, settings: I2cSettings | None) -> None:
    """Ask everywhere, on the bus itself and behind each channel of each multiplexer. Raises `ChipError`."""
    first = scan(bus, patient.stop.is_set, Tca9548a.addresses)
    if not first.usable:
        seen.scan = first
        return
    seen.muxes = [address for address in first.found if is_mux(port.place(address))]
    kept = {address: port.place(address).read(1)[0] for address in seen.muxes}
    try:
        for address in seen.muxes:
            Tca9548a.deselect(port.place(address))
        seen.scan = scan(bus, patient.stop.is_set)
        if not seen.scan.usable:
            return
        for address in seen.scan.found:
            if address not in seen.muxes:
                seen.answers.append(recognise(port.place(address), Where(address)))
        _ask_again(port, seen, settings, None)
        beside = {*seen.scan.found, *seen.scan.taken}
        free = [address for address in range(FIRST, LAST + 1) if address not in beside]
        for mux in seen.muxes:
            for channel in range(CHANNELS):
                patient.say(f"looking at {port.name}, channel {channel} of the multiplexer at 0x{mux:02X} …")
                port.select(mux, channel)
                for address in scan(bus, patient.stop.is_set, free).found:
                    place = port.place(address, mux=mux, channel=channel)
                    seen.answers.append(recognise(place, Where(address, mux, channel)))
            _ask_again(port, seen, settings, mux)
            Tca9548a.deselect(port.place(mux))
            port.forget_selection()
    finally:
        for address, channels in kept.items():
            with contextlib.suppress(ChipError):
                port.place(address).write(channels)


def _ask_again(port: I2cPort, seen: Seen, settings: I2cSettings | None, mux: int | None) -> None:
    """Ask the configured chips that a scan overlooked: not every chip and controller bears its questions."""
    known = {*seen.scan.found, *seen.scan.taken, *seen.muxes}  # behind a multiplexer these would answer too
    behind = {answer.where for answer in seen.answers}
    for chip in settings.chips if settings is not None else ():
        where = Where.of(chip)
        if where.mux != mux or where.address in known or where in behind:
            continue
        place = port.place(where.address, mux=where.mux, channel=where.channel)
        answer = is_there(place, chip_of(chip), where)
        if answer is not None:
            seen.answers.append(answer)
            if mux is None:
                seen.scan.found.append(where.address)


def judge(subject: str, seen: Seen, settings: I2cSettings | None = None) -> Finding:
    """Return in words how a bus is."""
    figures: dict[str, Any] = {
        "found": [f"0x{a:02X}" for a in seen.scan.found],
        "taken": [f"0x{a:02X}" for a in seen.scan.taken],
        "multiplexers": [f"0x{a:02X}" for a in seen.muxes],
        "used_by_pids": [user.pid for user in seen.users],
    }
    if seen.scan.stuck:
        return Finding(
            Area.I2C,
            State.WRONG,
            subject,
            "time-outs: SDA or SCL is held down",
            LINES_DOWN,
            figures,
        )
    if seen.scan.everywhere:
        found = f"somebody seems to answer at {len(seen.scan.found)} addresses: SDA is held down"
        state = State.WARNING if settings is None else State.WRONG
        return Finding(Area.I2C, state, subject, found, LINES_DOWN, figures)
    if seen.scan.error:
        remedy = seen.scan.remedy or "`dmesg | grep -i i2c` tells more."
        return Finding(Area.I2C, State.WRONG, subject, seen.scan.error, remedy, figures)
    if seen.users:
        names = ", ".join(str(user) for user in seen.users)
        return Finding(
            Area.I2C,
            State.OK,
            subject,
            f"in use by {names}: only what is configured was asked who it is, nothing was searched for or "
            "switched",
            "To have all of it looked at, end that program first; for the service: "
            "`sudo systemctl stop cargobox`.",
            figures,
        )
    taken = [f"0x{a:02X} ({usual_at(a)}), which a driver of the kernel uses" for a in seen.scan.taken]
    if not seen.scan.found and not taken and settings is not None and settings.chips:
        remedy = (
            "Look first at what all of them share: SDA and SCL (exchanged?), 3.3 V and ground, and whether "
            "they are on this bus."
        )
        return Finding(Area.I2C, State.WRONG, subject, "nobody answers", remedy, figures)
    if not seen.scan.found and not taken:
        remedy = "If a sensor should: look at SDA, SCL, 3.3 V and ground."
        return Finding(Area.I2C, State.OK, subject, "nobody answers", remedy, figures)
    behind = sum(answer.where.mux is not None for answer in seen.answers)
    words = [_counted(len(seen.scan.found), "address", "es") + " answered"] if seen.scan.found else []
    words += [f"{behind} more behind multiplexers"] if behind else []
    return Finding(Area.I2C, State.OK, subject, "; ".join([*words, *taken]), "", figures)


def _counted(number: int, what: str, many: str) -> str:
    return f"{number} {what}{'' if number == 1 else many}"


def _is_foreign(device: Path) -> bool:
    return FOREIGN.search(_name(device)) is not None


def _name(device: Path) -> str:
    try:
        return (NAMES / device.name / "name").read_text().strip()
    except OSError:
        return ""
