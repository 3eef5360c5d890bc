"""Cargo profiles: what they set, that the user's word wins, and what the detectors make of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agent.config import Config, load_config
from agent.detection import DetectorSettings, make_detectors
from agent.detection.profiles import PROFILES
from agent.streams import TABLE
from agent.typed_toml import typed
from tests.detection.cutting import heard, worst
from tests.detection.signals import F64, GRAVITY_MPS2, rest, tilted
from tests.house.tree import TOP

NAMES = sorted(PROFILES)


def configured(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "cargobox.toml"
    path.write_text(text)
    return load_config(path)


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_is_valid_and_changes_something(tmp_path: Path, name: str) -> None:
    typed(PROFILES[name].detect, DetectorSettings, doing="test", remedy="")
    config = configured(tmp_path, f'[cargo]\nprofile = "{name}"\n')
    assert config.cargo.profile == name
    changed = {
        d for d in PROFILES[name].detect if getattr(config.detect, d) != getattr(DetectorSettings(), d)
    }
    assert changed == set(PROFILES[name].detect)


def test_no_profile_is_the_default(tmp_path: Path) -> None:
    assert configured(tmp_path, "").detect == DetectorSettings()
    assert configured(tmp_path, '[cargo]\nprofile = ""\n').detect == DetectorSettings()


def test_the_users_own_keys_win_one_by_one(tmp_path: Path) -> None:
    text = (
        '[cargo]\nprofile = "vaccines"\n[detect]\ntemperature = { high_degc = 25.0 }\ntilt.enabled = false\n'
    )
    detect = configured(tmp_path, text).detect
    assert (detect.temperature.low_degc, detect.temperature.high_degc) == (2.0, 25.0)
    assert detect.temperature.major_after_s == 900.0 and not detect.tilt.enabled
    text = (
        '[cargo]\nprofile = "chemicals"\n[[detect.tilt.levels]]\nangle_deg = 45\nhold_s = 2\nseverity = 4\n'
    )
    assert [v.angle_deg for v in configured(tmp_path, text).detect.tilt.levels] == [45.0]


@pytest.mark.parametrize("name", NAMES)
def test_the_page_tells_of_it(name: str) -> None:
    assert f'\n| `"{name}"` |' in (TOP / "docs" / "operators.md").read_text(encoding="utf-8")


def loudest(config: Config, stream: str, values: F64, rate_hz: float) -> dict[str, int]:
    made = make_detectors(config.detect, [TABLE[stream]], (0.0, 0.0, 1.0))
    said = [f for d in made for f in heard(d, {stream: (values, rate_hz)})]
    return {kind: worst([f for f in said if f.type == kind]) for kind in {f.type.value for f in said}}


def test_each_does_what_it_is_for(tmp_path: Path) -> None:
    vaccines, parcels, chemicals, food = (
        configured(tmp_path, f'[cargo]\nprofile = "{n}"\n')
        for n in ("vaccines", "parcels", "chemicals", "liquid-food")
    )
    warm = np.concatenate([np.full(300, 5.0), np.full(1200, 9.0)])
    assert loudest(vaccines, "temperature", warm, 1.0) == {"temperature": 3}
    assert loudest(food, "temperature", warm, 1.0) == {}
    on_its_side = np.concatenate([rest(5, 100.0), tilted(30, 100.0, 90)])
    assert loudest(parcels, "accel", on_its_side, 100.0)["tilt"] == 2
    assert loudest(chemicals, "accel", on_its_side, 100.0)["tilt"] == 4
    sway = rest(30, 100.0)
    t = np.arange(len(sway)) / 100.0
    sway[:, 0] += 0.15 * GRAVITY_MPS2 * np.sin(2 * np.pi * 1.338 * t) * ((t > 5) & (t < 14))
    assert loudest(food, "accel", sway, 100.0)["slosh"] >= 3
    assert "slosh" not in loudest(chemicals, "accel", sway, 100.0)
