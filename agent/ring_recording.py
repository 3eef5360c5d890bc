"""The ring of raw recordings in a live run: its thread, its incidents, and what it could not record.

No alarm waits for it: items are queued or, where its card has been slow for ten seconds, skipped and told of.
The `mcap` package is imported only where a ring is wanted.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import agent
from agent.beats import Beats
from agent.config import Config
from agent.outbox.patient import PatientDisk
from agent.recording import Recording
from agent.records import Record
from agent.streams import StreamSpec

if TYPE_CHECKING:
    from agent.recorder.incidents import IncidentWatch
    from agent.recorder.ring import Ring

log = logging.getLogger("cargobox")

NS_PER_S = 1_000_000_000
FOLDER = "recordings"
USUAL = Path("/var/lib/cargobox") / FOLDER
STATE_VARIABLE = "STATE_DIRECTORY"  # systemd.exec(5): absolute, separated by colons


def directory_of(config: Config, environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return where the ring is; None where there is to be none."""
    settings = config.recorder
    if not settings.enabled:
        return None
    if settings.directory:
        return Path(settings.directory)
    given = environment.get(STATE_VARIABLE, "").partition(":")[0]
    return Path(given) / FOLDER if given else None


class RingRecording(Recording):
    """`Recording` for a ring, which lasts as long as the agent."""

    def __init__(self, ring: Ring, watch: IncidentWatch, beats: Beats) -> None:
        super().__init__(ring, beats, name="ring", skipped=ring.skipped)
        self.ring = ring
        self._watch = watch

    def run(self) -> None:
        """Write what comes; whatever goes wrong in here ends the recordings, and never the agent."""
        try:
            super().run()
        except Exception as error:  # a mistake of ours: alarms matter more
            log.exception("recordings end: all else goes on")
            self.ring.trouble = f"a mistake in the agent: {error!r}"
            self._beats.of(self.name).end()

    def _rest(self) -> None:
        self.ring.rest()

    def decided(self, records: Sequence[Record], last_ns: int | None) -> None:
        """Keep what is around the incidents among records; `last_ns`: box time of the latest sample."""
        if last_ns is not None:
            for incident in self._watch.of(records, last_ns, self.ring.offset_ns()):
                self.tell(incident)

    def missed(self, *, everything: bool = False) -> list[dict[str, Any]]:
        """Return the bodies of gap records of what was not recorded."""
        offset_ns = self.ring.offset_ns()
        return [
            found.body(self.ring.boot, offset_ns) for found in self.ring.take_missed(everything=everything)
        ]


def ring_recording(
    config: Config,
    directory: Path,
    streams: Sequence[StreamSpec],
    boot: str,
    mount_up: tuple[float, float, float] | None,
    beats: Beats,
    **changes: Callable[..., Any],
) -> RingRecording:
    """Begin a ring; the card is first touched by its own thread."""
    from agent.recorder.incidents import IncidentWatch
    from agent.recorder.ring import Ring

    settings = config.recorder
    ring = Ring(
        directory,
        settings,
        streams,
        box=config.box.id,
        boot=boot,
        software=agent.__version__,
        mount_up=mount_up,
        endurance_tbw=config.outbox.card_endurance_tbw,
        disk=PatientDisk(),
        **changes,
    )
    before_ns, after_ns = (round(s * NS_PER_S) for s in (settings.keep_before_s, settings.keep_after_s))
    return RingRecording(ring, IncidentWatch(boot, settings.keep_severity, before_ns, after_ns), beats)
