"""Every key of [detect.*], [cargo], [upload] and [outbox], with what nobody can mean: told, or harmless."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.config import Config, load_config
from agent.errors import ConfigError
from agent.pipeline import Pipeline
from agent.records import Head
from agent.streams import TABLE
from tests.docs.settings import keys

HEAD = Head(box="box-7", boot="0123456789abcdef", software="0.1.0")
ODD = (
    *("0", "-1", "1", "1e300", "-1e300", "1e-300", "1e7", "1e17", "inf", "-inf", "nan"),
    *('"x"', "true", "[]", "[1]", "{}", '""', "99999999999999999999"),
)
SWEPT = sorted(
    f"{table}.{key}"
    for table, key in keys()
    if table.split(".")[0] in {"detect", "cargo", "upload", "outbox"}
)
# what makes a detector watch, so that what depends on it is built
TANK = "detect.slosh.length_m = 0.4\ndetect.slosh.fill_m = 0.2\ndetect.slosh.freeboard_m = 0.1\n"


def built(config: Config) -> Pipeline:
    return Pipeline(
        list(TABLE.values()),
        head=HEAD,
        fleet="north",
        detectors=config.detect,
        upload=config.upload,
        mount_up=config.mount_up(None),
    )


@pytest.mark.parametrize("key", SWEPT)
def test_a_value_that_nobody_means_is_told_or_harmless(key: str, tmp_path: Path) -> None:
    path = tmp_path / "cargobox.toml"
    refused = 0
    for value in ODD:
        lines = [line for line in TANK.splitlines() if not line.startswith(f"{key} ")]
        text = "\n".join([*lines, _line(key, value)])
        path.write_text(text)
        try:
            config = load_config(path)
        except ConfigError as error:
            refused += 1
            assert error.got and error.expected and error.remedy, (text, error)
        else:
            built(config)
    assert refused >= len(ODD) // 3, f"{key}: {refused} of {len(ODD)} odd values were refused"


def _line(key: str, value: str) -> str:
    if ".levels." in key or key.startswith("detect.tilt.levels"):
        level = {"angle_deg": "20.0", "hold_s": "1.0", "severity": "2", key.rpartition(".")[2]: value}
        return (
            f"detect.tilt.levels = [{{{', '.join(f'{k} = {v}' for k, v in level.items() if k != 'levels')}}}]"
        )
    return f"{key} = {value}"
