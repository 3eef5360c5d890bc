"""docs/operators.md and docs/examples name every key of the configuration, with its default and its unit."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest

from agent.config import Config, load_certificates, load_config
from agent.typed_toml import typed
from tests.docs.settings import NO_DEFAULT, keys
from tests.house.tree import TOP

PAGE = "docs/operators.md"
EXAMPLE = "docs/examples/cargobox.toml"
ROW = re.compile(r"^\| `(?P<key>\w+)` \|(?P<default>[^|]*)\|(?P<unit>[^|]*)\|", re.MULTILINE)
# what a key's name ends in → the unit in its row
UNITS = {"s": "s", "hz": "Hz", "deg": "°", "m": "m", "mps2": "m/s²", "kg": "kg", "pa": "Pa", "mib": "MiB"}


I2C = "source.i2c"  # a page of its own: test_sensors_page.py
KEYS = {where: default for where, default in keys().items() if not where[0].startswith(I2C)}


def rows() -> dict[tuple[str, str], tuple[str, str]]:
    """Return (table, key) → (default, unit), as the page says."""
    text = (TOP / PAGE).read_text(encoding="utf-8")
    sections = re.split(r"^#+ ", text, flags=re.MULTILINE)
    tables = [s for s in sections if s.startswith("[")]
    return {
        (section[1 : section.index("]")], row["key"]): (row["default"].strip(), row["unit"].strip())
        for section in tables
        for row in ROW.finditer(section)
    }


def row_of(where: tuple[str, str]) -> tuple[str, str]:
    found = rows().get(where)
    assert found is not None, f"{PAGE} has no row for {where[1]} under [{where[0]}]"
    return found


def test_the_page_has_no_key_that_the_code_has_not() -> None:
    assert not set(rows()) - set(KEYS)


@pytest.mark.parametrize("where", KEYS, ids=".".join)
def test_the_page_says_the_default(where: tuple[str, str]) -> None:
    default, said = KEYS[where], row_of(where)[0]
    if default in NO_DEFAULT:
        assert said == "none", f"{PAGE}, [{where[0]}] {where[1]}: {said}, the code has no default"
        return
    value = tomllib.loads(f"x = {said.strip('`')}")["x"]
    assert _same(value, default), f"{PAGE}, [{where[0]}] {where[1]}: {said}, the code has {default!r}"


@pytest.mark.parametrize("where", KEYS, ids=".".join)
def test_the_page_says_the_unit(where: tuple[str, str]) -> None:
    ending = where[1].rpartition("_")[2] if "_" in where[1] else ""
    if ending in UNITS:
        assert row_of(where)[1] == UNITS[ending], f"{PAGE}, [{where[0]}] {where[1]}"


def test_the_example_is_all_default() -> None:
    """As it stands: only what has no default differs from a configuration that says nothing."""
    config = load_config(TOP / EXAMPLE)
    assert config.source.serial is not None
    said = tomllib.loads((TOP / EXAMPLE).read_text(encoding="utf-8"))
    for (table, key), default in KEYS.items():
        if default in NO_DEFAULT:
            continue
        part: Any = said
        for name in table.split("."):
            part = part[name]
        assert _same(part.get(key), default), f"{EXAMPLE}, [{table}] {key}: the code has {default!r}"


def test_the_example_names_every_key() -> None:
    """With its commented keys and tables in force as well."""
    text = (TOP / EXAMPLE).read_text(encoding="utf-8")
    whole = tomllib.loads(re.sub(r"^# (\[|\w+ = )", r"\1", text, flags=re.MULTILINE))
    typed(whole, Config, doing=f"reading {EXAMPLE}", remedy="")
    for table, key in [*KEYS, *(where for where in keys() if where[0] == I2C)]:
        part: Any = whole
        for name in table.replace("NAME", "pressure").split("."):
            part = part.get(name, {})
            part = part[0] if isinstance(part, list) else part
        assert key in part, f"{EXAMPLE}: no {key} in [{table}]"


def test_the_certificate_of_the_example_can_be_read(tmp_path: Any) -> None:
    file = tmp_path / "c.toml"
    file.write_text(f'[certificates]\nfiles = ["{TOP}/docs/examples/accel.json"]\n', encoding="utf-8")
    (certificate,) = load_certificates(load_config(file))
    assert (certificate.stream, certificate.axes) == ("accel", 3)
    page = (TOP / PAGE).read_text(encoding="utf-8")
    for key in certificate.__struct_fields__:
        assert f"| `{key}` |" in page, f"{PAGE} does not tell of {key!r} in a certificate"


def _same(said: Any, default: Any) -> bool:
    """Whether TOML says the default; `port = 1` and `port = true` are not the same."""
    if isinstance(default, float):
        return isinstance(said, float) and said == pytest.approx(default)
    if isinstance(default, tuple):
        return bool(said == list(default))
    return type(said) is type(default) and bool(said == default)
