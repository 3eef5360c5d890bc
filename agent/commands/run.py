"""Run the agent in the foreground, as systemd starts it (Type=notify).

Reads the box on its serial port, publishes what matters, keeps the rest at home. SIGTERM and Ctrl-C
end it in order: what was decided is on the card, and sent if the broker is there.
"""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from agent.config import Config, load_config, serial_port
from agent.errors import UsageError
from agent.notify import notify, watchdog_s
from agent.service import RecorderFactory, Service
from agent.sources.serial_box import SerialBox
from firmware_bridge.errors import LinkError

log = logging.getLogger("cargobox")

FIRST_RETRY_S = 1.0
LAST_RETRY_S = 30.0
IDLE_S = 10.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--config", type=Path, metavar="FILE", required=True, help="configuration (TOML)")
    parser.add_argument("--port", metavar="PORT", help="serial port, instead of the configured one")
    parser.add_argument("--record", type=Path, metavar="LOG", help="also record the raw streams (.mcap)")
    parser.add_argument("--seconds", type=float, metavar="N", help="end after N seconds; default: never")
    parser.add_argument(
        "--wait", action="store_true", help="wait for a box that is not there, instead of ending with 1"
    )
    parser.add_argument("--json", action="store_true", help="at the end, one JSON document on stdout")


def run(args: argparse.Namespace) -> int:
    """Run until told to stop; 1 when the agent could not go on."""
    check_seconds(args.seconds)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    config = load_config(args.config)
    port = args.port or serial_port(config, args.config)
    stop = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    make_recorder = recorder_factory(args.record, config) if args.record else None
    service = Service(config, SerialBox(port), make_recorder=make_recorder)
    service.start_uplink()
    try:
        if _make_contact(service, stop, wait=args.wait):
            log.info("reading %s; boot %s", port, service.boot)
            for note in service.notes:
                log.info("%s", note)
            notify("READY=1\nSTATUS=reading the box")
            _until_stopped(service, stop, args.seconds)
    finally:
        notify("STOPPING=1")
        service.stop()
    if args.json:
        print(json.dumps(document_of(service)))
    return 1 if service.failure is not None else 0


def check_seconds(seconds: float | None) -> None:
    """Raise UsageError where `seconds` is no time that one can wait for."""
    if seconds is not None and not 0 < seconds < threading.TIMEOUT_MAX:
        raise UsageError("reading --seconds", got=f"{seconds}", expected="a number above 0", remedy="Try 30.")


def recorder_factory(path: Path, config: Config) -> RecorderFactory:
    """Return what begins a recording at `path` once the streams are known. Raises UsageError."""
    if path.suffix.lower() != ".mcap":
        raise UsageError(
            f"recording to {path}",
            got=f"a name that ends in {path.suffix!r}",
            expected="one that ends in '.mcap', as `cargobox replay` knows a recording",
            remedy=f"Take {path.with_suffix('.mcap')}.",
        )
    import agent
    from agent.recorder.mcap_writer import McapRecorder

    return lambda streams, boot, mount_up: McapRecorder(
        path, streams, box=config.box.id, boot=boot, software=agent.__version__, mount_up=mount_up
    )


def _make_contact(service: Service, stop: threading.Event, *, wait: bool) -> bool:
    """Open the source, again and again with `wait`; meanwhile the uplink sends what an earlier run left."""
    pause_s = FIRST_RETRY_S
    said = ""
    while not stop.is_set():
        try:
            service.start()
        except LinkError as error:  # all else is wrong with what we were told, and stays wrong
            if not wait:
                raise
            if str(error) != said:
                log.error("%s", error)
                said = str(error)
            notify(f"READY=1\nSTATUS=waiting for the box: {error.got}")
        else:
            return True
        _wait(stop, pause_s)
        pause_s = min(2 * pause_s, LAST_RETRY_S)
    return False


def _wait(stop: threading.Event, pause_s: float) -> None:
    """Wait, and feed the watchdog meanwhile: it may be shorter than the pause."""
    until_s = time.monotonic() + pause_s
    while not stop.is_set() and (left_s := until_s - time.monotonic()) > 0:
        notify("WATCHDOG=1")
        stop.wait(min(left_s, watchdog_s() or IDLE_S))


def _until_stopped(service: Service, stop: threading.Event, seconds: float | None) -> None:
    """Wait, feed the watchdog while the agent makes progress, and end when anything ends."""
    feed_s = watchdog_s() or IDLE_S
    timer = threading.Timer(seconds, stop.set) if seconds is not None else None
    if timer is not None:
        timer.daemon = True
        timer.start()
    ended = threading.Thread(target=relay, args=(service.ended, stop), daemon=True)
    ended.start()
    while not stop.wait(feed_s):
        if service.alive:
            notify("WATCHDOG=1")
    if timer is not None:
        timer.cancel()


def relay(heard: threading.Event, told: threading.Event) -> None:
    """Wait for one event and set another with it."""
    heard.wait()
    told.set()


def document_of(service: Service) -> dict[str, Any]:
    """Return what the run came to."""
    tally, outbox, uplink = service.tally, service.outbox.stats(), service.uplink.stats()
    return {
        "boot": service.boot,
        **tally.as_dict(),
        "streams": tally.streams(),
        "waiting": outbox.waiting,
        "acknowledged": uplink.acknowledged,
        "refused": uplink.refused,
        "last_error": uplink.last_error,
        "notes": service.notes,
        "failure": str(service.failure) if service.failure is not None else None,
    }
