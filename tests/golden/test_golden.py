"""Golden replays: a detector that says something else than it did is noticed, in the words of `compare`."""

from __future__ import annotations

import functools

import msgspec
import pytest

from agent.config import Config
from tests.golden.keeping import (
    NAMES,
    Outcome,
    absent,
    beside_golden,
    in_words,
    kept,
    path_of,
    replayed,
    settings_of,
)

RENEW = "If that is meant: scripts/golden --renew"
MORE = 1.05  # a threshold that somebody raised a little


@functools.cache
def outcome(name: str) -> Outcome:
    return replayed(name)


def skip_if_absent(name: str) -> None:
    if why := absent(name):
        pytest.skip(why)


@pytest.mark.parametrize("name", NAMES)
def test_a_replay_says_what_it_said_before(name: str) -> None:
    skip_if_absent(name)
    result = beside_golden(name, outcome(name))
    assert result.equal, f"A is what was kept, B what comes now. {RENEW} {name}\n{in_words(name, result)}"


def test_nothing_is_kept_that_is_not_replayed() -> None:
    assert {path.stem for path in path_of("x").parent.glob("*.json")} == set(NAMES)


def raised(config: Config, detector: str, key: str) -> Config:
    """Return the configuration with one threshold 5 % up."""
    settings = getattr(config.detect, detector)
    given = getattr(settings, key)
    if key == "levels":
        more = tuple(msgspec.structs.replace(level, angle_deg=level.angle_deg * MORE) for level in given)
    else:
        more = given * MORE
    changed = msgspec.structs.replace(settings, **{key: more})
    return msgspec.structs.replace(
        config, detect=msgspec.structs.replace(config.detect, **{detector: changed})
    )


@pytest.mark.parametrize(
    ("name", "detector", "key"),
    [
        ("driver_17", "harsh", "level_mps2"),
        ("container-motion", "bump", "level_mps2"),
        ("rough_handling", "tilt", "levels"),
        ("made_drop", "drop", "min_fall_s"),
        ("made_tilt", "tilt", "levels"),
        ("made_harsh_turn", "harsh", "extreme_mps2"),
        ("made_harsh_brake", "harsh", "hold_s"),
        ("made_shock", "shock", "peak_mps2"),
        ("made_bump", "bump", "quiet_s"),
        ("made_vibration", "vibration", "limit_mps2"),
        ("made_slosh", "slosh", "freeboard_m"),
        ("made_load_shift", "load_shift", "shift"),
        ("made_pressure", "pressure", "swing_pa"),
        ("made_leak", "leak", "damp_percent"),
        ("made_temperature", "temperature", "high_degc"),
        ("made_humidity", "humidity", "high_percent"),
    ],
)
def test_a_threshold_raised_by_five_percent_is_found(name: str, detector: str, key: str) -> None:
    skip_if_absent(name)
    changed = replayed(name, raised(settings_of(name), detector, key))
    result = beside_golden(name, changed)
    words = in_words(name, result)
    # not by the notes alone, which tell of some settings, but by what happened to the cargo
    events = [one for one in result.found.in_order() if one.of == "event"]
    assert events, f"[detect.{detector}] {key} went up by 5 %, and no event tells of it:\n{words}"
    told = [line for line in words.splitlines() if line[13:19] in ("alarm ", "event ")]
    assert len(told) == len(events) and all(" into the trip, " in line for line in told), words


def test_what_is_kept_of_a_recording_holds_no_raw_data() -> None:
    for name in NAMES:
        for line in kept(name).lines:
            longest = max(map(len, _texts(msgspec.json.decode(line))), default=0)
            assert longest <= 160, f"{name}: a text of {longest} characters in {line[:200]!r}"


def _texts(part: object) -> list[str]:
    if isinstance(part, dict):
        return [text for value in part.values() for text in _texts(value)]
    if isinstance(part, list):
        return [text for value in part for text in _texts(value)]
    return [part] if isinstance(part, str) else []
