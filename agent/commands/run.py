"""Run the agent in the foreground, as systemd starts it (Type=notify).

Reads the box on its serial port and the chips on the I2C buses, publishes what matters, keeps the rest at
home. SIGTERM and Ctrl-C end it in order: what was decided is on the card, and sent if the broker is there.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import gc
import itertools
import json
import logging
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from agent.commands.source import source_of, words_of
from agent.config import Config, load_config
from agent.errors import UsageError
from agent.notify import notify, watchdog_s
from agent.service import RecorderFactory, Service
from agent.sources import LiveSource
from agent.sources.several import FIRST_RETRY_S, LAST_RETRY_S, SeveralSources
from agent.watchdog import LOOK_S, Watchdog
from firmware_bridge.errors import LinkError

log = logging.getLogger("cargobox")

# Python's own is 5 ms: half of what an alarm has, and more than a chip that keeps one sample only gives
SWITCH_S = 0.0005
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
    # where each thread is, into the log, when the watchdog ends a process that hangs (SIGABRT)
    with contextlib.suppress(OSError):  # where stderr is no file there is nobody to tell
        faulthandler.enable()
    config = load_config(args.config)
    if config.cargo.profile:
        log.info("cargo profile %s sets what [detect] does not say", config.cargo.profile)
    # the cable and the chips are read, and an alarm is sent, in time, whatever another thread is at
    sys.setswitchinterval(SWITCH_S)
    # what was loaded stays: a collection need not look at all of it, with an alarm waiting
    gc.collect()
    gc.freeze()
    ending = Ending(args.seconds)
    signal.signal(signal.SIGINT, lambda *_: ending.ask())
    signal.signal(signal.SIGTERM, lambda *_: ending.ask())
    number = 1
    while True:
        retry_s = FIRST_RETRY_S if number == 1 else LAST_RETRY_S  # who comes and goes must not rush us
        source = source_of(config, args.config, args.port, wait=args.wait, first_retry_s=retry_s)
        recording = numbered(args.record, number) if args.record else None
        service = Service(
            config, source, make_recorder=recorder_factory(recording, config) if recording else None
        )
        _serve(service, source, ending, wait=args.wait, words=words_of(config, args.port))
        if ending.asked or service.failure is not None or not _goes_on(source):
            break
        log.info("the box is there: beginning anew, with all streams")
        ending.begin_anew()
        number += 1
    if args.json:
        print(json.dumps(document_of(service)))
    return 1 if service.failure is not None else 0


class Ending:
    """When the agent ends: asked by a signal or by ``--seconds``, or of itself.

    ``stop`` is set in any case; ``asked`` only where somebody wants it to be over for good.
    """

    def __init__(self, seconds: float | None) -> None:
        self.stop = threading.Event()
        self.asked = False
        self._seconds = seconds
        self._timer: threading.Timer | None = None

    def ask(self) -> None:
        """End it for good; from a signal handler, too."""
        self.asked = True
        self.stop.set()

    def begin_counting(self) -> None:
        """Let the seconds pass from now on, if they do not yet."""
        if self._seconds is not None and self._timer is None:
            self._timer = threading.Timer(self._seconds, self.ask)
            self._timer.daemon = True
            self._timer.start()

    def stop_counting(self) -> None:
        """Nobody waits for the seconds any more."""
        if self._timer is not None:
            self._timer.cancel()

    def begin_anew(self) -> None:
        """Forget that it ended of itself."""
        self.stop.clear()
        if self.asked:  # just now
            self.stop.set()


def _serve(service: Service, source: LiveSource, ending: Ending, *, wait: bool, words: str) -> None:
    """Run one service from its first contact to its end."""
    service.start_uplink()
    try:
        if _make_contact(service, ending.stop, wait=wait):
            status = "reading the box"
            if isinstance(source, SeveralSources) and source.waits_for is not None:
                status = f"reading without the box, which it waits for: {source.waits_for.got}"
                words += ", as far as it is there"
            log.info("reading %s; boot %s", words, service.boot)
            for note in service.notes:
                log.info("%s", note)
            notify(f"READY=1\nSTATUS={status}")
            ending.begin_counting()
            _until_stopped(service, ending.stop, status)
    finally:
        if not _goes_on(source):
            ending.stop_counting()
            notify("STOPPING=1")
        service.stop()


def check_seconds(seconds: float | None) -> None:
    """Raise UsageError where `seconds` is no time that one can wait for."""
    if seconds is not None and not 0 < seconds < threading.TIMEOUT_MAX:
        raise UsageError("reading --seconds", got=f"{seconds}", expected="a number above 0", remedy="Try 30.")


def _goes_on(source: LiveSource) -> bool:
    """Return whether it has ended only because there is more to be read than before."""
    return isinstance(source, SeveralSources) and source.more


def numbered(path: Path, number: int) -> Path:
    """Return the name of the recording with this number, or the next free one.

    The first has the name that was asked for, and is refused if there is one.
    """
    if number == 1:
        return path
    names = (path.with_stem(f"{path.stem}-{n}") for n in itertools.count(number))
    return next(name for name in names if not name.exists())


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
    from agent.log_info import LogInfo
    from agent.recorder.mcap_writer import McapRecorder

    return lambda streams, boot, mount_up: McapRecorder(
        path,
        LogInfo(
            box=config.box.id,
            boot=boot,
            software=agent.__version__,
            streams=tuple(streams),
            mount_up=mount_up,
        ),
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


def _until_stopped(service: Service, stop: threading.Event, status: str) -> None:
    """Wait, feed the watchdog while every thread makes progress, and end when anything ends."""
    look_s = min(watchdog_s() or IDLE_S, LOOK_S)
    threading.Thread(target=relay, args=(service.ended, stop), daemon=True).start()
    watchdog = Watchdog(lambda: service.hanging, status)
    while not stop.wait(look_s):
        watchdog.look()


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
