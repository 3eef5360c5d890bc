"""The same samples in other blocks must give the same findings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from agent.detection.finding import Detector, Finding
from tests.detection.signals import F64, si_block

Streams = Mapping[str, tuple[F64, float]]


def heard(detector: Detector, streams: Streams, cuts_s: Sequence[float] = ()) -> list[Finding]:
    """Feed all streams, (n,) or (n, axes) at a rate each, in blocks that end at `cuts_s`."""
    found: list[Finding] = []
    horizon_ns = -1
    sent = dict.fromkeys(streams, 0)
    for end_s in [*sorted(cuts_s), np.inf]:
        for name, (values, rate_hz) in streams.items():
            end = len(values) if end_s == np.inf else min(len(values), int(np.ceil(end_s * rate_hz)))
            if end > sent[name]:
                part = values[sent[name] : end]
                said = detector.feed(si_block(name, part, rate_hz, start_s=sent[name] / rate_hz))
                assert all(f.decided_ns >= horizon_ns for f in said), f"told late, after {horizon_ns}: {said}"
                found += said
                sent[name] = end
        before_ns, horizon_ns = horizon_ns, 1 << 62 if end_s == np.inf else int(end_s * 1e9)
        said = detector.advance(horizon_ns)
        late = [f for f in said if not before_ns < f.decided_ns <= horizon_ns]
        assert not late, f"told late, after {before_ns}: {late}"
        found += said
    return found


def same_however_cut(make: Callable[[], Detector], streams: Streams, seed: int = 1) -> list[Finding]:
    """Return what is found in one piece, after three ways of cutting have given the same."""
    whole = heard(make(), streams)
    rng = np.random.default_rng(seed)
    seconds = max(len(values) / rate_hz for values, rate_hz in streams.values())
    for cuts in (rng.uniform(0, seconds, 40), np.arange(0, seconds, 0.37), rng.uniform(0, seconds, 3)):
        assert heard(make(), streams, cuts.tolist()) == whole
    return whole


def worst(findings: Sequence[Finding]) -> int:
    """Return the highest severity, 0 where nothing was found."""
    return max((int(f.severity) for f in findings), default=0)
