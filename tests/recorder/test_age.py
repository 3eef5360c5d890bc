"""What goes for its age, and that no clock which lies takes the ring with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agent.blocks import NS_PER_S, Block, RegularClock
from agent.recorder import shelf
from agent.recorder.holdings import AGED_A_FILE, STEADY_NS
from agent.recorder.missing import CARD, MOST_SPANS, SLOW, MissingBook
from agent.recorder.ring import Ring
from agent.timebase import TimeMark, TimeQuality
from tests.recorder.rings import BOOT, WALL_NS, drive, names, ring_at

DAY_S = 86_400
YEARS_S = 20 * 365 * DAY_S
LATER = "f" * 16
MIB = 1 << 20
DAYS = {"max_days": 1.0}


def earlier(
    directory: Path, count: int = 3, boot: str = BOOT, quality: TimeQuality = TimeQuality.SYNCED
) -> None:
    """Record as many files in a start of the agent that is over."""
    ring = ring_at(directory, boot=boot)
    for item in drive(count):
        ring.write(TimeMark(0, WALL_NS, quality) if isinstance(item, TimeMark) else item)
    ring.close()


def tell(ring: Ring, after_s: float, quality: TimeQuality = TimeQuality.SYNCED) -> None:
    ring.write(TimeMark(0, WALL_NS + round(after_s * NS_PER_S), quality))


def go_on(ring: Ring, begin_s: int, seconds: int) -> None:
    """A temperature a second, and a file each half a minute."""
    clock = RegularClock.of_rate(1, anchor_ns=0)
    for first in range(begin_s, begin_s + seconds, 30):
        ring.write(Block("temperature", first, clock, np.full((31, 1), 20.0, np.float32)))
        clock = RegularClock.of_rate(1, anchor_ns=0)


def of(boot: str, directory: Path) -> int:
    return sum(boot in name for name in names(directory))


@pytest.mark.parametrize("quality", TimeQuality)
def test_what_is_older_than_so_many_days_goes_and_that_is_said(
    quality: TimeQuality, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "cargobox")
    earlier(tmp_path)
    ring = ring_at(tmp_path, DAYS, boot=LATER)
    tell(ring, DAY_S + 60, quality)
    go_on(ring, 0, 1200)
    goes = quality is TimeQuality.SYNCED
    assert of(BOOT, tmp_path) == (0 if goes else 3), "only a date that is known makes anything old"
    assert caplog.text.count("max_days is 1") == (3 if goes else 0)
    assert of(LATER, tmp_path) >= 40
    ring.close()


def test_a_boot_whose_clock_was_never_set_holds_up_no_days(tmp_path: Path) -> None:
    """It says not how old it is; the boot after it does."""
    earlier(tmp_path, 1, "a" * 16, TimeQuality.UNSET)
    earlier(tmp_path, 1)
    ring = ring_at(tmp_path, DAYS, boot=LATER)
    tell(ring, DAY_S - 2000)
    go_on(ring, 0, 900)
    assert of("a" * 16, tmp_path) == of(BOOT, tmp_path) == 1, "none is a day old"
    go_on(ring, 3000, 900)
    assert of("a" * 16, tmp_path) == of(BOOT, tmp_path) == 0
    ring.close()


def test_of_one_start_box_time_tells_whatever_the_clock_says(tmp_path: Path) -> None:
    ring = ring_at(tmp_path, DAYS)
    go_on(ring, 0, 60)
    for after_s in (YEARS_S, -YEARS_S, 0):
        tell(ring, after_s)
        go_on(ring, 60 if after_s > 0 else 1500, 1200)
        assert names(tmp_path)[0].startswith("00000001"), "the clock has made it old"
    tell(ring, 0, TimeQuality.UNSET)
    go_on(ring, DAY_S + 300, 90)
    assert not names(tmp_path)[0].startswith("00000001"), "a day has been recorded since"
    ring.close()


def test_a_jump_of_the_clock_deletes_nothing_if_it_is_put_right_soon(tmp_path: Path) -> None:
    """1970, twenty years on, back, and a clock that holds over with a wrong date: each for some minutes."""
    earlier(tmp_path, 12)
    ring = ring_at(tmp_path, DAYS, boot=LATER)
    at_s = 0
    for after_s, quality in [
        (-WALL_NS // NS_PER_S, TimeQuality.SYNCED),
        (YEARS_S, TimeQuality.SYNCED),
        (600, TimeQuality.SYNCED),
        (40 * DAY_S, TimeQuality.SYNCED),
        (YEARS_S, TimeQuality.HOLDOVER),
        (YEARS_S, TimeQuality.UNSET),
        (600, TimeQuality.SYNCED),
    ]:
        tell(ring, after_s, quality)
        go_on(ring, at_s, 480)
        at_s += 480
        assert of(BOOT, tmp_path) == 12, (after_s, quality)
    ring.close()


def test_a_clock_that_lies_on_costs_little_until_it_is_put_right(tmp_path: Path) -> None:
    earlier(tmp_path, 40)
    ring = ring_at(tmp_path, DAYS, boot=LATER)
    tell(ring, YEARS_S)
    go_on(ring, 0, STEADY_NS // NS_PER_S + 120)
    left = of(BOOT, tmp_path)
    assert 40 - 6 * AGED_A_FILE <= left < 40, left
    tell(ring, 600)
    go_on(ring, 720, 1200)
    assert of(BOOT, tmp_path) == left
    ring.close()


def test_a_start_with_a_clock_of_the_past_is_no_older_than_what_came_before_it(tmp_path: Path) -> None:
    """The weeks of GPS have begun anew: 19 years too early, and trusted."""
    earlier(tmp_path, 3)
    wrong = ring_at(tmp_path, boot="a" * 16)
    tell(wrong, -YEARS_S)
    go_on(wrong, 0, 60)
    wrong.close()
    ring = ring_at(tmp_path, DAYS, boot=LATER)
    tell(ring, 3600)
    go_on(ring, 0, 1200)
    assert of(BOOT, tmp_path) == 3 and of("a" * 16, tmp_path) >= 1
    ring.close()


def test_the_bounds_hold_at_every_moment_with_unlike_streams_and_steps_of_the_clock(tmp_path: Path) -> None:
    steps = [0, -YEARS_S, YEARS_S, 40 * DAY_S, 5]
    ring = ring_at(tmp_path, {"max_mib": 0.4, "kept_mib": 0.2, **DAYS})
    largest_bytes = 0
    for i, item in enumerate(drive(45.0)):
        if i % 300 == 0:
            tell(ring, steps[i // 300 % len(steps)], list(TimeQuality)[i // 300 % 3])
        ring.write(item)
        largest_bytes = max(largest_bytes, sum(path.stat().st_size for path in tmp_path.glob("*.mcap")))
    assert 0.2 * MIB < largest_bytes <= 0.4 * MIB, largest_bytes
    left = sorted(file.number for file, _ in ring.files())
    assert left == list(range(left[0], left[0] + len(left))), "the oldest go first, whatever the clock says"
    ring.close()


def test_what_was_set_aside_counts_and_goes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Else a card that spoils a file now and then is full of them one day."""
    for number in range(1, 9):
        name = shelf.name_of(number, WALL_NS, BOOT) + shelf.DAMAGED_SUFFIX
        (tmp_path / name).write_bytes(b"x" * (MIB // 16))
    ring = ring_at(tmp_path, {"max_mib": 0.5})
    items = list(drive(40.0))
    for item in items[:30]:
        ring.write(item)
    aside = sorted(path.name[:8] for path in tmp_path.glob("*.damaged"))
    assert aside == ["00000007", "00000008"], "a quarter of the ring at most, the newest"
    for item in items[30:]:
        ring.write(item)
        size_bytes = sum(path.stat().st_size for path in tmp_path.iterdir() if ".mcap" in path.name)
        assert size_bytes <= 0.5 * MIB, size_bytes
    ring.close()
    assert not list(tmp_path.glob("*.damaged")), "they are older than what the ring has now"
    assert caplog.text.count(".damaged goes") == 8


def test_two_pauses_before_a_gap_record_are_two(tmp_path: Path) -> None:
    """Between them it was recorded: one span would say that it was not."""
    book = MissingBook()
    for first, last in [(0, 9), (10, 19), (100, 109)]:
        book.add("accel", first, last, first, last, CARD)
    book.add("accel", 50, 59, 50, 59, SLOW)
    found = sorted((m.first, m.last, m.start_ns, m.end_ns, m.reason) for m in book.take())
    assert found == [(0, 19, 0, 19, CARD), (50, 59, 50, 59, SLOW), (100, 109, 100, 109, CARD)]
    assert book.take() == [] and book.samples == 40
    for i in range(2 * MOST_SPANS):
        book.add("accel", 10 * i, 10 * i, i, i, CARD)
    spans = book.take()
    assert len(spans) == MOST_SPANS and spans[-1].last == 10 * (2 * MOST_SPANS - 1), (
        "bounded, and none left out"
    )
