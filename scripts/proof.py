"""What the scripts/prove_* have in common: the locked environment, the options, the end and what is printed.

Figures go to stdout, once, at the end: in words, or the same ones as one JSON document (``--json``). How it
goes is told on stderr. The exit status is 0 where all is as promised, 1 where it is not or could not be
tried, 130 and 143 where it was broken off by Ctrl-C or SIGTERM: then nothing is proved.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parents[1]
VENV = TOP / ".venv"
PATH_MORE = "/usr/local/sbin:/usr/sbin:/sbin"
"""Where Debian has mosquitto, mkfs and e2fsck."""

BROKEN_OFF, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM


@dataclasses.dataclass(slots=True)
class Proof:
    """What came of it: figures by their names, and what is not as promised, in words."""

    figures: Mapping[str, Any]
    wrong: Sequence[str] = ()
    lines: Sequence[str] = dataclasses.field(default_factory=list)
    """The same figures, where whoever counted them says them better than `in_words`."""


def use_locked_python(script: str) -> None:
    """Go on as the Python of the locked environment, if there is one and this is another."""
    python = VENV / "bin" / "python"
    if python.exists() and Path(sys.prefix) != VENV:
        os.execv(python, [str(python), script, *sys.argv[1:]])


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser that shows a script's own description, and knows ``--json``."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--json", action="store_true", help="the figures as one JSON document on stdout")
    return made


def figures_of(value: object) -> Any:
    """Return a dataclass, and all in it, as JSON has it; `asdict` spoils a Counter."""
    if dataclasses.is_dataclass(value):
        return {each.name: figures_of(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): figures_of(each) for key, each in value.items()}
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, str):
        return [figures_of(each) for each in value]
    return value


def tell(words: str) -> None:
    """Say how it goes; stdout belongs to the figures."""
    print(words, file=sys.stderr, flush=True)


def run(prove: Callable[[], Proof], *, as_json: bool) -> int:
    """Prove it, print what came of it, and return the exit status."""
    from agent.errors import FourPartError  # not before the locked environment is there

    signal.signal(signal.SIGTERM, _terminated)
    os.environ["PATH"] += f":{PATH_MORE}"
    began_s = time.monotonic()
    try:
        proof = prove()
    except KeyboardInterrupt:
        tell("broken off: nothing is proved")
        return BROKEN_OFF
    except AssertionError as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        proof = Proof({}, [str(error) or f"{Path(where.filename).name}, line {where.lineno}: {where.line}"])
    except (FourPartError, OSError) as error:
        tell(f"could not be tried: {error}")
        return 1
    figures = {**proof.figures, "took_s": round(time.monotonic() - began_s, 1)}
    if as_json:
        print(json.dumps({**figures, "wrong": list(proof.wrong)}, indent=2))
    else:
        shown = {"took_s": figures["took_s"]} if proof.lines else figures
        print("\n".join([*proof.lines, *in_words({**shown, "not_as_promised": list(proof.wrong)})]))
    return 1 if proof.wrong else 0


def in_words(figures: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """Say figures, one a line; a list of words as how many, and each below."""
    for key, value in figures.items():
        name = key.replace("_", " ")
        if isinstance(value, Mapping):
            yield f"{indent}{name}:{'' if value else ' none'}"
            yield from in_words(value, f"{indent}  ")
        elif isinstance(value, str) or not isinstance(value, Sequence):
            yield f"{indent}{name}: {_shown(value)}"
        else:
            yield f"{indent}{name}: {len(value)}"
            yield from (f"{indent}  {line}" for each in value for line in _shown(each).splitlines())


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def _terminated(_number: int, _frame: object) -> None:
    sys.exit(TERMINATED)  # by way of every `with`, as Ctrl-C does
