"""The command: sets a paper, shows how far it has come, prints what it came to."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.examination import keep, paper
from scripts.examination.backgrounds import backgrounds
from scripts.examination.judge import Verdict
from scripts.examination.paper import Question
from scripts.examination.report import Result

DESCRIPTION = """Examine the agent: does it recognise what harms the cargo, and is it silent about the rest?

    scripts/exam                      a whole paper: 420 harmful and 420 harmless scenes
    scripts/exam --seed 7             another paper
    scripts/exam --scenes 1000        a longer one: so many of each half
    scripts/exam --only drop          one event type, or one kind of scene (--list names them)
    scripts/exam --keep failed/       write the failed scenes as MCAP, for `cargobox replay`
"""
DEFAULT_SCENES = 420


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 1 when what was promised is not reached."""
    parser = argparse.ArgumentParser(
        description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=1, help="which paper is set (default: 1)")
    parser.add_argument("--scenes", type=int, default=DEFAULT_SCENES, help="of each half (default: 420)")
    parser.add_argument("--only", metavar="TYPE", help="an event type, a kind, 'harmful' or 'harmless'")
    parser.add_argument("--background", metavar="NAME", help="those whose name begins so")
    parser.add_argument("--synthetic", action="store_true", help="leave the recordings out")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--keep", type=Path, metavar="DIR", help="write the failed scenes there")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    parser.add_argument("--list", action="store_true", help="say which kinds and backgrounds there are")
    args = parser.parse_args(arguments)
    if args.list:
        print("\n".join(listed(recorded=not args.synthetic)))
        return 0
    _check(parser, args)
    questions = paper.set_paper(
        args.seed,
        args.scenes,
        only=args.only,
        background=args.background,
        recorded=not args.synthetic,
    )
    if not questions:
        parser.error(f"no scene of {args.only!r} makes sense on a background {args.background!r}")
    progress = _Progress(len(questions))
    verdicts = paper.sit(questions, workers=args.workers, on_verdict=progress.take)
    progress.end()
    if args.keep is not None:
        failed = [q for q, v in zip(questions, verdicts, strict=True) if not v.passed]
        kept = keep.keep(failed, args.keep)
        print(f"{len(kept)} failed scenes written to {args.keep}", file=sys.stderr)
    result = Result(args.seed, verdicts)
    print(json.dumps(result.as_dict(), indent=2) if args.json else "\n".join(result.lines()))
    return 0 if result.passed else 1


def listed(*, recorded: bool) -> list[str]:
    """Return what there is, in lines."""
    out = []
    for half in (paper.HARMFUL, paper.HARMLESS):
        out.append(f"{half}:")
        for kind in paper.kinds_of(half):
            grounds = sum(kind.suits(ground) for ground in backgrounds(recorded=recorded).values())
            out.append(f"  {kind.event or '-':20} {kind.name:26} on {grounds:2} backgrounds: {kind.why}")
    out.append("backgrounds:")
    for ground in backgrounds(recorded=recorded).values():
        low, high = ground.rates_hz
        rates = f"{low} Hz" if low == high else f"{low} to {high} Hz"
        out.append(f"  {ground.name:34} {rates:14} {'moving' if ground.moving else 'standing'}")
    return out


def _check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    kinds = {kind.name for kind in (*paper.kinds_of(paper.HARMFUL), *paper.kinds_of(paper.HARMLESS))}
    known = {*paper.types(), *kinds, paper.HARMFUL, paper.HARMLESS}
    if args.only is not None and args.only not in known:
        parser.error(f"--only {args.only}: no such type or kind; --list names them")
    names = backgrounds(recorded=not args.synthetic)
    if args.background is not None and not any(name.startswith(args.background) for name in names):
        parser.error(f"--background {args.background}: none begins so; --list names them")
    if args.scenes < 1 or args.workers < 1:
        parser.error("--scenes and --workers are at least 1")


class _Progress:
    """A line on a terminal; nothing in a pipe."""

    def __init__(self, questions: int) -> None:
        self._questions = questions
        self._done = self._failed = 0
        self._shown = sys.stderr.isatty()

    def take(self, question: Question, verdict: Verdict) -> None:
        """One more is answered."""
        self._done += 1
        self._failed += not verdict.passed
        if self._shown:
            words = f"\r{self._done}/{self._questions} scenes, {self._failed} failed  {question.kind:26}"
            print(words, end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Leave the line."""
        if self._shown:
            print(file=sys.stderr)
