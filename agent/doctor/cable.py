"""The board on its port: who it is, which firmware it runs, what it sends, and how good its clock is.

A port that another program has open is left alone: two readers would each get half of the bytes.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Iterator

from agent.doctor import streams, watching
from agent.doctor.finding import Area, Finding, Patient, State, from_error
from agent.doctor.ports import chosen_port, may_open
from firmware_bridge import wire
from firmware_bridge.describe import Description
from firmware_bridge.errors import LinkError
from firmware_bridge.firmware_files import shipped_version, version_number
from firmware_bridge.link import Link
from firmware_bridge.port_users import PortUser, users_of

NS_PER_MS = 1_000_000
PINGS = 9
DOUBT_MS = 2.0  # a USB frame is 1 ms; an FTDI bridge's latency timer is 16
DRIFT_PPM = 200.0  # a quartz at its worst
DRIFT_SPAN_S = 8.0  # a drift is not to be told from the pings' noise in less

_BAD_RESETS = ("watchdog", "wdt", "brown", "panic", "fault", "lockup")
_GRABBERS = {
    "ModemManager": "ModemManager takes new ports for modems: `sudo systemctl disable --now ModemManager`",
    "brltty": "brltty takes some USB bridges for Braille displays: `sudo apt-get remove brltty`",
}


def check(patient: Patient) -> Iterator[Finding]:
    """Open the link, listen for some seconds, and let go of it."""
    port = chosen_port(patient)
    if port is None:
        yield _skipped(Area.BOARD, "there is no port to look at")
        return
    if not os.path.exists(port) or not may_open(port):
        yield _skipped(Area.BOARD, f"{port} cannot be opened, see ports")
        return
    users = users_of(port)
    if users:
        yield _in_use(port, users)
        return
    link = Link(port)
    patient.say(f"asking the board on {port} …")
    try:
        description = link.open()
    except LinkError as error:
        yield from_error(Area.BOARD, error)
        return
    try:
        yield _board(description, port)
        yield _firmware(description, port)
        heard = streams.listen(link, description, patient)
        yield from streams.judge(heard, link)
        yield from watching.of_board(description, patient)
        yield _clock(link, heard.seconds, _round_trips_ms(link))
    finally:
        link.close()


def _skipped(area: Area, why: str) -> Finding:
    return Finding(area, State.SKIPPED, "board", why)


def _in_use(port: str, users: tuple[PortUser, ...]) -> Finding:
    figures = {"used_by_pids": [user.pid for user in users]}
    if all(user.is_agent for user in users):
        return Finding(
            Area.BOARD,
            State.SKIPPED,
            "board",
            f"the agent reads it, and is not disturbed: {users[0]}",
            "To look at board, streams and clock: `sudo systemctl stop cargobox` (or end that process), "
            "`cargobox doctor` again, and start the agent.",
            figures,
        )
    names = ", ".join(str(user) for user in users)
    grabber = next((cure for word, cure in _GRABBERS.items() if word in names), None)
    return Finding(
        Area.BOARD,
        State.WRONG,
        f"serial port {port}",
        f"another program uses it: {names}",
        f"{grabber or 'End that program'}; then look again.",
        figures,
    )


def _board(about: Description, port: str) -> Finding:
    starts = "start" if about.boots == 1 else "starts"
    found = f"{about.board}, id {about.unique_id}; last reset: {about.reset_cause}, {about.boots} {starts}"
    bad = any(word in about.reset_cause.lower() for word in _BAD_RESETS)
    return Finding(
        Area.BOARD,
        State.WARNING if bad else State.OK,
        f"board on {port}",
        found,
        "It restarted by itself. If the number of starts grows: a better power supply and a shorter cable, "
        "then new firmware."
        if bad
        else "",
        {
            "board": about.board,
            "unique_id": about.unique_id,
            "reset_cause": about.reset_cause,
            "boots": about.boots,
        },
    )


def _firmware(about: Description, port: str) -> Finding:
    shipped = shipped_version()
    figures = {"firmware": about.firmware, "shipped": shipped}
    command = f"cargobox flash --port {port}"
    if about.firmware == shipped:
        if about.trial:
            return Finding(
                Area.BOARD,
                State.WARNING,
                "firmware",
                f"{about.firmware}, on trial: at the next start the board goes back to the one before",
                f"`{command}` confirms it.",
                figures,
            )
        return Finding(
            Area.BOARD, State.OK, "firmware", f"{about.firmware}, the one of this agent", "", figures
        )
    if version_number(about.firmware) < version_number(shipped):
        return Finding(
            Area.BOARD,
            State.WARNING,
            "firmware",
            f"{about.firmware}, older than the {shipped} of this agent",
            f"`{command}` brings it up to date.",
            figures,
        )
    return Finding(
        Area.BOARD,
        State.WARNING,
        "firmware",
        f"{about.firmware}, newer than the {shipped} of this agent",
        f"Bring the agent up to date; or `{command} --force` puts its own on the board.",
        figures,
    )


def _round_trips_ms(link: Link) -> list[float]:
    """Ask the board some times, and return how long each answer took; fewer if it stops answering."""
    took_ms = []
    with contextlib.suppress(LinkError):
        for _ in range(PINGS):
            begin_s = time.perf_counter()
            link.command(wire.DO_PING)
            took_ms.append((time.perf_counter() - begin_s) * 1000)
    return took_ms


def _clock(link: Link, seconds: float, round_trips_ms: list[float]) -> Finding:
    clock = link.clock
    doubt_ms = clock.doubt_ns / NS_PER_MS
    figures: dict[str, object] = {
        "doubt_us": round(clock.doubt_ns / 1000, 1),
        "round_trip_ms": None,
        "drift_ppm": None,
        "listened_s": round(seconds, 2),
    }
    if not clock.ready or not round_trips_ms:
        return Finding(
            Area.CLOCK,
            State.WRONG,
            "times of the samples",
            "no ping is answered any more",
            "Press the board's reset button and look again.",
            figures,
        )
    round_trip_ms = statistics.median(round_trips_ms)
    figures["round_trip_ms"] = round(round_trip_ms, 2)
    found = f"right within {doubt_ms:.2f} ms, the board answers in {round_trip_ms:.1f} ms"
    if seconds >= DRIFT_SPAN_S:
        figures["drift_ppm"] = round(clock.drift_ppm, 1)
        found += f", the board's clock is {abs(clock.drift_ppm):.0f} ppm "
        found += "slow" if clock.drift_ppm > 0 else "fast"
        if abs(clock.drift_ppm) > DRIFT_PPM:
            return Finding(
                Area.CLOCK,
                State.WARNING,
                "times of the samples",
                found,
                "The agent makes up for it. So much is more than a quartz should have: another board.",
                figures,
            )
    if doubt_ms > DOUBT_MS:
        return Finding(
            Area.CLOCK,
            State.WARNING,
            "times of the samples",
            found,
            "The cable or this computer answers slowly: no hub in between, nothing else that keeps the "
            "computer busy; for an FTDI bridge, 1 in "
            f"/sys/bus/usb-serial/devices/{os.path.basename(os.path.realpath(link.port_name))}/latency_timer",
            figures,
        )
    return Finding(Area.CLOCK, State.OK, "times of the samples", found, "", figures)
