"""Who answers on a bus against what is configured there: missing, another, not configured, two alike."""

from __future__ import annotations

from collections.abc import Iterator

from agent.config import Config
from agent.doctor.finding import Area, Finding, State
from agent.doctor.i2c_chips import Answer, Seen, Where, figures_of, line_for, streams_of
from agent.sources.drivers.base import ChipSettings
from agent.sources.i2c_settings import I2cSettings, chip_name

WIRES = "Look at its SDA, SCL, 3.3 V and ground, and at its address pins"


def chip_findings(
    bus: str, seen: Seen, settings: I2cSettings | None, config: Config | None
) -> Iterator[Finding]:
    """Yield a finding for each multiplexer, each configured chip and each that is there beside them."""
    chips = settings.chips if settings is not None else ()
    answers = {answer.where: answer for answer in seen.answers}
    wanted = {Where.of(chip): chip for chip in chips}
    spare = [answer for where, answer in answers.items() if where not in wanted]
    yield from _muxes(bus, seen, chips)
    for where, chip in wanted.items():
        yield _configured(bus, seen, where, chip, answers, spare)
    missing = {chip_name(chip): where for where, chip in wanted.items() if where not in answers}
    everywhere = [c for b in config.source.i2c for c in b.chips] if config is not None else []
    streams, cells = streams_of(everywhere)
    names = [chip_name(chip) for chip in chips]
    for where, answer in answers.items():
        if where in wanted:
            continue
        if answer.chip is None:
            yield _finding(bus, where, State.OK, answer.words, "", answer, None)
            continue
        line = line_for(answer, streams, cells)
        alike = ""
        lost = missing.pop(answer.name, None)
        if answer.name in names and lost is None:
            alike = f"; it is the {_ordinal(names.count(answer.name))} {answer.name} here"
        names.append(answer.name)
        if config is None:
            remedy = f"Its line for chips under [[source.i2c]], bus = {bus.removeprefix('i2c-')}: {line}"
            yield _finding(bus, where, State.OK, f"{answer.words}{alike}", remedy, answer, None)
            continue
        if lost is not None:
            found = f"{answer.words}, which is not configured"
            remedy = (
                f"Is it the one of {lost}? Then correct that line: {_place(where)}. Else put into chips of "
                f"{bus}: {line}"
            )
            yield _finding(bus, where, State.WARNING, found, remedy, answer, None)
            continue
        remedy = f"If it is to be read, put into chips of {bus}: {line}"
        if settings is None:
            remedy = f'If it is to be read: [[source.i2c]] with bus = "/dev/{bus}" and chips = [{line}]'
        found = f"{answer.words}, which is not configured{alike}"
        yield _finding(bus, where, State.WARNING, found, remedy, answer, None)


def _muxes(bus: str, seen: Seen, chips: tuple[ChipSettings, ...]) -> Iterator[Finding]:
    wanted = {chip.mux for chip in chips if chip.mux is not None}
    for address in sorted(wanted | set(seen.muxes)):
        where = Where(address)
        name = "TCA9548A"
        answer = Answer(where, name if address in seen.muxes else "")
        if seen.users:
            found = f"a {name} is configured; it is not touched while the bus is in use"
            yield _finding(bus, where, State.SKIPPED, found, "", answer, name)
        elif address in seen.muxes:
            found = f"{name}, as configured" if address in wanted else f"{name}, a multiplexer"
            yield _finding(bus, where, State.OK, found, "", answer, name if address in wanted else None)
        else:
            other = next((a for a in seen.answers if a.where == where), None)
            found = "nobody answers" if other is None else f"{_article(other.words)} answers"
            remedy = f"{WIRES} (A0 to A2)."
            if seen.muxes:
                remedy = f"A {name} answers at {', '.join(f'0x{a:02X}' for a in seen.muxes)}. {remedy}"
            yield _finding(bus, where, State.WRONG, f"{found}, a {name} is configured", remedy, answer, name)


def _configured(
    bus: str,
    seen: Seen,
    where: Where,
    chip: ChipSettings,
    answers: dict[Where, Answer],
    spare: list[Answer],
) -> Finding:
    """Return how a configured chip is; `spare` are those that answer and are not configured."""
    name = chip_name(chip)
    answer = answers.get(where)
    if where in seen.not_asked:
        found = f"{name} is configured; it cannot be asked while the bus is in use"
        return _finding(bus, where, State.SKIPPED, found, "", answer, name)
    if where.mux is not None and where.mux not in seen.muxes:
        found = f"{name} is configured, behind a multiplexer that does not answer"
        return _finding(bus, where, State.SKIPPED, found, "", answer, name)
    if answer is None and where.mux is None and where.address in seen.scan.taken:
        return _finding(
            bus,
            where,
            State.WRONG,
            f"a driver of the kernel uses it, {name} is configured",
            "Take its line out of /boot/firmware/config.txt (dtoverlay=…), and start the computer again.",
            answer,
            name,
        )
    if answer is None:
        elsewhere = [a.where for a in spare if a.name == name]
        remedy = f"{WIRES}."
        if elsewhere:
            other = _article(name)
            remedy = (
                f"{other[0].upper()}{other[1:]} answers at {elsewhere[0]}: is it that one? Else l{remedy[1:]}"
            )
        return _finding(
            bus, where, State.WRONG, f"nobody answers, {name} is configured", remedy, answer, name
        )
    if answer.name == name:
        found = f"{answer.words.replace(name, f'{name}, as configured', 1)}"
        return _finding(bus, where, State.OK, found, "", answer, name)
    found = f"{_article(answer.words)} answers, {name} is configured"
    remedy = f"Put {_article(name)} there, or correct the line of the configuration."
    if answer.chip is not None:
        line = line_for(answer, set(), set())
        remedy = f"Put {_article(name)} there, or correct the line: {line}"
    elif name in answer.refusals:
        found += f" ({answer.refusals[name]})"
    if not answer.name:
        remedy = (
            f"Is it {_article(name)}, by the print on it? Then look at its 3.3 V and ground, and whether "
            "another chip has its address, too. Else correct the line of the configuration."
        )
    return _finding(bus, where, State.WRONG, found, remedy, answer, name)


def _finding(
    bus: str,
    where: Where,
    state: State,
    found: str,
    remedy: str,
    answer: Answer | None,
    configured: str | None,
) -> Finding:
    figures = figures_of(bus, where, answer, configured)
    return Finding(Area.I2C, state, f"{bus} {where}", found, remedy, figures)


def _article(words: str) -> str:
    """Return a name with its article, as it is spoken: an ADXL345, a BME280."""
    if words.startswith("somebody"):
        return words
    letter_by_letter = words[:1] in "AEFHILMNORSX" and not words.startswith("NAU")
    return f"{'an' if letter_by_letter else 'a'} {words}"


def _place(where: Where) -> str:
    """Return a place as the configuration has it."""
    address = f"`address = 0x{where.address:02X}`"
    if where.mux is None:
        return address
    return f"`mux = 0x{where.mux:02X}, channel = {where.channel}` and {address}"


def _ordinal(count: int) -> str:
    return {1: "second", 2: "third", 3: "fourth"}.get(count, f"{count + 1}th")
