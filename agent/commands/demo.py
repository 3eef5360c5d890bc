"""Show a whole trip, live, without hardware.

A virtual box (the real firmware on a real MicroPython), a broker of its own, the agent, and a view of
what a subscriber behind the broker receives.

Ends with the trip's story and what the box said of it; 1 if it said too little or too much.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.live import Live

from agent.blocks import NS_PER_S, Block
from agent.commands.demo_judge import SaidEvent, judge
from agent.commands.demo_view import Levels, Screen, encode, print_summary
from agent.commands.run import recorder_factory, relay
from agent.commands.subscriber import Subscriber, unix_s
from agent.commands.words import words_of
from agent.config import BoxSettings, Config, OutboxSettings
from agent.detection import DetectorSettings
from agent.detection.humidity import HumiditySettings
from agent.detection.temperature import TemperatureSettings
from agent.embedded_broker import EmbeddedBroker
from agent.errors import UsageError
from agent.pipeline import Item
from agent.records import Record
from agent.service import Service
from agent.sources.serial_box import SerialBox
from agent.timebase import measure_mark
from agent.uplink import BrokerConfig
from firmware_bridge.virtual import VirtualBox
from firmware_bridge.virtual.trip import Trip

DELIVERY_S = 10.0
REFRESH_HZ = 8
# vaccines on their way: 2 to 8 °C
TEMPERATURE = TemperatureSettings(low_degc=2.0, high_degc=8.0)
HUMIDITY = HumiditySettings(high_percent=75.0)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--seconds", type=float, default=60.0, metavar="N", help="length (default: 60)")
    parser.add_argument("--seed", type=int, default=1, help="which trip (default: 1)")
    parser.add_argument("--record", type=Path, metavar="LOG", help="also record the raw streams (.mcap)")
    parser.add_argument("--json", action="store_true", help="the summary as one JSON document on stdout")


class _Heard:
    """What the subscriber received, as events of the trip."""

    def __init__(self, screen: Screen, console: Console | None) -> None:
        self._screen = screen
        self._console = console
        self.begun_s: float | None = None  # wall time at which the trip began
        self._waiting: list[tuple[Mapping[str, Any], float]] = []
        self.events: list[SaidEvent] = []
        self.lock = threading.Lock()

    def begin(self, wall_s: float) -> None:
        """Say when the trip began."""
        with self.lock:
            self.begun_s = wall_s

    def take(self, kind: str, payload: Mapping[str, Any], arrived_s: float) -> None:
        """Take one message."""
        if kind not in {"alarm", "event"}:
            return
        with self.lock:
            if payload["phase"] != "start":
                self._tell_more(payload)
                return
            begun_s = self.begun_s or arrived_s
            said = SaidEvent(
                type=payload["type"],
                id=payload["id"],
                start_s=unix_s(payload["start"]) - begun_s,
                severity=payload["severity"],
                values=payload["values"],
                said_s=arrived_s - begun_s,
                delivered_ms=1000 * (arrived_s - unix_s(payload["t"])),
            )
            self.events.append(said)
            self._screen.events.append(said)
        if self._console is not None:
            self._console.print(
                f"{said.said_s:6.1f} s  {said.type}: {words_of(said.values)}", highlight=False
            )

    def _tell_more(self, payload: Mapping[str, Any]) -> None:
        for said in self.events:
            if said.id == payload["id"]:
                said.severity, said.values = payload["severity"], payload["values"]


def run(args: argparse.Namespace) -> int:
    """Run the demo."""
    if not args.seconds > 0:
        raise UsageError(
            "reading --seconds", got=f"{args.seconds}", expected="a number above 0", remedy="Try 30."
        )
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s %(message)s", stream=sys.stderr)
    stop = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with tempfile.TemporaryDirectory(prefix="cargobox-demo-") as folder:
        document, good = _trip(args, Path(folder), stop)
    if args.json:
        print(encode(document))
    return 0 if good else 1


def _trip(args: argparse.Namespace, folder: Path, stop: threading.Event) -> tuple[dict[str, Any], bool]:
    trip = Trip(seed=args.seed)
    console = Console(stderr=True)
    limits = {
        "tilt_deg": DetectorSettings().tilt.alarm_deg,
        "temperature_low": 2.0,
        "temperature_high": 8.0,
        "humidity_high": 75.0,
    }
    screen = Screen(seconds=args.seconds, limits=limits, what=f"trip {args.seed}")
    heard = _Heard(screen, None if console.is_terminal else console)
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(EmbeddedBroker())
        box = stack.enter_context(VirtualBox(trip, None, folder / "board"))
        config = Config(
            box=BoxSettings(id="demo-box", fleet="demo"),
            detect=DetectorSettings(temperature=TEMPERATURE, humidity=HUMIDITY),
            outbox=OutboxSettings(directory=str(folder / "outbox")),
            broker=BrokerConfig(host=broker.host, port=broker.port, protocol=broker.protocol),
        )
        subscriber = stack.enter_context(
            Subscriber(broker.host, broker.port, broker.protocol, "demo", heard.take)
        )
        service = _service(args, config, box.port, screen, heard, stop)
        service.start_uplink()
        try:
            service.start()
            screen.levels = Levels({s.name: s for s in service.streams})
            with _shown(console, screen):
                _wait(service, stop)
        finally:
            service.stop(DELIVERY_S)
        records = sum(service.tally.published.values())
        subscriber.wait_for(service.boot, records, DELIVERY_S)
        # the trip ends when it was asked to, or when somebody stopped it: not at a block's edge
        until_s = min(args.seconds, service.tally.duration_s)
        judged, unexplained = judge(trip.truth(until_s), heard.events, until_s)
        facts = {
            "seed": args.seed,
            **service.tally.as_dict(),
            "delivered": len(subscriber.seqs),
            "holes": records - len(subscriber.seqs),
            "duplicates": subscriber.duplicates,
            "firmware": box.interpreter.value,
            "broker": f"{broker.program}, MQTT {broker.protocol}",
            "stopped_early": stop.is_set(),
        }
    good = not unexplained and all(one.right for one in judged) and facts["holes"] == 0
    if not args.json:
        print_summary(Console(), judged, unexplained, facts)
    if service.failure is not None:
        good = False
    document = {
        **facts,
        "trip": [
            {
                "what": one.happening.what,
                "start_s": round(one.happening.start_s, 2),
                "end_s": round(one.happening.end_s, 2),
                "expected_event": one.happening.expected_event,
                "verdict": one.verdict,
                "events": [msgspec.to_builtins(event) for event in one.events],
            }
            for one in judged
        ],
        "unexplained": [msgspec.to_builtins(event) for event in unexplained],
    }
    return document, good


def _service(
    args: argparse.Namespace,
    config: Config,
    port: str,
    screen: Screen,
    heard: _Heard,
    stop: threading.Event,
) -> Service:
    """Build the agent with the view looking on; it ends when the trip is as long as was asked for."""
    offset_ns = measure_mark().offset_ns

    def on_items(items: Sequence[Item]) -> None:
        if screen.levels is not None:
            screen.levels.take(items)
        screen.tally = service.tally
        first_ns = service.tally.first_ns
        if heard.begun_s is None and first_ns is not None:
            heard.begin((first_ns + offset_ns) / NS_PER_S)
        newest_ns = max((i.last_ns for i in items if isinstance(i, Block)), default=0)
        if first_ns is not None and newest_ns - first_ns >= args.seconds * NS_PER_S:
            service.ended.set()

    def on_records(_: Sequence[Record]) -> None:
        screen.tally = service.tally

    service = Service(
        config,
        SerialBox(port),
        make_recorder=recorder_factory(args.record, config) if args.record else None,
        on_items=on_items,
        on_records=on_records,
    )
    return service


def _wait(service: Service, stop: threading.Event) -> None:
    """Wait for the trip's end, or for Ctrl-C."""
    threading.Thread(target=relay, args=(stop, service.ended), daemon=True).start()
    service.ended.wait()


@contextlib.contextmanager
def _shown(console: Console, screen: Screen) -> Iterator[None]:
    """Show the screen on a terminal; elsewhere the events are printed as they come."""
    if not console.is_terminal:
        yield
        return
    with Live(screen, console=console, refresh_per_second=REFRESH_HZ, screen=True):
        yield
