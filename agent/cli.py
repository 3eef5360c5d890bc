"""The command ``cargobox``: finds the verb, runs it, and says in four parts what went wrong.

Exit status: 0 done, 1 it ran and found something wrong, 2 bad usage or configuration, 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from collections.abc import Mapping, Sequence

import agent
from agent.errors import ConfigError, FourPartError, UsageError, did_you_mean
from calibration.errors import CertificateError

EXIT_WRONG = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

# a package of an extra → the extra that brings it
EXTRAS: Mapping[str, str] = {"rich": "engineer", "mcap": "engineer", "amqtt": "demo"}

# verb → what it does; the module in agent/commands has its name
VERBS: Mapping[str, str] = {
    "demo": "a virtual box, a broker and the agent, live; needs no hardware",
    "run": "the service, in the foreground",
    "record": "raw streams of a box to an MCAP log",
    "replay": "logs through the same pipeline as the live agent",
    "outbox": "what waits for the broker",
}


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are ours."""

    def error(self, message: str) -> None:  # type: ignore[override]  # argparse says NoReturn: this raises
        raise UsageError(
            f"reading the command line of `{self.prog}`",
            got=message,
            expected=f"what `{self.prog} --help` shows",
            remedy="Correct it and try again.",
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    as_json = "--json" in arguments
    try:
        return _dispatch(arguments)
    except (FourPartError, CertificateError) as error:
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
            remedy=f"`pip install 'cargobox-agent[{extra}]'`, or `scripts/run` in a checkout.",
        )
        _print_error(missing, as_json=as_json)
        return EXIT_USAGE
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # whoever read our output has left; nothing is wrong
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


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
    status = module.run(parser.parse_args(arguments[1:]))
    assert isinstance(status, int)
    return status


class _Help(argparse.RawDescriptionHelpFormatter):
    """Keeps the paragraphs of a verb's docstring."""


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


def _print_error(error: FourPartError | CertificateError, *, as_json: bool) -> None:
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
