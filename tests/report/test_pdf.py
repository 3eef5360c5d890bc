"""The PDF of a trip opens, has its pages numbered, and says what a temperature record must say."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from agent.report import write_report
from agent.report.pdf_text import writable
from tests.report.trips import CONFIG, made_hostile, replayed

PDFTOTEXT = shutil.which("pdftotext")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Report on the small trip, and on the same with hostile names."""
    top = tmp_path_factory.mktemp("pdf")
    out, log, log_map = replayed(top)
    write_report(out, log=log, map_path=log_map, config=CONFIG, pdf=True)
    shutil.copytree(out, top / "hostile")
    made_hostile(top / "hostile")
    write_report(top / "hostile", log=log, map_path=log_map, config=CONFIG, pdf=True)
    return top


def test_it_is_one_or_two_pages_with_embedded_fonts(folder: Path) -> None:
    data = (folder / "out" / "report.pdf").read_bytes()
    assert data.startswith(b"%PDF-") and data.rstrip().endswith(b"%%EOF")
    pages = len(re.findall(rb"/Type /Page\b", data))
    assert pages in {1, 2}, f"{pages} pages"
    assert data.count(b"/FontFile2") == 2, "two fonts, embedded"


@pytest.mark.skipif(PDFTOTEXT is None, reason="no pdftotext (Debian's poppler-utils)")
def test_it_says_what_a_temperature_record_must_say(folder: Path) -> None:
    assert PDFTOTEXT is not None
    done = subprocess.run(
        [PDFTOTEXT, "-layout", folder / "out" / "report.pdf", "-"], capture_output=True, text=True, check=True
    )
    for part in ("2 to 8 °C", "above", "Mean kinetic temperature", "never", "Gaps in the record", "page 1 of",
                 "Certificates", "Software", "2 drops", "Where this comes from"):  # fmt: skip
        assert part in done.stdout, f"{part!r} is not in the PDF:\n{done.stdout}"


def test_hostile_names_are_written_and_not_read(folder: Path) -> None:
    assert (folder / "hostile" / "report.pdf").read_bytes().startswith(b"%PDF-")


def test_what_no_font_can_write_is_written_out() -> None:
    assert writable("Box 7 é ü") == "Box 7 é ü"
    assert writable("箱") == "[U+7BB1]"
    assert writable("a\u202eb") == "a\\u202eb"
