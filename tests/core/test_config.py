"""The configuration: what is wrong with it is said with the key, what it got and what it wanted."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from agent.commands.source import source_of
from agent.config import Config, load_certificates, load_config
from agent.correction import Correction
from agent.errors import ConfigError
from agent.streams import TABLE
from calibration.certificate import Certificate
from calibration.errors import CertificateError


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "cargobox.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "got", "expected"),
    [
        ("[broker]\nprot = 1883", "a key 'prot' in [broker] (did you mean 'port'?)", "only host, port"),
        ("[brocker]\nport = 1", "a key 'brocker' (did you mean 'broker'?)", "only box, cargo, source"),
        ('[broker]\nport = "1883"', "broker.port = '1883'", "a number, without quotes"),
        ('[broker]\nhost = "[::1]"', "broker.host = '[::1]'", "without brackets"),
        ("[broker]\nport = 99999", "broker.port = 99999", "at most 65535"),
        (
            "[detect.tilt]\nlevel = 17",
            "a key 'level' in [detect.tilt] (did you mean 'levels'?)",
            "levels",
        ),
        ('[box]\nid = "van 7"', "box.id = 'van 7'", "letters, digits, _, . or -"),
        ('[mounting]\nup = "top"', "mounting.up = 'top'", ""),
        ("[mounting]\nup = [0, 0, 0]", "[0, 0, 0]", "a direction"),
        ("[streams.accel]\nrate = 5", "a key 'rate' in [streams.accel] (did you mean 'rate_hz'?)", "rate_hz"),
        ("[source.serial]\n", "no 'port' in [source.serial]", "a key 'port'"),
        ("[broker]\nconnect_timeout_s = 1e300", "broker.connect_timeout_s = 1e+300", "at most 32000000"),
        ('[outbox]\ndirectory = "a\\u0000b"', r"outbox.directory = 'a\x00b'", "without the character"),
        ("[detect.tilt]\nrelease_s = inf", "detect.tilt.release_s = inf", "at most 32000000"),
        ("[mounting]\nup = [nan, 0, 1]", "mounting.up.0 = nan", "a number that one can count to"),
        ("[streams.accel]\nscale = nan", "streams.accel.scale = nan", "a number that one can count to"),
        ("[detect.tilt]\nrelease_s = -1", "detect.tilt.release_s = -1", "at least 0"),
        ("[detect.tilt]\nlowpass_s = -5.0", "detect.tilt.lowpass_s = -5.0", "more than 0"),
        (
            "[[detect.tilt.levels]]\nangle_deg = -5.0\nhold_s = 1\nseverity = 3",
            "angle_deg = -5.0 in [[detect.tilt.levels]] 1",
            "more than 0",
        ),
        (
            "[detect.tilt]\nlevels = [{ angle_deg = 5.0, hold_s = 1, severity = 5 }]",
            "severity = 5 in [[detect.tilt.levels]] 1",
            "one of 1, 2, 3, 4",
        ),
        (
            '[cargo]\nprofile = "vacines"',
            "cargo.profile = 'vacines' (did you mean 'vaccines'?)",
            "liquid-food",
        ),
        ("[cargo]\nprofile = 3", "cargo.profile = 3", ""),
        (
            '[cargo]\nprofile = "vaccines"\n[detect.temperature]\nhigh = 7',
            "a key 'high' in [detect",
            "high_degc",
        ),
        ('[cargo]\nprofile = "vaccines"\n[detect.temperature]\nhigh_degc = 1', "high_degc = 1", "low below"),
        ("[detect.pressure]\nend_below = 1.5", "detect.pressure.end_below = 1.5", "at most 1"),
        (
            "[detect.temperature]\nlow_degc = 8.0\nhigh_degc = 2.0",
            "low_degc = 8 and high_degc = 2",
            "low below high",
        ),
        ('[broker]\nprotocol = "4"', "broker.protocol = '4'", "one of 5, 3.1.1"),
        ("[detect.tilt]\nrelease_s = 1e300", "detect.tilt.release_s = 1e+300", "at most 32000000"),
        ("[detect.tilt]\nlowpass_s = 1e-300", "detect.tilt.lowpass_s = 1e-300", "at least 1e-06"),
        (
            "[detect.shock]\npeak_mps2 = 500",
            "detect.shock with peak_mps2 = 500 and critical_peak_mps2 = 392.3",
            "peak_mps2 at most critical_peak_mps2",
        ),
        ("[detect.load_shift]\nshift = 0.5", "shift = 0.5 and major_shift = 0.15", "at most major_shift"),
        ('[cargo]\nprofile = "vaccine"', "(did you mean 'vaccines'?)", 'one of "" (none), liquid-food'),
        ("[upload]\nbudget = 20", "upload.budget = 20", "at most 1"),
        ("[upload]\nbudget = 0", "upload.budget = 0", "more than 0"),
        ("[box]\nid = 7", "box.id = 7", "text in quotes"),
        ("[broker]\ntls = 1", "broker.tls = 1", "true or false"),
        ("[mounting]\nup = 3", "mounting.up = 3", "text in quotes or a list in [ ]"),
        ("[broker\n", "", "valid TOML"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, got: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(written(tmp_path, text))
    error = caught.value
    assert got in error.got, error
    assert expected in error.expected, error
    assert "cargobox.toml" in error.doing and error.remedy, error


def test_a_budget_in_per_cent_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(written(tmp_path, "[upload]\nbudget = 20"))
    assert caught.value.remedy == "It is no per cent: 20 % is 0.2."


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_config(tmp_path / "absent.toml")


def test_paths_count_from_the_file(tmp_path: Path) -> None:
    config = load_config(
        written(tmp_path, '[outbox]\ndirectory = "queue"\n[certificates]\nfiles = ["a.json"]')
    )
    assert config.outbox.directory == str(tmp_path / "queue")
    assert config.certificates.files == (str(tmp_path / "a.json"),)


def test_streams_are_open_to_configuration(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, "[streams.accel]\nfull_scale = 30.0\nwatch = false"))
    (spec,) = config.apply_to([TABLE["accel"]])
    assert (spec.full_scale, spec.watch, spec.rate_hz) == (30.0, False, 1000.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[streams.acel]\nwatch = false", "a stream that the source does not give (did you mean 'accel'?)"),
        ('[streams.accel]\naxes = ["a", "b"]', "2 axes, expected 3 axes in mps2"),
        ('[streams.accel]\nunit = "kg"', "unit 'kg'"),
    ],
)
def test_what_a_stream_is_cannot_be_changed(tmp_path: Path, text: str, words: str) -> None:
    config = load_config(written(tmp_path, text))
    with pytest.raises(ConfigError) as caught:
        config.apply_to([TABLE["accel"]])
    assert words in str(caught.value)


def test_a_stream_that_is_not_there_this_time_may_be_configured(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, "[streams.gyro]\nwatch = false"))
    assert config.apply_to([TABLE["accel"]]) == (TABLE["accel"],)


def test_files_of_the_broker_count_from_the_configuration_too(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, '[broker]\npassword_file = "secret"'))
    assert (config.broker.password_file, config.broker.ca_file) == (str(tmp_path / "secret"), "")


def test_no_source_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"neither \[source.serial\] nor \[\[source.i2c\]\]"):
        source_of(Config(), None, None)


def certificate(**changes: object) -> Certificate:
    base = Certificate(
        stream="accel",
        gain=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
        bias=(0.0, 0.0, 0.0),
        method="six positions",
        made_at="2026-01-01T00:00:00Z",
    )
    return msgspec.structs.replace(base, **changes)


def test_certificates_are_read_and_hashed_by_meaning(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(certificate().to_json())
    config = load_config(written(tmp_path, '[certificates]\nfiles = ["a.json"]'))
    (read,) = load_certificates(config)
    assert read.hash == certificate().hash != certificate(bias=(0.0, 0.0, 0.1)).hash


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"{}", "missing required field"),
        (b"\x00\x01", "JSON"),
        (certificate(bias=(0.0, 0.0)).to_json(), "2 biases with gain rows of [3, 3, 3]"),
        (certificate(format="other/1").to_json(), "format"),
    ],
)
def test_a_certificate_that_is_none(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "a.json").write_bytes(data)
    config = load_config(written(tmp_path, '[certificates]\nfiles = ["a.json"]'))
    with pytest.raises(CertificateError, match=r"a\.json") as caught:
        load_certificates(config)
    assert words in str(caught.value)


def test_two_certificates_of_one_stream(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.json").write_bytes(certificate().to_json())
    config = load_config(written(tmp_path, '[certificates]\nfiles = ["a.json", "b.json"]'))
    with pytest.raises(ConfigError, match="two for stream 'accel'"):
        load_certificates(config)


def test_a_certificate_of_another_sensor_is_refused() -> None:
    two_axes = certificate(gain=((1.0, 0.0), (0.0, 1.0)), bias=(0.0, 0.0))
    with pytest.raises(ConfigError, match="2 axes"):
        Correction([TABLE["accel"]], [two_axes])
