"""A bug report says how the box is set up, and nothing that others may not know."""

from __future__ import annotations

import json
import os
import resource
import signal
import tarfile
from pathlib import Path

import pytest

from agent.cli import main
from agent.outbox import Outbox
from agent.support import archive
from agent.support.archive import PART_BYTES, subject_of, system, write_archive
from agent.support.secrets import TAKEN_OUT, Blackener, of_configuration
from tests.outbox.samples import records

SECRETS = (
    "hunter2-of-the-broker",
    "MIIEvQIBADANBgkqhkiG9w0",
    "rosebud-4711",
    "planted-in-a-comment",
    "boxuser77",
)


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    (tmp_path / "password").write_text(f"{SECRETS[0]}\n")
    key = f"-----BEGIN PRIVATE KEY-----\n{SECRETS[1]}\n-----END PRIVATE KEY-----\n"
    (tmp_path / "box.key").write_text(key)
    path = tmp_path / "cargobox.toml"
    path.write_text(
        f'[box]\nid = "kept-7"\n# password was {SECRETS[3]}\n[source.serial]\nport = "/dev/null"\n'
        f'[broker]\nhost = "127.0.0.1"\nport = 1\nusername = "{SECRETS[4]}"\npassword_file = "password"\n'
        f'key_file = "box.key"\n[outbox]\ndirectory = "outbox"\n'
    )
    for name in ("password", "box.key"):
        (tmp_path / name).chmod(0o600)
    return path


def unpacked(file_of_all: Path) -> dict[str, str]:
    with tarfile.open(file_of_all) as opened:
        parts = {}
        for entry in opened:
            file = opened.extractfile(entry)
            assert file is not None
            parts[entry.name.split("/")[-1]] = file.read().decode()
        return parts


def test_no_planted_secret_is_anywhere_in_the_archive(configuration: Path, tmp_path: Path) -> None:
    with Outbox(tmp_path / "outbox") as outbox:
        outbox.put(records(range(3)))
    out = tmp_path / "report.tar.gz"
    assert main(["support", "--config", str(configuration), "--out", str(out)]) == 0
    parts = unpacked(out)
    assert set(parts) >= {"versions.json", "configuration.json", "doctor.json", "outbox.json", "log.txt"}
    found = [(name, secret) for name, text in parts.items() for secret in SECRETS if secret in text]
    assert not found
    assert json.loads(parts["configuration.json"])["box"]["id"] == "kept-7"
    assert json.loads(parts["outbox.json"])["waiting"] == 3
    assert "findings" in json.loads(parts["doctor.json"])
    assert "records.jsonl" not in parts, "the cargo's data was not asked for"
    assert os.stat(out).st_mode & 0o077 == 0
    assert main(["support", "--config", str(configuration), "--out", str(out)]) == 1, "it overwrites nothing"


def test_data_comes_where_it_is_asked_for_and_is_bounded(configuration: Path, tmp_path: Path) -> None:
    with Outbox(tmp_path / "outbox") as outbox:
        outbox.put(records(range(3)))
    out = tmp_path / "report.tar.gz"
    write_archive(out, subject_of(configuration), with_data=True, doctor=False)
    parts = unpacked(out)
    assert len(parts["records.jsonl"].splitlines()) == 3
    assert max(len(text.encode()) for text in parts.values()) <= PART_BYTES


def test_a_configuration_that_cannot_be_read_hides_its_secrets_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "cargobox.toml"
    path.write_text(f'[broker]\npassword = "{SECRETS[2]}"\nhost = \n')
    out = tmp_path / "report.tar.gz"
    write_archive(out, subject_of(path), with_data=False, doctor=False)
    text = "".join(unpacked(out).values())
    assert SECRETS[2] not in text
    assert "error" in json.loads(unpacked(out)["configuration.json"])
    assert SECRETS[2] in set(of_configuration(path.read_text()))


def test_what_looks_like_a_secret_is_taken_for_one() -> None:
    clean = Blackener(['a"b\\secret'])
    for text in (
        "mqtts://box:verysecret@broker.test",
        "mqtts://box:very/secret@home@broker.test",
        "amqp://verysecret-token@broker.test",
        "password=verysecret",
        '{"password": "verysecret and more secret", "x": 1}',
        '"MQTT_PASSWORD=very-secret"',
        "Authorization: Bearer verysecret",
        "api_key: 'verysecret with words'",
        '"said": "token=\\"very secret\\""',
        "-----BEGIN EC PRIVATE KEY-----\nverysecret\n-----END EC PRIVATE KEY-----",
        json.dumps({"said": 'a"b\\secret'}),
    ):
        said = clean(text)
        assert "secret" not in said.replace(TAKEN_OUT, ""), said
        assert TAKEN_OUT in said
    assert clean("the broker broker.test refuses") == "the broker broker.test refuses"


def test_secrets_of_every_kind_stay_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a URL, in files, in the signing key beside them, in the environment, and quoted by the journal."""
    monkeypatch.setenv("CARGOBOX_PASSWORD", "planted-in-the-environment")
    key, name = "planted0in0the0key0", "planted-user"
    (tmp_path / "box.pem").write_text(
        f"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n{key}\n"
    )
    (tmp_path / "password").write_text("planted in the file\n")
    path = tmp_path / "cargobox.toml"
    path.write_text(
        '[source.serial]\nport = "/dev/null"\n[outbox]\ndirectory = "outbox"\n[orders]\n'
        'allow = ["status"]\nkeys = ["dispatch.key.pub"]\n[broker]\nport = 1\n'
        f'host = "mqtt://{name}:planted-in-url@host"\nusername = "{name}"\npassword_file = "password"\n'
        'key_file = "box.pem"\ncert_file = "box.pem"\n'
    )
    seen = [
        "uplink: connecting to mqtt://planted-user:planted-in-url@host",
        f"a line that quotes {key} and 'planted in the file' and planted-user",
        '{"MESSAGE": "password: planted-by-hand"}',
    ]
    monkeypatch.setattr(archive, "log_lines", lambda _: seen)
    out = tmp_path / "report.tar.gz"
    write_archive(out, subject_of(path), with_data=False, doctor=False)
    text = "".join(unpacked(out).values())
    assert "planted" not in text, text[max(0, text.index("planted") - 200) :][:400]
    assert "a line that quotes" in text, "the log is there, and only its secrets are not"


def test_an_outbox_of_rubbish_and_a_part_that_breaks_cost_nothing_else(
    configuration: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Outbox(tmp_path / "outbox") as outbox:
        outbox.put(records(range(50)))
    for file in (tmp_path / "outbox").iterdir():
        file.write_bytes(os.urandom(5000))

    def broken() -> None:
        raise RecursionError

    monkeypatch.setattr(archive, "versions", broken)
    monkeypatch.setattr(archive, "log_lines", lambda _: ["x" * 3_000_000])
    out = tmp_path / "report.tar.gz"
    write_archive(out, subject_of(configuration), with_data=True, doctor=False)
    parts = unpacked(out)
    assert json.loads(parts["versions.json"]) == {"error": "RecursionError"}
    assert json.loads(parts["outbox.json"])["waiting"] == 0 and parts["system.json"]
    assert len(parts["log.txt"]) == PART_BYTES


def test_a_disk_that_is_full_leaves_no_half_of_an_archive(
    configuration: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    limit, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the kernel then says EFBIG
    monkeypatch.setattr(archive, "doctor_says", lambda _: os.urandom(200_000).hex())
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, most))
    try:
        status = main(["support", "--config", str(configuration), "--out", str(tmp_path / "x.tar.gz")])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))
        signal.signal(signal.SIGXFSZ, old)
    assert status == 1 and "--out" in capsys.readouterr().err
    assert not (tmp_path / "x.tar.gz").exists()


def test_the_machine_is_told_of_without_root(tmp_path: Path) -> None:
    found = system(tmp_path / "not" / "there")
    assert found["boot_id"]
    assert found[f"disk of {tmp_path / 'not' / 'there'}"]["total"] > 0
