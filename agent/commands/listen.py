"""Hear what boxes publish, and read what they have published, in plain words.

Without FILE: subscribes at a broker and prints a line for each record that arrives, in either encoding,
until Ctrl-C. It has a client id of its own, publishes nothing, and disturbs no box. With --config it goes to
the broker that the agent goes to, with the same credentials and the same TLS.

With FILEs: prints what is in them: the records.jsonl of a replay, what `outbox export` or this verb with
--json has written, or a single payload, JSON or MessagePack. FILE may be - for stdin.

With --snippets DIR, raw samples that come (docs/recordings.md) are saved there, each snippet as an MCAP log
that `cargobox replay` and Foxglove open.

With --json, a line is a JSON document {"topic", "qos", "payload"} as in records.jsonl.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import queue
import re
import secrets
import signal
import sys
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from agent.commands.listen_files import Said, read_all
from agent.commands.run import check_seconds
from agent.commands.words import kind_of, line_of, shown
from agent.config import load_config
from agent.errors import BrokerError, LogFileError, PayloadError, UsageError, did_you_mean
from agent.ranges import IN_WORDS, NAME
from agent.records import Kind, decode, topic_of
from agent.snippet_files import SnippetReader, SnippetSamples, save
from agent.uplink import BrokerConfig
from agent.uplink.listener import Listener
from agent.uplink.topics import STATUS

KINDS = (*(kind.value for kind in Kind), STATUS)
RETRY_S = (1.0, 2.0, 5.0)  # then every so often as the last says
REMEMBERED = 10_000  # records of which a repetition is known
COLOURS = {"alarm": "31;1", "gap": "33", "status": "2", "features": "2"}  # ECMA-48, SGR
QOS = 1
HEAD = {"v": int, "box": str, "boot": str, "t": str}  # what no record is without


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("file", nargs="*", metavar="FILE", help="read these instead; - for stdin")
    parser.add_argument("--config", type=Path, metavar="FILE", help="the agent's configuration (TOML)")
    parser.add_argument("--host", metavar="H", help="the broker; default: localhost")
    parser.add_argument("--port", type=int, metavar="P", help="its port; default: 1883")
    parser.add_argument("--fleet", metavar="F", help="default: every fleet; with --config, its own")
    parser.add_argument("--box", metavar="B", help="one box; default: all of the fleet")
    parser.add_argument("--kind", metavar="K,K", help=f"only these, of {', '.join(KINDS)}")
    parser.add_argument("--seconds", type=float, metavar="N", help="end after N seconds; default: never")
    parser.add_argument("--snippets", type=Path, metavar="DIR", help="save raw samples there, as MCAP")
    parser.add_argument("--json", action="store_true", help="a JSON document a line on stdout")


def run(args: argparse.Namespace) -> int:
    """Print until told to stop; 1 when something that came could not be read."""
    check_seconds(args.seconds)
    kinds = _kinds(args.kind)
    printer = Printer(as_json=args.json, snippets=args.snippets)
    if args.file:
        given = ("config", "host", "port", "seconds")
        if beside := [name for name in given if getattr(args, name) is not None]:
            raise UsageError(
                "reading the command line",
                got=f"FILE and --{beside[0]}",
                expected="files to read, or a broker to listen to",
                remedy="Drop one of them.",
            )
        names = {2: args.fleet, 3: args.box}
        for said in read_all(args.file, printer.complain):
            levels = said.topic.split("/")
            fits = all(name is None or levels[at : at + 1] == [name] for at, name in names.items())
            if fits and (args.kind is None or kind_of(said.topic, said.payload) in kinds):
                printer.show(said)
        printer.save_rest()
        return 1 if printer.unreadable else 0
    broker, topics = _broker(args, kinds)
    return _listen(broker, topics, printer, args.seconds, with_config=args.config is not None)


def _kinds(given: str | None) -> tuple[str, ...]:
    kinds = KINDS if given is None else tuple(kind.strip() for kind in given.split(","))
    for kind in kinds:
        if kind not in KINDS:
            raise UsageError(
                "reading --kind",
                got=f"{kind!r}{did_you_mean(kind, KINDS)}",
                expected=f"some of {', '.join(KINDS)}, with commas between",
                remedy="Leave it away to hear all.",
            )
    return kinds


def _broker(args: argparse.Namespace, kinds: tuple[str, ...]) -> tuple[BrokerConfig, list[str]]:
    """Return whom to connect to, and what to subscribe to."""
    config = load_config(args.config)
    fleet = args.fleet or (config.box.fleet if args.config is not None else "+")
    for option, name in (("--fleet", args.fleet), ("--box", args.box)):
        if name is not None and not re.fullmatch(NAME, name):
            raise UsageError(
                f"reading {option}",
                got=repr(name),
                expected=IN_WORDS[NAME],
                remedy="Leave it away to hear all.",
            )
    if args.port is not None and not 1 <= args.port <= 65_535:
        raise UsageError(
            "reading --port",
            got=f"{args.port}",
            expected="1 to 65535",
            remedy="Brokers listen at 1883, with TLS at 8883.",
        )
    changes = {key: value for key in ("host", "port") if (value := getattr(args, key)) is not None}
    broker = msgspec.structs.replace(config.broker, **changes)
    # each kind by its name: "#" would bring what boxes are told, too
    return broker, [topic_of(fleet, args.box or "+", kind) for kind in kinds]


def _listen(
    broker: BrokerConfig, topics: list[str], printer: Printer, seconds: float | None, *, with_config: bool
) -> int:
    heard: queue.SimpleQueue[tuple[str, bytes] | None] = queue.SimpleQueue()
    ending = _Ending(heard, seconds)
    attempt, listener = 0, None
    while not ending.over():
        listener = Listener(
            broker,
            client_id=f"cargobox-listen-{secrets.token_hex(6)}",
            topics=topics,
            on_message=lambda topic, payload: heard.put((topic, payload)),
            on_lost=lambda: heard.put(None),
        )
        try:
            listener.open()
        except BrokerError as error:
            told = _for_listeners(error, with_config=with_config)
            if not printer.connected:
                raise told from error
            if not attempt:
                print(f"lost the broker: {told.got}; trying again", file=sys.stderr, flush=True)
            ending.wait(RETRY_S[min(attempt, len(RETRY_S) - 1)])
            attempt += 1
            continue
        attempt = 0
        printer.say_connected(broker.address, topics[0].rpartition("/")[0])
        try:
            while not ending.over() and (listener.lost is None or not heard.empty()):
                with contextlib.suppress(queue.Empty):
                    item = heard.get(timeout=ending.left_s)
                    if item is not None:
                        printer.take(*item)
        finally:
            listener.close()
        if listener.lost is not None and not ending.over():
            print(f"{listener.lost.got}; connecting again", file=sys.stderr, flush=True)
    printer.save_rest()
    printer.say_summary()
    return 1 if printer.unreadable else 0


class _Ending:
    """When listening ends: after its seconds, or by a signal, which wakes whoever waits for `heard`."""

    def __init__(self, heard: queue.SimpleQueue[tuple[str, bytes] | None], seconds: float | None) -> None:
        self._until_s = None if seconds is None else time.monotonic() + seconds
        self._asked = False
        self._heard = heard
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    def _ask(self, *_: object) -> None:
        self._asked = True
        self._heard.put(None)

    @property
    def left_s(self) -> float | None:
        return None if self._until_s is None else max(0.0, self._until_s - time.monotonic())

    def over(self) -> bool:
        return self._asked or self.left_s == 0.0

    def wait(self, pause_s: float) -> None:
        """Let some time pass, or less when it is over."""
        until_s = time.monotonic() + pause_s
        while not self.over() and (pause_s := until_s - time.monotonic()) > 0:
            with contextlib.suppress(queue.Empty):
                self._heard.get(timeout=pause_s if self.left_s is None else min(pause_s, self.left_s))


class Printer:
    """Prints what comes, each record once, and counts it."""

    def __init__(self, *, as_json: bool, snippets: Path | None = None) -> None:
        self._folder = snippets
        self._reader = SnippetReader()
        self._as_json = as_json
        self._colour = not as_json and sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self._seen: OrderedDict[tuple[Any, ...], None] = OrderedDict()
        self._counts: Counter[str] = Counter()
        self._boxes: set[str] = set()
        self._twice = 0
        self.connected = False
        self.unreadable = 0

    def take(self, topic: str, payload: bytes) -> None:
        """Print a message as it came; tell what it is where it cannot be read."""
        if not payload:
            return  # somebody has cleared a retained message
        try:
            document = decode(payload)
        except PayloadError as error:
            self.complain(error, topic)
            return
        self.show(Said(topic, document))

    def show(self, said: Said) -> None:
        """Print a record, unless it came before: QoS 1 may repeat."""
        try:
            _check_head(said.payload)
            line = line_of(said.topic, said.payload)
            if self._came_before(said.payload):
                return
        except PayloadError as error:
            self.complain(error, said.topic or "a document")
            return
        except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError):
            self.complain(_no_record(), said.topic or "a document")
            return
        kind = kind_of(said.topic, said.payload)
        self._counts[kind] += 1
        self._boxes.add("/".join(said.topic.split("/")[2:4]) or str(said.payload.get("box")))
        if self._as_json:
            document: Mapping[str, Any] = {"topic": said.topic, "qos": QOS, "payload": said.payload}
            line = shown(msgspec.json.encode(document).decode(), json=True)
        colour = COLOURS.get(kind, "") if self._colour else ""
        print(f"\x1b[{colour}m{line}\x1b[0m" if colour else line, flush=True)
        if kind == Kind.SNIPPET and self._folder is not None:
            self._save(lambda: self._reader.take(said.payload), said.topic)

    def save_rest(self) -> None:
        """Save what has come of snippets of which parts are missing."""
        if self._folder is not None:
            where = "a snippet of which parts are missing"
            self._save(lambda: self._reader.rest(lambda error: self.complain(error, where)), where)

    def _save(self, samples: Callable[[], Iterable[SnippetSamples]], where: str) -> None:
        """Save what is complete; a disk that is full costs the snippet, and not the listening."""
        assert self._folder is not None
        try:
            for one in samples():
                try:
                    path = save(one, self._folder)
                except OSError as error:
                    got = error.strerror or str(error)
                    self.complain(_not_saved(one.name, self._folder, got), where)
                    continue
                except LogFileError as error:
                    self.complain(_not_saved(one.name, self._folder, error.got), where)
                    continue
                if path is None:
                    continue
                missing = f"; {one.missing_parts} of its parts did not come" if one.missing_parts else ""
                print(f"saved {path}{missing}", file=sys.stderr, flush=True)
        except PayloadError as error:
            self.complain(error, where)

    def _came_before(self, payload: Mapping[str, Any]) -> bool:
        if "seq" not in payload:
            return False
        key = (payload.get("box"), payload.get("boot"), payload["seq"])
        if key in self._seen:
            self._twice += 1
            return True
        self._seen[key] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return False

    def complain(self, error: PayloadError, where: str) -> None:
        """Tell of what cannot be read, and go on."""
        self.unreadable += 1
        print(f"error: {shown(where)}: {shown(str(error))}", file=sys.stderr, flush=True)

    def say_connected(self, address: str, topic: str) -> None:
        """Tell a person that it works, though nothing may come for long."""
        self.connected = True
        print(f"listening to {topic} at {address}; Ctrl-C ends", file=sys.stderr, flush=True)

    def say_summary(self) -> None:
        """Tell what came."""
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self._counts.items())) or "nothing"
        boxes = f" from {len(self._boxes)} box{'' if len(self._boxes) == 1 else 'es'}" if self._boxes else ""
        odd = [(self._twice, "came twice"), (self.unreadable, "could not be read")]
        more = "".join(f"; {count} {what}" for count, what in odd if count)
        print(f"{kinds}{boxes}{more}", file=sys.stderr, flush=True)


def _not_saved(name: str, folder: Path, got: str) -> PayloadError:
    return PayloadError(
        f"saving {name} in {folder}",
        got=got,
        expected="a folder that this user may write to, with room in it",
        remedy="Check permissions and free space (`df -h`). Listening goes on, and the next one is tried.",
    )


def _check_head(payload: Mapping[str, Any]) -> None:
    """Raise PayloadError where what every record says of itself is missing, or is something else."""
    for key, kind in HEAD.items():
        if type(payload.get(key)) is not kind:
            raise _no_record(
                f"a document without {key!r}" if key not in payload else f"one with an odd {key!r}"
            )


def _no_record(got: str = "a document that is none, or damaged") -> PayloadError:
    return PayloadError(
        "reading a record",
        got=got,
        expected="a record as docs/asyncapi.yaml describes it",
        remedy="Look at who else publishes there.",
    )


def _for_listeners(error: BrokerError, *, with_config: bool) -> BrokerError:
    """Return an error of the uplink's with a remedy for who listens, and has nothing that waits."""
    remedy = error.remedy.replace(" Records wait meanwhile.", "")
    if not with_config:
        if "password_file" in remedy:
            remedy = (
                "Put username and password_file under [broker] of a configuration, and give it with --config."
            )
        else:
            remedy = remedy.replace(" under [broker]", " on the command line")
    return BrokerError(error.doing, got=error.got, expected=error.expected, remedy=remedy)
