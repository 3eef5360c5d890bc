"""The report at 80 columns: aligned, nothing cut, the remedy under what it mends."""

from __future__ import annotations

import io

import pytest

from agent.doctor import Area, Finding, State
from agent.doctor.report import Report, summary

LONG_PORT = "/dev/serial/by-id/usb-MicroPython_Board_in_FS_mode_e6614c311b7e8f29-if00"
FINDINGS = [
    Finding(Area.PORTS, State.WARNING, LONG_PORT, "RP2040/Pico with MicroPython", f"Take {LONG_PORT * 2}"),
    Finding(Area.STREAMS, State.OK, "accel", "1000.0 Hz, nominal 1000 Hz; " + "x 0.01, " * 10),
    Finding(Area.STREAMS, State.WRONG, "load", "no sample in 3.0 s", "Look at the wires. " * 6),
    Finding(Area.I2C, State.SKIPPED, "buses", "none"),
]
LINE = '{chip = "ADS1115", address = 0x48, inputs = [{stream = "leak", input = "AIN0", unit = "V"}]}'
COMMAND = "`sudo raspi-config nonint do_i2c 0`"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def written(width: int = 80, *, colour: bool = False) -> str:
    out = io.StringIO()
    report = Report(out, width=width, colour=colour, progress=io.StringIO())
    report.show(FINDINGS[:2])
    report.show(FINDINGS[2:])
    report.close(summary(FINDINGS))
    return out.getvalue()


def test_nothing_is_wider_than_the_terminal_but_what_must_stay_whole() -> None:
    for line in written().splitlines():
        assert len(line) <= 80 or LONG_PORT in line, f"{len(line)} columns: {line}"
    assert LONG_PORT * 2 in written(), "a path is to be copied, and is not cut"


def test_what_is_to_be_copied_stays_in_one_line() -> None:
    out = io.StringIO()
    remedy = f"On a Raspberry Pi of any kind that you can buy: {COMMAND} once. Then its line: {LINE}"
    report = Report(out, width=80, colour=False, progress=io.StringIO())
    report.show([Finding(Area.I2C, State.WARNING, "i2c-1 0x48", "ADS1115", remedy)])
    lines = [line.strip() for line in out.getvalue().splitlines()]
    assert LINE in lines, lines
    assert any(COMMAND in line for line in lines), lines


def test_it_is_aligned_under_the_headings() -> None:
    lines = written().splitlines()
    assert [line for line in lines if line and not line.startswith(" ")] == [
        "ports",
        "streams",
        "i2c",
        "1 wrong, 1 to be known, 1 ok, 1 not looked at",
    ]
    assert "  ok       accel        1000.0 Hz, nominal 1000 Hz; x 0.01, x 0.01, x 0.01, x" in lines
    assert "  WRONG    load         no sample in 3.0 s" in lines
    at = lines.index("  WRONG    load         no sample in 3.0 s")
    assert lines[at + 1].startswith("           → Look at the wires.")
    assert lines[at + 2].startswith("             ")
    assert "  skipped  buses        none" in lines


def test_colours_are_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b" not in written()
    assert "\x1b[31;1mWRONG" in written(colour=True)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in written(colour=True)


def test_progress_is_for_terminals_and_leaves_nothing() -> None:
    silent, terminal = io.StringIO(), Terminal()
    Report(io.StringIO(), width=80, colour=False, progress=silent).say("listening …")
    assert silent.getvalue() == ""
    report = Report(io.StringIO(), width=80, colour=False, progress=terminal)
    report.say("listening: 1 of 3 s …")
    report.say("listening: 1 of 3 s …")
    assert terminal.getvalue() == "\r\x1b[Klistening: 1 of 3 s …", "said again only when it changes"
    report.show(FINDINGS)
    assert terminal.getvalue().endswith("…\r\x1b[K")


def test_a_narrow_terminal_is_not_too_narrow() -> None:
    assert written(width=5).splitlines()[0] == "ports"
