"""Look at all that the agent needs, and say what is wrong and how to mend it.

Ports, the board and its firmware, what the sensors give, the clocks, I2C, the broker and the card. A port
that the agent uses is left alone. Nothing is changed, and nothing is published.
Exit status: 0 nothing is wrong (there may be warnings), 1 something is wrong, 2 bad usage.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import agent
from agent.commands.run import check_seconds
from agent.config import load_config
from agent.doctor import CHECKS, Finding, Patient, examine
from agent.doctor.report import Report, summary
from agent.errors import ConfigError
from firmware_bridge.firmware_files import shipped_version

WIDTH_MOST = 100


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="the agent's configuration (TOML)")
    parser.add_argument("--port", metavar="PORT", help="serial port, instead of the configured one")
    parser.add_argument(
        "--seconds", type=float, metavar="N", default=3.0, help="listen so long to the streams; default: 3"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")


def run(args: argparse.Namespace) -> int:
    """Examine; 1 when something is wrong."""
    check_seconds(args.seconds)
    width = min(shutil.get_terminal_size().columns, WIDTH_MOST)
    report = Report(sys.stdout, width=width, colour=sys.stdout.isatty(), progress=sys.stderr)
    patient = examined(args.config, args.port, args.seconds, report)

    def show(findings: Sequence[Finding]) -> None:
        report.clear()
        if not args.json:
            report.show(findings)

    try:
        findings = examine(patient, CHECKS, show)
    finally:
        report.clear()
    counts = summary(findings)
    if args.json:
        document = {
            "software": agent.__version__,
            "firmware": shipped_version(),
            "port": patient.port,
            **counts,
            "findings": [finding.as_dict() for finding in findings],
        }
        print(json.dumps(document))
    else:
        report.close(counts)
    return 1 if counts["wrong"] else 0


def examined(config_path: Path | None, port: str | None, listen_s: float, report: Report) -> Patient:
    """Return what is to be looked at. A configuration that cannot be read is a finding, and no end."""
    config, config_error = None, None
    try:
        config = load_config(config_path) if config_path is not None else None
    except ConfigError as error:
        config_error = error
    if port is None and config is not None and config.source.serial is not None:
        port = config.source.serial.port
    return Patient(config_path, config, config_error, port, listen_s, say=report.say)
