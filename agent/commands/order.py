"""Tell a box to do something, signed, and wait for its answer; or make the key for it.

  cargobox order --key FILE make-key
  cargobox order --key FILE --config FILE --box BOX status

FILE signs and stays with you. FILE.pub goes onto the boxes, under [orders] keys, and [orders] allow says
which verbs they take: status, flush (what is counted is put on the card, and sent), restart, and snippet,
which sends raw samples:

  cargobox order --key FILE --config FILE --box BOX snippet --stream accel \
    --from 2026-11-22T01:22:10Z --to 2026-11-22T01:22:30Z

An order is good for a minute and for one box, and each is done once. A box that is not connected does not
get it: send it again. With --json, the answer is one JSON document on stdout.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import queue
import re
import secrets
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

import msgspec

from agent.commands.run import check_seconds
from agent.commands.words import shown
from agent.config import load_config
from agent.errors import BrokerError, OrderError, PayloadError, UsageError, did_you_mean
from agent.orders.form import COUNTER_MAX, Order, key_id, seal
from agent.orders.keys import make_pair, read_private
from agent.orders.settings import Verb
from agent.ranges import IN_WORDS, NAME
from agent.records import decode, topic_of
from agent.uplink import BrokerConfig
from agent.uplink.listener import Listener
from agent.uplink.topics import command_topic

MAKE_KEY = "make-key"
SNIPPET = "snippet"
VERBS = (*get_args(Verb), MAKE_KEY)
GOOD_FOR_S = 60
MOST_COUNTER_BYTES = 64
ANSWER = "answer"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("verb", metavar="VERB", help=f"one of {', '.join(VERBS)}")
    parser.add_argument("--key", type=Path, metavar="FILE", required=True, help="the key that signs")
    parser.add_argument("--config", type=Path, metavar="FILE", help="whose [broker] to go to (TOML)")
    parser.add_argument("--host", metavar="H", help="the broker; default: localhost")
    parser.add_argument("--port", type=int, metavar="P", help="its port; default: 1883")
    parser.add_argument("--fleet", metavar="F", help="default: that of --config, or 'default'")
    parser.add_argument("--box", metavar="B", help="default: that of --config")
    parser.add_argument("--stream", metavar="S", help="snippet: of which stream")
    parser.add_argument("--from", dest="start", metavar="T", help="snippet: from when; RFC 3339")
    parser.add_argument("--to", dest="end", metavar="T", help="and to when")
    parser.add_argument("--seconds", type=float, metavar="N", default=10.0, help="wait so long; default: 10")
    parser.add_argument("--json", action="store_true", help="the answer as one JSON document on stdout")


def run(args: argparse.Namespace) -> int:
    """Send one order; 1 when it is not answered, or answered with no."""
    check_seconds(args.seconds)
    if args.verb not in VERBS:
        raise UsageError(
            "reading the command line",
            got=f"{args.verb!r}{did_you_mean(args.verb, VERBS)}",
            expected=f"one of {', '.join(VERBS)}",
            remedy="`cargobox order --help` says what each does.",
        )
    if args.verb == MAKE_KEY:
        return _make_key(args.key, as_json=args.json)
    arguments = _arguments(args)
    config = load_config(args.config)
    fleet, box = args.fleet or config.box.fleet, args.box or (config.box.id if args.config else "")
    for option, name in (("--fleet", fleet), ("--box", box)):
        if not re.fullmatch(NAME, name):
            raise UsageError(
                f"reading {option}", got=repr(name), expected=IN_WORDS[NAME], remedy="Say which box."
            )
    changes = {name: value for name in ("host", "port") if (value := getattr(args, name)) is not None}
    broker = msgspec.structs.replace(config.broker, **changes)
    public, sign = read_private(args.key)
    now_s = int(time.time())
    counter = next_counter(args.key)
    order = Order(
        fleet=fleet,
        box=box,
        verb=args.verb,
        args=arguments,
        counter=counter,
        issued=now_s,
        expires=now_s + GOOD_FOR_S,
    )
    answer = _ask(broker, order, seal(order, public, sign), key_id(public), args.seconds)
    if args.json:
        print(json.dumps(answer))
    elif answer["done"]:
        print(f"{box} has done it: {args.verb}")
        for name, value in answer["result"].items():
            print(shown(f"  {name:12} {value}"))
    else:
        print(shown(f"{box} has not done it ({answer.get('reason')}): {answer['got']}"))
    return 0 if answer["done"] else 1


def _arguments(args: argparse.Namespace) -> dict[str, str]:
    """Return what the verb is told beside its name. Raises UsageError."""
    given = {"--stream": args.stream, "--from": args.start, "--to": args.end}
    told = {option.removeprefix("--"): text for option, text in given.items() if text is not None}
    wanted = args.verb == SNIPPET
    if (wanted and len(told) < len(given)) or (told and not wanted):
        raise UsageError(
            "reading the command line",
            got=f"{args.verb} with {', '.join(f'--{name}' for name in told) or 'no options'}",
            expected=f"{', '.join(given)} with {SNIPPET}, and with nothing else",
            remedy=f"Say `{SNIPPET} --stream accel --from 2026-11-22T01:22:10Z --to 2026-11-22T01:22:30Z`.",
        )
    for name in ("from", "to"):
        text = told.get(name)
        if text is not None and not _is_time(text):
            raise UsageError(
                f"reading --{name}",
                got=repr(text),
                expected="a time with its zone",
                remedy="Write it as 2026-11-22T01:22:10Z, or with +01:00 in place of Z.",
            )
    return told


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def next_counter(key: Path) -> int:
    """Return a number above all that this key has signed: the time, or one more than the last."""
    path = key.with_name(key.name + ".counter")
    with path.open("a+b") as file:  # which no pipe holds up, but refuses with an OSError at `seek`
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        said = file.read(MOST_COUNTER_BYTES).strip()
        last = int(said) if said.isdigit() else 0
        if last >= COUNTER_MAX:
            raise OrderError(
                f"counting the orders of {key}",
                got=f"{path} at {last}",
                expected=f"a number below {COUNTER_MAX}: the time in microseconds",
                remedy="Delete it if it was changed by hand: the boxes know how far they have counted.",
            )
        counter = max(last + 1, time.time_ns() // 1000)
        file.truncate(0)
        file.write(b"%d\n" % counter)
    return counter


def _make_key(path: Path, *, as_json: bool) -> int:
    try:
        public, name = make_pair(path)
    except FileExistsError as error:
        raise OrderError(
            f"making the key {path}",
            got=f"{error.filename} is there already",
            expected="a name that is free",
            remedy="Take another name: the boxes that trust the old key would not know the new one.",
        ) from error
    if as_json:
        print(json.dumps({"key": name, "private": str(path), "public": str(public)}))
        return 0
    print(f"{path} signs orders: keep it to yourself. Its name is {name}.")
    print(f'{public} goes onto the boxes: [orders] keys = ["{public.name}"]')
    return 0


def _is_answer(answer: dict[str, Any]) -> bool:
    done = answer.get("done")
    return (
        isinstance(answer.get("result"), dict)
        if done is True
        else (done is False and isinstance(answer.get("got"), str))
    )


def _ask(broker: BrokerConfig, order: Order, payload: bytes, key: str, wait_s: float) -> dict[str, Any]:
    """Publish and wait for the answer. Raises BrokerError."""
    heard: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()

    def hear(_topic: str, said: bytes) -> None:
        with contextlib.suppress(PayloadError):
            heard.put(decode(said))

    listener = Listener(
        broker,
        client_id=f"cargobox-order-{secrets.token_hex(4)}",
        topics=[topic_of(order.fleet, order.box, ANSWER)],
        on_message=hear,
        on_lost=lambda: heard.put(None),
    )
    listener.open()
    try:
        listener.publish(1, command_topic(order.fleet, order.box, order.verb), payload)
        print(f"sent to {order.box} at {broker.address}; waiting for its answer", file=sys.stderr)
        until_s = time.monotonic() + wait_s
        while (left_s := until_s - time.monotonic()) > 0:
            with contextlib.suppress(queue.Empty):
                answer = heard.get(timeout=left_s)
                if answer is None:
                    raise listener.lost or BrokerError("waiting", got="the end", expected="", remedy="")
                # anybody may speak there whom the broker lets
                if (answer.get("key"), answer.get("counter")) == (key, order.counter) and _is_answer(answer):
                    return answer
    finally:
        listener.close()
    raise BrokerError(
        f"waiting for {order.box} to answer",
        got=f"nothing within {wait_s:g} s",
        expected="an answer, also where the box refuses",
        remedy=f"Is the box connected (`cargobox listen --kind status`)? Does its [orders] allow have "
        f"{order.verb!r}, and [orders] keys the public half of this key? Its log says what it refused.",
    )
