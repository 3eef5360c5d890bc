"""Writes the report of one trip: reads the folder, and the log where there is one, and lays it out."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from agent.certificates import at_hand
from agent.config import Config
from agent.errors import FourPartError
from agent.replay.settings import ReplaySettings, read_settings, replayed_part
from agent.report.climate import TemperatureRecord, temperature_record
from agent.report.document import document_of
from agent.report.page import page_of
from agent.report.panels import Band, Panel, panels_of_features, panels_of_samples
from agent.report.samples import Samples, read_samples
from agent.report.trip import Trip, none_of_ours, read_trip
from agent.report.words import number_of, story
from agent.timebase import TimeQuality
from calibration.errors import CalibrationError

REPORT_FILE = "report.html"
PDF_FILE = "report.pdf"
AS_REPLAYED = (
    "This is the trip as it was replayed. The configuration that was given for this page differs from that "
    "of the replay, or names other certificates: replay the log with it to see the trip so."
)
NOT_KEPT = (
    "An older version made this replay and did not keep its settings: bands, and the certificates that "
    "correct the samples here, are those of the configuration that was given for this page, if any."
)


@dataclass(slots=True)
class Findings:
    """A trip with all that a page says of it."""

    trip: Trip
    story: str
    panels: list[Panel]
    samples: Samples | None
    temperatures: list[TemperatureRecord]
    notes: list[str] = field(default_factory=list)


def write_report(
    out: Path,
    *,
    log: Path | None = None,
    map_path: Path | None = None,
    config: Config | None = None,
    pdf: bool = False,
) -> Path:
    """Write ``report.html`` into a folder that `replay` wrote, ``report.pdf`` too if asked; return its path.

    ``log``: for full rate and a finer timeline; without it, the one that ``summary.json`` names, if it is
    still there. The trip is shown as it was replayed; ``config`` and its certificates are for a folder that
    does not say how that was. Raises a FourPartError, and ModuleNotFoundError where a PDF is wanted without
    reportlab.
    """
    write_findings(out, log=log, map_path=map_path, config=config, pdf=pdf)
    return out / REPORT_FILE


def write_findings(
    out: Path,
    *,
    config: Config | None = None,
    log: Path | None = None,
    map_path: Path | None = None,
    pdf: bool = False,
) -> Findings:
    """Write the report, as `write_report` does, and return what is in it."""
    if pdf:  # before anything is written: the extra may be missing
        from agent.report.pdf import pdf_of
    found = findings(out, log=log, map_path=map_path, config=config)
    clips = found.samples.clips if found.samples is not None else {}
    up = found.samples.up if found.samples is not None else None
    page = page_of(found, document_of(found.trip, found.panels, clips, up))
    put(out / REPORT_FILE, page.encode())
    if pdf:
        put(out / PDF_FILE, pdf_of(found))
    return found


def findings(out: Path, *, log: Path | None, map_path: Path | None, config: Config | None) -> Findings:
    """Read all that there is of a trip."""
    trip = read_trip(out)
    named = log is not None
    notes: list[str] = []
    if log is None and (said := trip.summary.get("log")):
        log = Path(str(said))
        if map_path is None and (said := trip.summary.get("map")):
            map_path = Path(str(said))
        if not log.exists():
            notes.append(f"The log {log} is no longer there: no samples at full rate.")
            log = None
    settings = read_settings(out)
    given = config or Config()
    if settings is not None and config is not None and _differ(settings, config):
        notes.append(AS_REPLAYED)
    shown, used = (given, None) if settings is None else (settings.config, settings.certificates)
    samples: Samples | None = None
    if log is not None:
        try:
            samples = read_samples(log, trip, shown, used, map_path)
        except FourPartError as error:
            if named:
                raise
            notes.append(f"The log could not be read again, so there are no samples at full rate: {error}")
        else:
            notes += [] if settings is not None else [NOT_KEPT]
    if samples is not None and samples.span_s is not None:
        _dated_by(trip, samples.quality, samples.span_s)
    bands = _bands(trip, shown)
    if samples is None:
        with none_of_ours(out):
            panels = panels_of_features(trip, bands)
        notes.append("Lines are of the features that went up, not of the samples.")
    else:
        panels = panels_of_samples(samples, bands)
        if samples.left_out:
            notes.append(
                f"{samples.left_out} of {len(trip.events)} events, the lesser ones, are shown without "
                "samples at full rate: the page would be too large."
            )
    temperatures = _temperatures(trip, samples, panels, bands.get("°C", (None, None)))
    climate = temperatures[0].words() if temperatures else ""
    broken = bool(temperatures and temperatures[0].gaps)
    return Findings(trip, story(trip, climate, broken=broken), panels, samples, temperatures, notes)


def _dated_by(trip: Trip, quality: TimeQuality, span_s: tuple[float, float]) -> None:
    """Take from its log when a trip began and ended: records say it by the window of a feature at best."""
    if not trip.qualities:
        trip.qualities[quality.value] += 1
    trip.start_s, trip.last_s = span_s
    trip.within_s = 0.0


def _differ(settings: ReplaySettings, config: Config) -> bool:
    """Return whether a configuration, or a certificate that it names, is another than that of the replay."""
    if replayed_part(config) != settings.config:
        return True
    used = {certificate.hash for certificate in settings.certificates}
    try:
        named = at_hand(config).named
    except (FourPartError, CalibrationError):  # it is not used, so it need not be here
        return False
    return not used >= {certificate.hash for certificate in named}


def _bands(trip: Trip, config: Config) -> dict[str, Band]:
    """Return what the cargo may have: as configured, or else as the events say that it was watched."""
    temperature, humidity = config.detect.temperature, config.detect.humidity
    bands: dict[str, Band] = {
        "°C": (temperature.low_degc, temperature.high_degc),
        "%": (humidity.low_percent, humidity.high_percent),
    }
    for event in trip.events:
        for kind, unit, ending in (("temperature", "°C", "degc"), ("humidity", "%", "percent")):
            if event.type == kind and bands[unit] == (None, None):
                low, high = (number_of(event.values.get(f"{side}_{ending}")) for side in ("low", "high"))
                bands[unit] = low, high
    return bands


def _temperatures(
    trip: Trip, samples: Samples | None, panels: list[Panel], band: Band
) -> list[TemperatureRecord]:
    if samples is not None:
        given = [(name, times_s, degc) for name, (times_s, degc) in samples.temperatures.items()]
    else:
        given = [(p.stream, p.times_s, p.lines[0].low) for p in panels if p.unit == "°C"]
    whole_s = trip.start_s, trip.end_s
    made = [temperature_record(name, times_s, degc, *band, whole_s) for name, times_s, degc in given]
    return [record for record in made if record is not None]


def put(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(data)
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)  # half of it would only fill the disk that was full
        raise
