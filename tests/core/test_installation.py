"""The service: what is installed is tight enough, whole, the same twice, and taken away again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from agent.beats import Hang
from agent.cli import main
from agent.commands.service import in_words
from agent.config import Config
from agent.errors import BrokerError, UsageError
from agent.installation.installing import credentials_of, devices_of, enable, plan_for, run_aloud
from agent.installation.standing import judged, waiting_in
from agent.installation.units import Plan, agent_unit, broker_service, broker_socket
from agent.uplink import BrokerConfig, through
from agent.watchdog import Watchdog
from firmware_bridge.errors import FourPartError
from tests.house.tree import TOP
from tests.outbox.samples import filled

EXPOSURE_TENTHS = 10
UNIT = "etc/systemd/system/cargobox.service"

PROGRAM = "/opt/cargobox/bin/cargobox"  # wherever the tests run: a service sees no temporary folder


def tree(tmp_path: Path, more: str = "") -> Path:
    root = tmp_path / "root"
    (root / "etc/cargobox").mkdir(parents=True)
    (root / "etc/group").write_text("root:x:0:\ndialout:x:20:\n")
    text = f'[source.serial]\nport = "/dev/ttyACM0"\n{more}'
    (root / "etc/cargobox/cargobox.toml").write_text(text)
    return root


def test_the_example_is_what_is_installed() -> None:
    assert (TOP / "docs/examples/cargobox.service").read_text(encoding="utf-8") == agent_unit(Plan())


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")
def test_the_sandbox_is_tight(tmp_path: Path) -> None:
    unit = tmp_path / "cargobox.service"
    unit.write_text(agent_unit(Plan()))
    words = ["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE_TENTHS}", str(unit)]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    unit.write_text(agent_unit(Plan()).replace("PrivateNetwork=yes\n", ""))
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert done.returncode != 0, "a network more, and nobody minds"


def test_installing_twice_changes_nothing_and_removing_keeps_what_is_stored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tree(tmp_path, '[broker]\nhost = "broker.test"\nport = 8883\n')
    stored = root / "var/lib/cargobox/outbox"
    stored.mkdir(parents=True)
    assert main(["service", "install", "--program", PROGRAM, "--root", str(root), "--dry-run"]) == 0
    assert "nothing was changed" in capsys.readouterr().out
    assert not (root / UNIT).exists()
    assert main(["service", "install", "--program", PROGRAM, "--root", str(root)]) == 0
    assert "cargobox.service: new" in capsys.readouterr().out
    text = (root / UNIT).read_text()
    assert "SupplementaryGroups=dialout\n" in text, "a group that is not there keeps the unit from starting"
    assert "broker.test:8883" in text
    assert "broker.test:8883" in (root / "etc/systemd/system/cargobox-broker.service").read_text()
    assert (root / "etc/systemd/system/multi-user.target.wants/cargobox.service").is_symlink()
    assert main(["service", "install", "--program", PROGRAM, "--root", str(root)]) == 0
    said = capsys.readouterr().out
    assert said.count("as it is") == 4, said
    assert main(["service", "remove", "--root", str(root)]) == 0
    assert "stays" in capsys.readouterr().out
    assert stored.exists()
    assert not (root / UNIT).exists()
    assert not (root / "etc/systemd/system/multi-user.target.wants/cargobox.service").is_symlink()
    assert main(["service", "remove", "--root", str(root), "--purge"]) == 0
    assert not stored.exists()


def test_what_may_not_be_done_is_refused_in_four_parts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree(tmp_path)
    words = ["service", "install", "--root", str(root), "--program"]
    assert main([*words, "/var/tmp/bin/cargobox"]) == 2
    assert "which no service sees" in capsys.readouterr().err
    assert main(["service", "status", "--purge"]) == 2
    capsys.readouterr()
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert main(["service", "install", "--program", PROGRAM, "--root", str(root)]) == 1
    assert "Run it with sudo" in capsys.readouterr().err
    assert not (root / UNIT).exists()
    with pytest.raises(UsageError, match="no program at"):
        plan_for(Path("/"), Path("/opt/none/cargobox"), Path("/etc/none.toml"), direct=False, systemd=252)
    with pytest.raises(FourPartError, match="running `/none/systemctl"):
        run_aloud(["/none/systemctl", "start"])


def test_systemd_is_told_in_order() -> None:
    told: list[Sequence[str]] = []
    enable(Path("/"), Plan(), changed=True, run=told.append)
    assert [words[:2] for words in told] == [
        ["systemd-sysusers", "/etc/sysusers.d/cargobox.conf"],
        ["systemctl", "daemon-reload"],
        ["systemctl", "enable"],
        ["systemctl", "stop"],
        ["systemctl", "restart"],
    ]


def test_the_unit_follows_the_configuration() -> None:
    broker = BrokerConfig(key_file="credentials:box.key", password_file="/etc/cargobox/password")
    config = Config(broker=broker)
    assert credentials_of(config, Path("/etc/cargobox")) == {"box.key": Path("/etc/cargobox/box.key")}
    plan = Plan(credentials={"box.key": Path("/etc/cargobox/box.key")}, systemd=256, direct=True)
    text = agent_unit(plan)
    assert "LoadCredential=box.key:/etc/cargobox/box.key\n" in text
    assert "RestartMaxDelaySec=300\n" in text
    assert "PrivateNetwork" not in text
    assert "AF_INET6" in text
    assert devices_of(config) == ("ttyACM", "ttyUSB", "i2c")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")
def test_systemd_understands_every_line(tmp_path: Path) -> None:
    texts = {"cargobox-broker.service": broker_service(Plan()), "cargobox-broker.socket": broker_socket()}
    texts["cargobox.service"] = agent_unit(Plan(program=Path("/bin/true")))
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    paths = [str(tmp_path / name) for name in texts]
    done = subprocess.run(["systemd-analyze", "verify", *paths], check=False, capture_output=True, text=True)
    ours = [line for line in done.stderr.splitlines() if str(tmp_path) in line or "cargobox" in line]
    assert not [line for line in ours if "Unknown" in line or "Failed to parse" in line], ours


STATES = {
    "well": ("LoadState=loaded\nActiveState=active\nSubState=running\nResult=success\nMainPID=7\n", 0),
    "hung": ("LoadState=loaded\nActiveState=activating\nSubState=auto-restart\nResult=watchdog\n", 2),
    "none": ("LoadState=not-found\nActiveState=inactive\nResult=success\n", 1),
    "waits": ("LoadState=loaded\nActiveState=active\nStatusText=waiting for the box: no port\n", 1),
}


@pytest.mark.parametrize("name", STATES)
def test_the_status_says_what_is_wrong(name: str) -> None:
    shown, troubles = STATES[name]
    found = judged(shown, 3, ["a line"])
    assert len(found.trouble) == troubles, found
    json.dumps(found.as_dict())
    assert judged(None, None, []).trouble == ("systemd does not answer here",)


def test_the_watchdog_is_not_fed_while_a_thread_hangs_and_says_which(
    caplog: pytest.LogCaptureFixture,
) -> None:
    hangs: list[Hang] = []
    told: list[str] = []
    watchdog = Watchdog(lambda: tuple(hangs), "reading the box", told.append)
    watchdog.look()
    assert told == ["WATCHDOG=1"]
    hangs.append(Hang("source", 41.0, 40.0))
    watchdog.look()
    watchdog.look()
    words = "the source thread has hung for 41 s: it was to be heard of within 40 s"
    assert told[1:] == [f"STATUS=hangs: {words}"] * 2, told
    assert [r.getMessage() for r in caplog.records] == [f"{words}; the watchdog is not fed any more"]
    hangs.clear()
    watchdog.look()
    assert told[3:] == ["WATCHDOG=1", "STATUS=reading the box"]


def test_a_broker_that_has_moved_is_not_looked_for_behind_the_old_socket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = BrokerConfig(host="broker.test", port=8883)
    monkeypatch.delenv(through.VARIABLE, raising=False)
    assert through.way_to(config) == ""
    monkeypatch.setenv(through.VARIABLE, "broker.test:8883=/run/s")
    assert through.way_to(config) == "/run/s"
    monkeypatch.setenv(through.VARIABLE, "older.test:8883=/run/s")
    with pytest.raises(BrokerError, match="service install"):
        through.way_to(config)


def test_an_outbox_that_is_not_there_yet_is_no_matter_of_rights(tmp_path: Path) -> None:
    waiting, unseen = waiting_in(tmp_path / "outbox")
    standing = judged("ActiveState=active", waiting, [], unseen)
    assert "no outbox yet" in " ".join(in_words(standing)), in_words(standing)
    assert standing.as_dict()["unseen"] == unseen
    assert "configuration" in waiting_in(None)[1]
    filled(tmp_path / "outbox", 3)
    assert waiting_in(tmp_path / "outbox") == (3, "")
    if os.geteuid():  # root may read all
        (tmp_path / "outbox").chmod(0)
        assert waiting_in(tmp_path / "outbox") == (None, "not to be seen by this user")
        (tmp_path / "outbox").chmod(0o700)
