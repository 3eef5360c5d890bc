"""docs/boards.md tells of what the firmware understands, key by key."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

import firmware_bridge
from tests.firmware.bench import run
from tests.house.tree import TOP

PAGE = (TOP / "docs" / "boards.md").read_text(encoding="utf-8")
FIRMWARE = Path(firmware_bridge.__file__).parent / "firmware"
ASKS = {"whole", "number", "text", "yes_no", "choice", "items", "value", "pin", "output_pin", "_stream"}


def keys_asked_for() -> set[str]:
    """Return each key for which the firmware looks."""
    found = set()
    for name in ("board_common.py", "outputs.py", "wiring.py"):
        for node in ast.walk(ast.parse((FIRMWARE / name).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ASKS:
                for argument in node.args[:2]:
                    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                        found.add(argument.value)
                        break
    return found


def test_each_key_is_told_of() -> None:
    keys = keys_asked_for()
    assert {"rate_hz", "clock", "safe", "mount_up", "stream", "sda"} <= keys, keys
    missing = sorted(key for key in keys if f"`{key}`" not in PAGE)
    assert not missing, f"docs/boards.md does not tell of {', '.join(missing)}"


@pytest.mark.board
def test_the_example_is_understood(path: str, tmp_path: Path) -> None:
    example = re.search(r"^```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert example
    (tmp_path / "config.json").write_text(example[1])
    done = run("page.py", path=path, cwd=tmp_path)
    said = json.loads(done.stdout)
    assert said["faults"] == []
    assert said["streams"] == ["accel", "load", "temperature", "humidity", "pressure", "lid"]
    assert [output["name"] for output in said["outputs"]] == ["lock", "fan"]


@pytest.mark.parametrize("platform", ["rp2", "esp32"])
def test_the_usual_pins_are_those_of_the_page(platform: str) -> None:
    source = (FIRMWARE / f"board_{platform}.py").read_text(encoding="utf-8")
    text = re.search(r'DEFAULTS = """(.*?)"""', source, re.DOTALL)
    assert text
    usual = json.loads(text[1])
    accel, cells, _, pressure, lid = usual["sensors"]
    spi, i2c = usual["buses"][accel["bus"]], usual["buses"]["i2c0"]
    column = 3 if platform == "rp2" else 4
    section = PAGE.split("\n## Wire the board")[1].split("\n## ")[0]
    rows = [row.split("|")[column].strip() for row in re.findall(r"^\|.*\|$", section, re.MULTILINE)]
    pins = [
        [spi["sck"], spi["mosi"], spi["miso"], accel["select"]],
        [cells["clock"]],
        cells["data"],
        [i2c["sda"], i2c["scl"]],
        [pressure["pin"]],
        [lid["pin"]],
    ]
    begin = rows.index("Pico" if platform == "rp2" else "ESP32") + 2
    assert [[int(n) for n in row.split(", ")] for row in rows[begin : begin + len(pins)]] == pins
