"""The serial ports: which are there, what each probably is, who may open them and who has them open."""

from __future__ import annotations

import contextlib
import getpass
import grp
import os
from collections.abc import Iterator

from agent.doctor.finding import Area, Finding, Patient, State
from firmware_bridge.port_users import users_of
from firmware_bridge.ports import SerialPort, bootsel_boards, likely_boards, list_ports


def check(patient: Patient) -> Iterator[Finding]:
    """Look at every port, and closer at the one that is to be used."""
    ports = list_ports()
    chosen = chosen_port(patient)
    device = os.path.realpath(chosen) if chosen is not None else None
    for port in ports:
        if port.device != device and (port.likely or port.usb_id is not None):
            yield Finding(Area.PORTS, State.OK, port.device, _words(port), figures=_figures(port))
    for board in bootsel_boards():
        yield Finding(
            Area.PORTS,
            State.WARNING,
            f"USB {board.location}",
            f"an {board.kind}: it waits for a base image, and is no port",
            "`cargobox flash --base-image FILE` puts both on it; to leave this mode, plug it in again "
            "without pressing BOOTSEL.",
            {"usb_id": board.usb_id, "drive": board.drive},
        )
    if chosen is None and not patient.expects_board:
        yield Finding(
            Area.PORTS, State.SKIPPED, "boards", "the configuration names no port, and none is needed"
        )
        return
    if chosen is None:
        yield _nothing_chosen(ports, patient)
        return
    yield _look_at(chosen, next((p for p in ports if p.device == device), None), ports)


def chosen_port(patient: Patient) -> str | None:
    """Return the port to look at: what was named, or else the only one that may be a board."""
    if patient.port is not None:
        return patient.port
    if not patient.expects_board:
        return None
    likely = likely_boards()
    surely = [p for p in likely if p.likely == likely[0].likely]
    return surely[0].name if len(surely) == 1 else None


def may_open(device: str) -> bool:
    """Return whether this user may read and write the port."""
    return os.access(device, os.R_OK | os.W_OK)


def _look_at(chosen: str, port: SerialPort | None, ports: tuple[SerialPort, ...]) -> Finding:
    if not os.path.exists(chosen):
        return _missing(chosen, ports)
    figures = _figures(port) if port is not None else {}
    words = _words(port) if port is not None else "not a USB port"
    if not may_open(chosen):
        return Finding(
            Area.PORTS, State.WRONG, chosen, f"{words}; permission denied", _dialout(chosen), figures
        )
    users = users_of(chosen)
    if users:
        names = ", ".join(str(user) for user in users)
        figures["used_by_pids"] = [user.pid for user in users]
        if all(user.is_agent for user in users):
            words += f"; in use by the agent: {names}"
            return Finding(Area.PORTS, State.OK, chosen, words, "", figures)
        # the finding on the board says what to do about it
        return Finding(Area.PORTS, State.WARNING, chosen, f"{words}; in use by {names}", "", figures)
    if port is not None and port.by_id is not None and chosen == port.device:
        return Finding(
            Area.PORTS,
            State.WARNING,
            chosen,
            f"{words}; this name may be another board's after the next start",
            f"Take the name that stays: {port.by_id}",
            figures,
        )
    return Finding(Area.PORTS, State.OK, chosen, words, "", figures)


def _missing(chosen: str, ports: tuple[SerialPort, ...]) -> Finding:
    boards = [p for p in ports if p.likely]
    remedy = "Plug the board in: a cable with data lines (some only charge), its power light on."
    if boards:
        remedy = f'Plug that board in, or take the one that is there: port = "{boards[0].name}"'
    return Finding(Area.PORTS, State.WRONG, chosen, "there is no such port", remedy)


def _nothing_chosen(ports: tuple[SerialPort, ...], patient: Patient) -> Finding:
    boards = [p for p in ports if p.likely]
    if not boards and patient.config_error is not None:
        found = "none on any serial port; whether one is needed, the configuration would say"
        return Finding(Area.PORTS, State.SKIPPED, "boards", found)
    if not boards:
        return Finding(
            Area.PORTS,
            State.WRONG,
            "boards",
            "none on any serial port",
            "Plug the board in: a cable with data lines (some only charge), its power light on. "
            "`dmesg | tail` tells what the computer saw. Where all sensors are on I2C none is needed: a "
            "configuration (`--config`) says so.",
        )
    names = ", ".join(p.name for p in boards)
    return Finding(
        Area.PORTS,
        State.WARNING,
        "boards",
        f"{len(boards)} that may be the box: {names}",
        "Say which one to look at: `cargobox doctor --port PORT`",
    )


def _words(port: SerialPort) -> str:
    serial = f", serial number {port.serial_number}" if port.serial_number else ""
    return f"{port.kind}{serial}"


def _figures(port: SerialPort) -> dict[str, object]:
    return {
        "device": port.device,
        "usb_id": port.usb_id,
        "serial_number": port.serial_number,
        "by_id": port.by_id,
        "kind": port.kind,
    }


def _dialout(device: str) -> str:
    """Return what gives this user the port: the group that has it, or only a new login."""
    group = "dialout"  # Debian's; some systems call it uucp
    members: list[str] = []
    with contextlib.suppress(OSError, KeyError):
        entry = grp.getgrgid(os.stat(device).st_gid)
        if entry.gr_name != "root":
            group, members = entry.gr_name, entry.gr_mem
    user = "$USER"
    with contextlib.suppress(OSError, KeyError):
        user = getpass.getuser()
    if user in members:
        return f"{user} is in the group {group}, but not yet in this login: log out and in again."
    return f"`sudo usermod -aG {group} {user}`, then log in again."
