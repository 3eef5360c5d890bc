"""Which certificates are applied: those that the configuration names, and of a folder each sensor's latest.

What is named is meant: one that does not fit ends the agent (`correction.py`). What lies in a folder is
picked by stream and sensor, so that a chip that was exchanged finds its own, or none.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.config import Config, load_certificates
from agent.streams import StreamSpec
from agent.timebase import TimeMark, TimeQuality
from agent.trust import expiry_words
from calibration.certificate import Certificate
from calibration.errors import CertificateError
from calibration.store import CertificateStore, unreadable


@dataclass(frozen=True, slots=True)
class Certificates:
    """Those that are at hand: ``named`` one by one, and ``kept`` in a folder, the latest of each sensor.

    ``damaged``: what of the folder cannot be used, in words.
    """

    named: tuple[Certificate, ...] = ()
    kept: tuple[Certificate, ...] = ()
    damaged: tuple[CertificateError, ...] = ()

    def of(self, specs: Iterable[StreamSpec], *, any_sensor: bool = False) -> tuple[Certificate, ...]:
        """Return those to apply to these streams, at most one each; what was named goes before what was kept.

        Of a folder: that of the stream's sensor, or else one that names no sensor. Where the source does not
        say which sensor it is, and with `any_sensor`, the latest of all.
        """
        taken = {certificate.stream for certificate in self.named}
        chosen = list(self.named)
        for spec in specs:
            here = [c for c in self.kept if c.stream == spec.name and spec.name not in taken]
            own = [c for c in here if spec.sensor and c.sensor == spec.sensor]
            fitting = own or [c for c in here if not c.sensor]
            if not spec.sensor or (any_sensor and not fitting):
                fitting = here
            chosen += fitting[-1:]
        return tuple(chosen)

    def passed_over(self, specs: Iterable[StreamSpec], chosen: Sequence[Certificate]) -> list[str]:
        """Say which streams have no certificate though the folder has some, of other sensors."""
        done = {certificate.stream for certificate in chosen}
        notes = []
        for spec in specs:
            others = [c.sensor for c in self.kept if c.stream == spec.name]
            if others and spec.name not in done:
                there = ", ".join(others)
                notes.append(
                    f"{spec.name}: no certificate for {spec.sensor}; the folder has those of {there}"
                )
        return notes

    def newest(self) -> tuple[Certificate, ...]:
        """Return those that are most likely in use, where nobody says which sensors there are."""
        by_stream = {c.stream: c for c in (*self.kept, *self.named)}
        return tuple(by_stream.values())


def at_hand(config: Config) -> Certificates:
    """Read what ``[certificates]`` names. Raises CertificateError, ConfigError for a file that is named."""
    named = load_certificates(config)
    if not config.certificates.folder:
        return Certificates(named)
    store = CertificateStore(Path(config.certificates.folder))
    latest: dict[tuple[str, str], Certificate] = {}
    for kept in store.history():
        where = kept.certificate.stream, kept.certificate.sensor
        latest.pop(where, None)  # so that they stay in the order in which they were made
        latest[where] = kept.certificate
    damaged = store.damaged()
    if not damaged and not os.path.lexists(store.folder):
        damaged.append(unreadable(store.folder, "no such folder"))  # a slip in its name corrects nothing
    return Certificates(named, tuple(latest.values()), tuple(damaged))


def warnings(certificates: Iterable[Certificate], mark: TimeMark) -> list[str]:
    """Say which have expired or soon will, by the wall clock of `mark`; nothing by one that was never set."""
    if mark.quality is TimeQuality.UNSET:
        return []
    wall_ns = mark.box_ns + mark.offset_ns
    return [words for c in certificates if (words := expiry_words(c, wall_ns))]
