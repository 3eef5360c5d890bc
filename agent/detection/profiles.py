"""What the cargo is, as settings: each profile is what one would otherwise write into ``[detect.*]``.

A key that the configuration says itself wins. Each figure has its source beside it. In none of them does a
mean kinetic temperature clear an excursion: it averages what was not allowed to happen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

ProfileName = Literal["", "liquid-food", "parcels", "vaccines", "chemicals"]
Table = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Profile:
    """``about``: whom it is for, in a sentence; ``detect``: tables of ``[detect.*]``."""

    about: str
    detect: Table


PROFILES: Mapping[str, Profile] = {
    "liquid-food": Profile(
        "Liquids in an open or vented tank of 0.4 m by 0.3 m: milk, juice, sauces.",
        {
            # half a 60 cm x 40 cm crate (module of ISO 3394), filled to 0.2 m of 0.32 m; to be replaced
            # by the tank that is really there
            "slosh": {
                "length_m": 0.4,
                "width_m": 0.3,
                "fill_m": 0.2,
                "freeboard_m": 0.12,
                # a smooth small tank: 0.5 % from its walls (Dodge 2000, chapter 2), the rest from rim and lid
                "damping": 0.02,
            },
            # milk freezes near -0.52 °C (ISO 5764 measures it), juices below it; then the pack bursts
            # no upper limit: sauces and juices travel warm. Raw milk is at most 10 °C when it arrives, 8 °C
            # where it is collected daily (Regulation (EC) 853/2004, annex III, section IX, chapter I, II.B)
            "temperature": {"freezing_degc": -0.5, "hold_s": 300.0, "critical_after_s": 300.0},
        },
    ),
    "parcels": Profile(
        "Packed goods that may lie on any side, but not be thrown.",
        {
            # they lie on their sides in every depot: lasting, and then worth a look
            "tilt": {
                "levels": [
                    {"angle_deg": 30.0, "hold_s": 60.0, "severity": 1},
                    {"angle_deg": 60.0, "hold_s": 5.0, "severity": 2},
                    {"angle_deg": 120.0, "hold_s": 5.0, "severity": 3},
                ]
            },
            # packed to fall 46 cm and more (ISTA 1A), and sorted by machines that let them fall 20: 2.0 m/s
            "shock": {"peak_mps2": 196.1, "delta_v_mps": 2.0},
            # corrugated board has lost half of the strength that it has at the 50 % of TAPPI T 402
            "humidity": {
                "high_percent": 85.0,
                "hold_s": 1800.0,
                "major_after_s": 14400.0,
                "critical_after_s": 14400.0,
            },
        },
    ),
    "vaccines": Profile(
        "Vaccines and other medicines of 2 to 8 °C that must not freeze.",
        {
            "temperature": {
                # WHO TRS 961 annex 9; EU GDP 2013/C 343/01, chapter 9
                "low_degc": 2.0,
                "high_degc": 8.0,
                # freeze alarm at -0.5 °C: WHO PQS E006
                "freezing_degc": -0.5,
                # a door at a delivery is over in minutes; a logger's 10 h (PQS E006) are too late to act
                "hold_s": 120.0,
                "major_after_s": 900.0,
                "critical_beyond_degc": 8.0,
                "critical_after_s": 300.0,
                "release_s": 60.0,
            },
        },
    ),
    "chemicals": Profile(
        "Drums, canisters and IBCs whose contents must stay inside.",
        {
            # drums stay upright: ADR 7.5.7.1; a stack leans before it falls
            "tilt": {
                "levels": [
                    {"angle_deg": 15.0, "hold_s": 30.0, "severity": 2},
                    {"angle_deg": 25.0, "hold_s": 10.0, "severity": 3},
                    {"angle_deg": 60.0, "hold_s": 1.0, "severity": 4},
                ]
            },
            # vapours of little water, and a rope of less conductive liquids
            "leak": {
                "rope_change_v": 0.3,
                "damp_percent": 8.0,
                "damp_dew_degc": 2.0,
                "pack_general_part": 0.1,
                "pack_major_part": 0.2,
            },
            # "protect from sunlight, do not expose to above 50 °C" (GHS P410 + P412), with 10 K in hand
            "temperature": {
                "high_degc": 40.0,
                "hold_s": 300.0,
                "major_after_s": 900.0,
                "critical_beyond_degc": 10.0,
                "critical_after_s": 60.0,
                "release_s": 60.0,
            },
        },
    ),
}


def under(profile: str, table: Table) -> dict[str, Any]:
    """Return a configuration's `table` laid over what `profile` says; it may be any word."""
    known = PROFILES.get(profile)
    return dict(table) if known is None else _laid({"detect": known.detect}, table)


def _laid(below: Table, above: Table) -> dict[str, Any]:
    out = dict(below)
    for key, value in above.items():
        lower = out.get(key)
        if isinstance(lower, Mapping) and isinstance(value, Mapping):
            out[key] = _laid(lower, value)
        else:
            out[key] = value
    return out
