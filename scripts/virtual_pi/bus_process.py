"""The virtual bus as a process of its own, in the guest, for tests in which the agent is a service.

    python -m scripts.virtual_pi.bus_process serve MODULE:FACTORY [--control PATH] [--usb-port N]
    python -m scripts.virtual_pi.bus_process tell WHAT [ARGUMENT…] [--control PATH]

FACTORY is called without arguments and returns what is soldered to the adapter (`usbip.Wires`, or chips by
their address). Over a socket, a line of JSON each way, the cable is pulled (`detach`, `attach`), the bus
broken (`fail stall 3`), and the truth asked for: `get chips.0.made`, `set chips.0.absent true`,
`call chips.0.time_ns 17`. Paths begin at what FACTORY returned; a number is a place in a list or a key.
"""

from __future__ import annotations

import argparse
import importlib
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from firmware_bridge.errors import FourPartError
from scripts.virtual_pi.usbip import Adapter, Fault

CONTROL = Path("/run/virtual-i2c")
START_TIMEOUT_S = 60.0
ANSWER_TIMEOUT_S = 60.0


def step_into(thing: Any, name: str) -> Any:
    """Return what is called `name` in a thing: an attribute, a key or a place."""
    if isinstance(thing, Mapping):
        return thing[int(name, 0)] if name[:1].isdigit() else thing[name]
    if isinstance(thing, Sequence):
        return thing[int(name)]
    return getattr(thing, name)


def resolve(thing: Any, path: str) -> Any:
    """Return what a dotted path leads to."""
    for name in path.split("."):
        thing = step_into(thing, name)
    return thing


class Control:
    """What can be asked of the process; `answer` takes a request and returns what goes back."""

    def __init__(self, adapter: Adapter, wires: Any) -> None:
        self._adapter = adapter
        self._wires = wires

    def answer(self, what: str, *arguments: Any) -> Any:
        """Do what is asked."""
        match what, arguments:
            case "attach", ():
                return self._adapter.attach()
            case "detach", ():
                return self._adapter.detach()
            case "bus", ():
                return str(self._adapter.path)
            case "fail", (fault, *messages):
                return self._adapter.fail(Fault(fault), *messages)
            case "traffic", ():
                traffic = self._adapter.traffic
                return {name: getattr(traffic, name) for name in traffic.__slots__}
            case "get", (path,):
                return resolve(self._wires, path)
            case "set", (path, value):
                *folder, name = path.rsplit(".", 1)
                return setattr(resolve(self._wires, folder[0]) if folder else self._wires, name, value)
            case "call", (path, *given):
                return resolve(self._wires, path)(*given)
        raise ValueError(f"no request {what!r} with {len(arguments)} arguments")

    def serve(self, listener: socket.socket) -> None:
        """Answer one caller after the other."""
        while True:
            caller, _ = listener.accept()
            with caller, caller.makefile("rw", encoding="utf-8") as lines:
                for line in lines:
                    try:
                        reply = {"answer": self.answer(*json.loads(line))}
                    except Exception as error:  # whatever it is belongs to who asked
                        reply = {"error": f"{type(error).__name__}: {error}"}
                    lines.write(json.dumps(reply) + "\n")
                    lines.flush()


def tell(what: str, *arguments: Any, control: Path = CONTROL) -> Any:
    """Ask a bus process for something, and return its answer."""
    with socket.socket(socket.AF_UNIX) as port:
        port.settimeout(ANSWER_TIMEOUT_S)
        try:
            port.connect(str(control))
        except OSError as error:
            raise FourPartError(
                f"asking the virtual I2C bus at {control} for {what!r}",
                got=error.strerror or str(error),
                expected="its process",
                remedy="Start it: python -m scripts.virtual_pi.bus_process serve MODULE:FACTORY.",
            ) from None
        with port.makefile("rw", encoding="utf-8") as lines:
            lines.write(json.dumps([what, *arguments]) + "\n")
            lines.flush()
            reply = json.loads(lines.readline())
    if "error" in reply:
        raise FourPartError(
            f"asking the virtual I2C bus for {' '.join(map(str, (what, *arguments)))}",
            got=reply["error"],
            expected="an answer",
            remedy="The module's docstring lists what can be asked.",
        )
    return reply["answer"]


class BusProcess:
    """Such a process, for a test: a context manager that starts it and ends it."""

    def __init__(self, factory: str, *, control: Path = CONTROL, usb_port: int = 0) -> None:
        self._control = control
        words = [sys.executable, "-m", "scripts.virtual_pi.bus_process", "serve", factory]
        self._words = [*words, "--control", str(control), "--usb-port", str(usb_port)]

    def __enter__(self) -> Self:
        self._control.unlink(missing_ok=True)
        self._process = subprocess.Popen(self._words)
        end_s = time.monotonic() + START_TIMEOUT_S
        while not self._control.exists():
            if self._process.poll() is not None or time.monotonic() > end_s:
                self._process.kill()
                raise FourPartError(
                    f"starting {' '.join(self._words[2:])}",
                    got=f"status {self._process.wait()}",
                    expected=f"its socket {self._control}",
                    remedy="What it said stands above.",
                )
            time.sleep(0.05)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait()

    def tell(self, what: str, *arguments: Any) -> Any:
        """Ask it for something, and return its answer."""
        return tell(what, *arguments, control=self._control)


def _serve(factory: str, control: Path, usb_port: int) -> None:
    module, _, name = factory.partition(":")
    wires = getattr(importlib.import_module(module), name)()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    control.unlink(missing_ok=True)
    with Adapter(wires, usb_port=usb_port) as adapter, socket.socket(socket.AF_UNIX) as listener:
        # bound when the bus is there, so that who waits for the one has the other
        listener.bind(str(control))
        listener.listen()
        try:
            Control(adapter, wires).serve(listener)
        finally:
            control.unlink(missing_ok=True)


def _value(word: str) -> Any:
    try:
        return json.loads(word)
    except ValueError:
        return word


def main() -> int:
    """Serve, or tell."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--control", type=Path, default=CONTROL)
    parser.add_argument("--usb-port", type=int, default=0)
    parser.add_argument("verb", choices=("serve", "tell"))
    parser.add_argument("words", nargs="+")
    arguments = parser.parse_args()
    if arguments.verb == "serve":
        _serve(arguments.words[0], arguments.control, arguments.usb_port)
        return 0
    what, *given = arguments.words
    try:
        print(json.dumps(tell(what, *map(_value, given), control=arguments.control)))
    except FourPartError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
