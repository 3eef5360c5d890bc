"""What of all that is measured is trouble, in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

HOT_DEGC = 80.0  # a Pi slows down from there on (raspberrypi.com/documentation, frequency management)
LEAST_FREE_BYTES = 100 << 20
LEAST_LIFE_YEARS = 2.0
LOSSY_PART = 0.01
SLOW_PART = 0.8

Trouble = tuple[str, str]
"""What it is, which stays the same while it lasts, and how it is said."""


def troubles(body: Mapping[str, Any], before: Mapping[str, Any]) -> Iterator[Trouble]:
    """Yield what is wrong by the figures of a health record; `before`: those of the one before."""
    board, queue, disk = body.get("board", {}), body.get("queue", {}), body.get("disk", {})
    if board.get("undervoltage"):
        yield "undervoltage", "undervoltage: the supply or its cable is too weak for this computer"
    if board.get("throttled"):
        yield "throttled", "the computer has slowed itself down: too hot, or its supply too weak"
    if (degc := board.get("temperature_degc", 0.0)) >= HOT_DEGC:
        yield "hot", f"the computer is at {degc:.0f} °C"
    if queue.get("card_refuses"):
        yield (
            "card",
            f"the card refuses to be written; {queue.get('in_memory', 0)} records are in memory only",
        )
    for key, words in (
        ("dropped", "not kept: the outbox is full"),
        ("set_aside", "refused by the broker and set aside"),
        ("damaged", "not to be read back from the card"),
    ):
        count = queue.get(key, 0)
        # of what counts over all time, the first look does not know what is new
        known = before.get("queue", {}).get(key, count if key == "set_aside" else 0)
        if (more := count - known) > 0:
            yield key, f"{more} record{'' if more == 1 else 's'} {words}"
    yield from _of_recorder(body, before)
    if (free_bytes := disk.get("free_bytes")) is not None and free_bytes < LEAST_FREE_BYTES:
        yield "disk", f"only {free_bytes / 1e6:.0f} MB are free on the card"
    if not body.get("link", {}).get("connected", True):
        why = body["link"].get("last_error")
        yield "link", f"not connected to the broker{f': {why}' if why else ''}"
    for number, words in enumerate(body.get("credentials", [])):
        yield f"credentials {number}", words
    yield from _of_wires(body, before)
    if body.get("tq") == "unset":
        yield "clock", "the clock was never set"
    yield from _of_streams(body.get("rates", {}), body.get("since_s", 0.0))


def _of_recorder(body: Mapping[str, Any], before: Mapping[str, Any]) -> Iterator[Trouble]:
    queue, recorder = body.get("queue", {}), body.get("recorder", {})
    if recorder.get("paused"):
        yield "recorder", f"recordings pause: {recorder.get('trouble', 'the card refuses')}"
    if (more := recorder.get("let_go", 0) - before.get("recorder", {}).get("let_go", 0)) > 0:
        which = f"{more} incident{'' if more == 1 else 's'}"
        last = recorder.get("last_let_go", "unknown")
        yield "let_go", f"recordings of {which}, the last {last}, are no longer kept: no room"
    lives = [part["card_life_years"] for part in (queue, recorder) if part.get("card_life_years")]
    if lives and (years := 1 / sum(1 / life for life in lives)) < LEAST_LIFE_YEARS:
        yield "wear", f"at this rate the card is worn out in {years:.1f} years"


def _of_wires(body: Mapping[str, Any], before: Mapping[str, Any]) -> Iterator[Trouble]:
    was = before.get("cable", {})
    cable = {name: count - was.get(name, 0) for name, count in body.get("cable", {}).items()}
    if (lost := cable.get("lost", 0)) > 0:
        yield "cable", f"{lost} frame{'s were' if lost > 1 else ' was'} lost on the cable"
    if (disconnects := cable.get("disconnects", 0)) > 0:
        yield (
            "disconnects",
            f"the connection to the box broke {disconnects} time{'s' if disconnects > 1 else ''}",
        )
    for name, told in body.get("buses", {}).items():
        known = before.get("buses", {}).get(name, {})
        transfers, refused = (told[key] - known.get(key, 0) for key in ("transfers", "refused"))
        if refused > LOSSY_PART * max(1, transfers):
            yield f"{name} refused", f"{name}: {refused} of {transfers} transfers failed"


def _of_streams(rates: Mapping[str, Mapping[str, float]], since_s: float) -> Iterator[Trouble]:
    for name, told in rates.items():
        rate_hz, nominal_hz, missing = told["rate_hz"], told["nominal_hz"], told["missing"]
        if not rate_hz:
            yield f"{name} silent", f"{name} is silent"
        elif rate_hz < SLOW_PART * nominal_hz:
            yield f"{name} slow", f"{name} gives {rate_hz:g} Hz instead of {nominal_hz:g}"
        elif missing and missing > LOSSY_PART * (missing + rate_hz * since_s):
            yield f"{name} lossy", f"{name} lost {missing:.0f} samples"
