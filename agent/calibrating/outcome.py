"""What a calibration came to: the verdict in plain words, and the same as one JSON document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from calibration.certificate import Certificate


@dataclass(frozen=True, slots=True)
class Outcome:
    """A verdict. ``judged``: what was held against which limit, a sentence each; ``todo``: what helps.

    ``fit``: the result in figures, units in the names. ``certificate``: what is to be kept; a refused one
    only where the refusal itself is worth keeping.
    """

    what: str
    good: bool
    headline: str
    judged: tuple[str, ...] = ()
    todo: tuple[str, ...] = ()
    fit: Mapping[str, Any] = field(default_factory=dict)
    certificate: Certificate | None = None
    truth: Mapping[str, Any] | None = None


def words(outcome: Outcome) -> list[str]:
    """Return the verdict as lines for a person."""
    bad = "REFUSED" if outcome.what == "thermal" else "NOT GOOD ENOUGH"
    lines = [f"{'GOOD' if outcome.good else bad}: {outcome.headline}"]
    lines += [f"  {sentence}" for sentence in outcome.judged]
    lines += [f"  → {sentence}" for sentence in outcome.todo]
    if outcome.truth is not None:
        lines += [f"  hidden truth: {outcome.truth.get('words', '')}"]
    return lines


def document(outcome: Outcome, **more: Any) -> dict[str, Any]:
    """Return the verdict as what ``--json`` prints; `more` stands beside it."""
    certificate = outcome.certificate
    return {
        "what": outcome.what,
        "verdict": "good" if outcome.good else "refused",
        "headline": outcome.headline,
        "judged": list(outcome.judged),
        "todo": list(outcome.todo),
        "fit": dict(outcome.fit),
        "residuals": None if certificate is None else msgspec.to_builtins(certificate.residuals),
        "uncertainty": [] if certificate is None else msgspec.to_builtins(certificate.uncertainty),
        "standard_uncertainty": None if certificate is None else certificate.standard_uncertainty,
        "truth": None if outcome.truth is None else dict(outcome.truth),
        **more,
    }
