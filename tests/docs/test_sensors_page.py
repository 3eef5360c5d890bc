"""docs/sensors.md names every key of every chip, every fault, and a way to add a chip that works."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest

from agent.blocks import FaultKind
from agent.config import load_config
from agent.errors import ConfigError
from agent.sources.drivers import CHIPS
from agent.sources.drivers.adxl345 import Adxl345Settings
from agent.sources.drivers.nau7802 import Nau7802Settings
from agent.sources.drivers.tca9548a import Tca9548a
from agent.sources.i2c_plan import BusSpeed, plan
from tests.docs.settings import NO_DEFAULT, keys, words
from tests.docs.test_configuration import I2C, ROW, _same
from tests.house.tree import TOP

PAGE = "docs/sensors.md"
NAMES = [chip.name for chip in CHIPS]
KEYS = {where: default for where, default in keys().items() if where[0].startswith(I2C)}
# what a key's name ends in, the longest first → the unit in its row
UNITS = {
    "sensitivity_mv_per_v": "mV/V",
    "pa_per_v": "Pa/V",
    "_hz": "Hz",
    "_ms": "ms",
    "_dps": "°/s",
    "_kg": "kg",
    "_g": "g",
    "_v": "V",
}


def page() -> str:
    return (TOP / PAGE).read_text(encoding="utf-8")


def table_of(heading: str) -> str:
    """Return the table of the configuration that a heading is about."""
    name, _, below = heading.partition(": ")
    if name in NAMES:
        return ".".join(part for part in (f"{I2C}.chips", name, below) if part)
    return {"[[source.i2c]]": I2C, "Every chip": f"{I2C}.chips"}.get(heading, "")


def rows() -> dict[tuple[str, str], tuple[str, str, str]]:
    """Return (table, key) → default, unit and words of its row."""
    found: dict[tuple[str, str], tuple[str, str, str]] = {}
    for section in re.split(r"^#+ ", page(), flags=re.MULTILINE):
        table = table_of(section.partition("\n")[0])
        for row in ROW.finditer(section) if table else ():
            rest = section[row.end() :].partition("\n")[0]
            found[table, row["key"]] = (row["default"].strip(), row["unit"].strip(), rest)
    return found


def row_of(where: tuple[str, str]) -> tuple[str, str, str]:
    found = rows().get(where)
    assert found is not None, f"{PAGE} has no row for {where[1]} under {where[0]}"
    return found


def test_the_page_has_no_key_that_the_code_has_not() -> None:
    assert not set(rows()) - set(KEYS)


@pytest.mark.parametrize("where", KEYS, ids=".".join)
def test_the_page_says_the_default(where: tuple[str, str]) -> None:
    default, said = KEYS[where], row_of(where)[0]
    if default in NO_DEFAULT:
        assert said == "none", f"{where}: {said}, the code has no default"
        return
    value = tomllib.loads(f"x = {said.strip('`')}")["x"]
    assert _same(value, default), f"{where}: {said}, the code has {default!r}"


@pytest.mark.parametrize("where", KEYS, ids=".".join)
def test_the_page_says_the_unit(where: tuple[str, str]) -> None:
    unit = next((unit for ending, unit in UNITS.items() if where[1].endswith(ending)), "")
    assert row_of(where)[1] == unit, where


@pytest.mark.parametrize("where", [w for w in words() if w[0].startswith(I2C)], ids=".".join)
def test_the_page_says_what_is_possible(where: tuple[str, str]) -> None:
    row = row_of(where)[2]
    said = re.findall(r"[\w-]+", row)
    missing = [word for word in words()[where] if word not in said]
    assert not missing, f"{where}: {', '.join(missing)} is not among {row}"


def test_the_wiring_names_every_chip_with_its_addresses() -> None:
    lines = {
        cells[0]: cells for line in page().splitlines() if len(cells := line.strip("| ").split(" | ")) == 4
    }
    for chip in CHIPS:
        said = {int(number, 16) for number in re.findall(r"`(0x\w+)`", lines[chip.name][2])}
        assert said == set(chip.driver.addresses), chip.name
    said = {int(number, 16) for number in re.findall(r"`(0x\w+)`", lines[Tca9548a.chip][2])}
    assert said == {Tca9548a.addresses[0], Tca9548a.addresses[-1]}


def test_every_fault_is_told_of() -> None:
    section = page().split("## When a sensor fails")[1].split("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == [kind.value for kind in FaultKind]


def test_the_example_can_be_read(tmp_path: Path) -> None:
    example = re.findall(r"^```toml\n(.*?)^```", page(), re.MULTILINE | re.DOTALL)[0]
    path = tmp_path / "cargobox.toml"
    path.write_text(example, encoding="utf-8")
    (bus,) = load_config(path).source.i2c
    assert len(bus.chips) == 7


def test_the_refusal_is_in_the_words_of_the_agent() -> None:
    """Its words; the figures are those of a case."""
    drivers = [Adxl345Settings(rate_hz=800).make(), Nau7802Settings().make()]
    with pytest.raises(ConfigError) as caught:
        plan("i2c-1", drivers, BusSpeed(100_000), 10_000_000)
    figures = re.compile(r"\d+ ?%")
    said = re.search(r"^error: (planning .*)$", page(), re.MULTILINE)
    assert said is not None
    assert figures.sub("N", said[1]) == figures.sub("N", str(caught.value)), str(caught.value)


# what is done with the chip that the page adds, in a copy of the agent
TRY = """
import json, sys
from pathlib import Path
from agent.config import load_config
from agent.errors import ConfigError
from agent.doctor.i2c_chips import Where, recognise
from agent.sources.drivers import CHIPS, chip_of
from agent.sources.i2c_plan import BusSpeed, plan

class Place:
    address = 0x49
    registers = {0x00: b"\\xff\\x80", 0x01: b"\\x20\\x00", 0x0F: b"\\x11\\x17"}
    written = []
    def read_registers(self, register, count=1): return self.registers[register][:count]
    def write_register(self, register, *values): self.written.append((register, *values))

(chip,) = load_config(Path(sys.argv[1])).source.i2c[0].chips
driver = chip.make()
place = Place()
list(driver.set_up(place))
driver.start(place, 0)
(value,) = driver.collect(place, 0)
try:
    load_config(Path(sys.argv[2]))
except ConfigError as error:
    mistake = error.got
print(json.dumps({
    "degc": float(value[0, 0]) * driver.streams[0].spec.scale,
    "written": place.written,
    "doctor": recognise(place, Where(0x49)).name,
    "load": plan("i2c-1", [driver], BusSpeed(100_000), 10_000_000).load,
    "mistake": mistake,
}))
"""


def test_a_chip_is_added_as_the_page_says(tmp_path: Path) -> None:
    section = page().split("## Add a chip")[1]
    code, line = (
        textwrap.dedent(block)
        for block in re.findall(r"^   ```(?:python|text)\n(.*?)^   ```", section, re.MULTILINE | re.DOTALL)
    )
    for package in ("agent", "calibration", "firmware_bridge"):
        shutil.copytree(TOP / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "agent/sources/drivers/tmp117.py").write_text(code, encoding="utf-8")
    table = tmp_path / "agent/sources/drivers/__init__.py"
    text = table.read_text(encoding="utf-8")
    assert text.count("_TABLE = (\n") == 1
    table.write_text(text.replace("_TABLE = (\n", f"_TABLE = (\n{line}"), encoding="utf-8")
    right, wrong = tmp_path / "right.toml", tmp_path / "wrong.toml"
    entry = '[[source.i2c]]\nbus = 1\nchips = [{chip = "TMP117", address = 0x49, %s = 10}]\n'
    right.write_text(entry % "rate_hz", encoding="utf-8")
    wrong.write_text(entry % "rate", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", TRY, right, wrong],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    came = json.loads(done.stdout)
    assert came["degc"] == -1.0
    assert came["written"] == [[1, 0x0C, 0x00]]
    assert came["doctor"] == "TMP117"
    assert 0 < came["load"] < 0.1
    assert came["mistake"] == ("a key 'rate' in [[source.i2c]] 1, chips 1 (TMP117) (did you mean 'rate_hz'?)")
