"""Clocks that are wrong, jump, slew and leap: what a subscriber of a real broker sees of a real agent.

Order, numbers, durations and what the detectors say must be those of a clock that was right all the time;
times must be right wherever the date was known by the time at which a record left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.blocks import NS_PER_S
from agent.records import decode
from agent.timebase import wall_ns_of
from tests.clock.kernel import SINCE_1970_S, START_NS, Kernel
from tests.clock.van import Document, Ride, told
from tests.uplink.brokers import Mosquitto, Subscriber

HOUR_S = 3600
NEAR_NS = 1_000_000


class FarEnd:
    """A broker and who listens to it; away until `come`."""

    def __init__(self, folder: Path) -> None:
        self.broker = Mosquitto(folder)
        self.broker.kill()
        self.config = self.broker.config()
        self._subscriber: Subscriber | None = None

    def come(self) -> None:
        self.broker.start()
        self._subscriber = Subscriber(self.broker.port)

    def wait_for_the_box(self) -> None:
        """Return when it is connected: what is made from now on is live and no backlog."""
        subscriber = self._subscriber
        assert subscriber is not None
        subscriber.wait(lambda: "online" in subscriber.states())

    def wait_for(self, ride: Ride) -> None:
        """Return when all has come that was made so far."""
        assert self._subscriber is not None
        ride.service.outbox.flush()
        wanted = {(r.boot, r.seq) for r in list(ride.made)}
        self._subscriber.wait(
            lambda: wanted <= {(d["boot"], d["seq"]) for d in (*self.documents(), *self.health())}
        )

    def end(self, ride: Ride) -> list[Document]:
        """Return what came when all has come, and the ride is over."""
        self.wait_for(ride)
        ride.end()
        self.wait_for(ride)
        return self.documents()

    def documents(self) -> list[Document]:
        """Return what came, as it came, but for status and health."""
        assert self._subscriber is not None
        kinds = ("/status", "/health")
        return [
            decode(bytes(m.payload)) for m in list(self._subscriber.messages) if not m.topic.endswith(kinds)
        ]

    def health(self) -> list[Document]:
        assert self._subscriber is not None
        return [decode(bytes(m.payload)) for m in self._subscriber.messages if m.topic.endswith("/health")]

    def close(self) -> None:
        if self._subscriber is not None:
            self._subscriber.close()
        self.broker.kill()


@pytest.fixture
def far_end(tmp_path: Path) -> Iterator[FarEnd]:
    far_end = FarEnd(tmp_path)
    yield far_end
    far_end.close()


def is_alarm(document: Document) -> bool:
    """Whether it goes before all else; a snippet tells the severity of its events and waits its turn."""
    return "phase" in document and document["phase"] != "end" and document["severity"] >= 3


def overtakers(made: list[tuple[int, int]]) -> int:
    """Return how many came before something older."""
    return sum(one > min(made[i:]) for i, one in enumerate(made))


def in_order(came: list[Document], *boots: str) -> None:
    """Alarms in their order; the rest in theirs, but for the newest features, first on a new connection."""
    for alarms in (True, False):
        numbers = [(boots.index(d["boot"]), d["seq"]) for d in came if is_alarm(d) is alarms]
        assert overtakers(numbers) <= (0 if alarms else 1), (alarms, numbers)


def hold_up(came: list[Document], ride: Ride) -> None:
    """Nothing repeated, nothing missing, order within each class, and what is said as with a good clock."""
    own = [d for d in came if d["boot"] == ride.service.boot]
    health = {r.seq for r in ride.made if r.kind == "health"}
    assert sorted(d["seq"] for d in own) == [r.seq for r in ride.made if r.seq not in health], "each once"
    in_order(own, ride.service.boot)
    by_number = sorted(own, key=lambda d: d["seq"])
    assert [told(d) for d in by_number] == [told(d) for d in ride.with_a_good_clock()]
    assert sum(map(is_alarm, own)) >= 2, "a test without alarms shows little"


def off_s(came: list[Document], ride: Ride) -> list[float]:
    """Return by how much each record's time is wrong, by number."""
    own = sorted((d for d in came if d["boot"] == ride.service.boot), key=lambda d: d["seq"])
    good = ride.with_a_good_clock()
    return [(wall_ns_of(d["t"]) - wall_ns_of(g["t"])) / NS_PER_S for d, g in zip(own, good, strict=True)]


def test_boot_in_1970_without_a_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, far_end: FarEnd
) -> None:
    """All of it waits; then the date comes, then the broker: all of it leaves with the right times."""
    kernel = Kernel(monkeypatch, offset_ns=0)
    with Ride(tmp_path, kernel, far_end.config) as ride:
        ride.drive(60)
        before = len(ride.made)
        kernel.synchronise()
        ride.drive(40)
        far_end.come()
        came = far_end.end(ride)
    hold_up(came, ride)
    tq = [d["tq"] for d in sorted(came, key=lambda d: d["seq"])]
    assert tq == ["restamped"] * before + ["synced"] * (len(came) - before), tq
    assert max(map(abs, off_s(came, ride))) < 1e-3, off_s(came, ride)
    assert any(is_alarm(d) and d["tq"] == "restamped" for d in came), "alarms, too"


def test_boot_in_1970_with_a_broker_that_hears_it_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, far_end: FarEnd
) -> None:
    """What had left is put right by the receiver, who is told by how much."""
    kernel = Kernel(monkeypatch, offset_ns=0)
    far_end.come()
    with Ride(tmp_path, kernel, far_end.config, health_s=1.0) as ride:
        far_end.wait_for_the_box()
        ride.drive(35)
        far_end.wait_for(ride)
        early = far_end.documents()
        assert {d["tq"] for d in early} == {"unset"} and all(d["t"].startswith("1970") for d in early)
        kernel.synchronise()
        ride.drive(35)
        ride.wait_for(lambda: any("clock_steps" in health for health in ride.health()))
        came = far_end.end(ride)
    hold_up(came, ride)
    (step,) = far_end.health()[-1]["clock_steps"]
    assert step["step_s"] == pytest.approx(SINCE_1970_S, abs=1e-3)
    for document, wrong_s in zip(sorted(came, key=lambda d: d["seq"]), off_s(came, ride), strict=True):
        was_early = document["tq"] == "unset"
        assert was_early <= (step["first"] <= document["seq"] <= step["last"]), (step, document)
        assert abs(wrong_s + was_early * step["step_s"]) < 1e-3, (wrong_s, document)


@pytest.mark.parametrize("jump_s", [-HOUR_S, HOUR_S, -86_400 * 400])
def test_a_jump_while_it_drives(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, far_end: FarEnd, jump_s: int
) -> None:
    """Somebody sets the date wrong by hand, in the middle of an event; nobody ever said what is right."""
    kernel = Kernel(monkeypatch, offset_ns=START_NS)
    far_end.come()
    with Ride(tmp_path, kernel, far_end.config) as ride:
        far_end.wait_for_the_box()
        ride.drive(31)  # a swing of pressure has just begun
        kernel.jump_s(jump_s)
        ride.drive(39)
        came = far_end.end(ride)
    hold_up(came, ride)
    wrong = [round(s, 3) for s in off_s(came, ride)]
    assert set(wrong) == {0, jump_s} and wrong == sorted(wrong, key=lambda s: s == jump_s), wrong
    assert {d["tq"] for d in came} == {"holdover"}


def test_a_jump_back_is_put_right_where_a_time_server_has_spoken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, far_end: FarEnd
) -> None:
    kernel = Kernel(monkeypatch, offset_ns=START_NS, synced=True)
    far_end.come()
    with Ride(tmp_path, kernel, far_end.config) as ride:
        far_end.wait_for_the_box()
        ride.drive(31)
        kernel.jump_s(-HOUR_S)
        ride.drive(39)
        came = far_end.end(ride)
    hold_up(came, ride)
    assert max(map(abs, off_s(came, ride))) < 1e-3, off_s(came, ride)
    assert {d["tq"] for d in came} == {"synced", "restamped"}


def test_a_slew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, far_end: FarEnd) -> None:
    """A time server draws the clock back by 500 ppm, which is as fast as the kernel does it: by 0.6 s."""
    kernel = Kernel(monkeypatch, offset_ns=START_NS + 600_000_000)
    far_end.come()
    with Ride(tmp_path, kernel, far_end.config) as ride:
        far_end.wait_for_the_box()
        for _ in range(24):
            ride.drive(5)
            kernel.offset_ns -= 25_000_000  # as much as ten seconds' worth at a time: marks come each second
        kernel.synchronise()
        ride.drive(10)
        came = far_end.end(ride)
    hold_up(came, ride)
    wrong = off_s(came, ride)
    assert all(0 <= late <= 0.6001 for late in wrong) and abs(wrong[-1]) < 1e-3, wrong
    assert {d["tq"] for d in came} == {"holdover", "synced"}, "off by less than a second: nothing is moved"


def test_a_leap_second(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, far_end: FarEnd) -> None:
    """The kernel repeats a second, and stays synchronised."""
    kernel = Kernel(monkeypatch, offset_ns=START_NS, synced=True)
    far_end.come()
    with Ride(tmp_path, kernel, far_end.config) as ride:
        far_end.wait_for_the_box()
        ride.drive(31)
        kernel.offset_ns -= NS_PER_S
        ride.drive(39)
        came = far_end.end(ride)
    hold_up(came, ride)
    wrong = [round(s, 3) for s in off_s(came, ride)]
    assert set(wrong) == {0, -1} and wrong == sorted(wrong, reverse=True), wrong
    assert {d["tq"] for d in came} == {"synced"}


@dataclass(frozen=True)
class Again:
    """How the agent comes to be started a second time, and what that makes of the first start's records."""

    begin_anew: Callable[[Kernel], None]
    tq_of_first: str


AGAIN = {
    "the agent alone": Again(lambda kernel: None, "restamped"),
    "the computer": Again(lambda kernel: kernel.reboot(HOUR_S, offset_ns=0), "unset"),
}


@pytest.mark.parametrize("what", AGAIN)
def test_started_again_with_the_clock_wrong_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, far_end: FarEnd, what: str
) -> None:
    """The first start never sees the date. Across a reboot nobody knows how long the box was off."""
    kernel = Kernel(monkeypatch, offset_ns=0)
    with Ride(tmp_path, kernel, far_end.config) as first:
        first.drive(50)
    assert first.made[-1].seq > 5
    AGAIN[what].begin_anew(kernel)
    with Ride(tmp_path, kernel, far_end.config) as second:
        second.drive(50)
        kernel.synchronise()
        second.drive(5)
        far_end.come()
        came = far_end.end(second)
    for ride in (first, second):
        hold_up(came, ride)
    in_order(came, first.service.boot, second.service.boot)
    of_first = {d["tq"] for d in came if d["boot"] == first.service.boot}
    assert of_first == {AGAIN[what].tq_of_first}
    right = (second,) if what == "the computer" else (first, second)
    for ride in right:
        assert max(map(abs, off_s(came, ride))) < 1e-3, off_s(came, ride)


def test_the_date_is_set_between_two_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, far_end: FarEnd
) -> None:
    """What the first start left is put right, though the second has no contact with its source yet."""
    kernel = Kernel(monkeypatch, offset_ns=0)
    with Ride(tmp_path, kernel, far_end.config) as first:
        first.drive(50)
    kernel.synchronise()
    far_end.come()
    with Ride(tmp_path, kernel, far_end.config, contact=False):
        far_end.wait_for(first)
        came = far_end.documents()
    hold_up(came, first)
    assert {d["tq"] for d in came} == {"restamped"} and max(map(abs, off_s(came, first))) < 1e-3


@pytest.mark.parametrize("year", [2038, 2100])
def test_a_clock_far_in_the_future(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, far_end: FarEnd, year: int
) -> None:
    """A battery clock with a spoilt date: believed until a time server says better, and harmless."""
    ahead_s = (year - 1970) * 31_556_952 + 40 * 86_400 - SINCE_1970_S
    kernel = Kernel(monkeypatch, offset_ns=START_NS + ahead_s * NS_PER_S)
    with Ride(tmp_path, kernel, far_end.config) as ride:
        ride.drive(35)
        assert {decode(r.payload)["t"][:4] for r in ride.made} == {str(year)}
        kernel.synchronise()
        ride.drive(15)
        far_end.come()
        came = far_end.end(ride)
    hold_up(came, ride)
    assert max(map(abs, off_s(came, ride))) < 1e-3 and {d["tq"] for d in came} == {"restamped", "synced"}
