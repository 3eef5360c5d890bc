"""A key made, an order given and answered, as typed: through a real mosquitto with the page's access list."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.cli import main
from agent.config import load_config
from agent.errors import ConfigError
from agent.ordering import open_desk
from agent.orders import Done
from agent.outbox import Outbox
from agent.records import Kind
from tests.house.tree import TOP
from tests.outbox.samples import record
from tests.uplink.authority import make_authority, make_certificate
from tests.uplink.brokers import PATIENCE_S, Mosquitto
from tests.uplink.conftest import MakeUplink, mosquitto, outbox, start_uplink
from tests.uplink.watch import Watch

__all__ = ["mosquitto", "outbox", "start_uplink"]  # fixtures

pytestmark = pytest.mark.broker
DOERS = {verb: lambda order: Done({"verb": order.verb}) for verb in ("status", "flush", "restart")}
PAGE = (TOP / "docs/operators.md").read_text(encoding="utf-8")


def told(capsys: pytest.CaptureFixture[str], *line: object) -> tuple[int, str, str]:
    status = main([str(word) for word in line])
    said = capsys.readouterr()
    return status, said.out, said.err


def write(folder: Path, broker: str, orders: str, *, box: str = "box") -> Path:
    path = folder / f"{box}.toml"
    path.write_text(
        f'[box]\nid = "{box}"\nfleet = "fleet"\n[broker]\n{broker}\n'
        f'[orders]\nstate_file = "state"\n{orders}\n'
    )
    return path


def test_from_the_key_to_the_answer(
    tmp_path: Path,
    mosquitto: Callable[..., Mosquitto],
    start_uplink: MakeUplink,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """TLS, certificates and the access list as docs/operators.md has them: no way around for another box."""
    for name in ("ca",):
        make_authority(tmp_path, name)
    for name in ("broker", "box", "boss"):
        make_certificate(tmp_path, name, common_name="dispatch" if name == "boss" else "")
    acl = re.search(r"```\n(# /etc/mosquitto/acl\n.*?)```", PAGE, re.DOTALL)
    assert acl is not None, "the page has no access list"
    (tmp_path / "acl").write_text(acl[1].replace("north", "fleet"))
    (tmp_path / "acl").chmod(0o600)
    broker = mosquitto(
        f"cafile {tmp_path}/ca.crt", f"certfile {tmp_path}/broker.crt", f"keyfile {tmp_path}/broker.key",
        "require_certificate true", "use_identity_as_username true", "allow_anonymous false",
        f"acl_file {tmp_path}/acl",
    )  # fmt: skip
    status, out, _ = told(capsys, "order", "--key", tmp_path / "key", "make-key")
    assert status == 0 and "key.pub" in out
    tls = f'host = "127.0.0.1"\nport = {broker.port}\ntls = true\nca_file = "ca.crt"\n'
    mine = f'{tls}cert_file = "box.crt"\nkey_file = "box.key"'
    config = load_config(write(tmp_path, mine, 'allow = ["status"]\nkeys = ["key.pub"]'))
    desk = open_desk(config, DOERS, "b")
    assert desk is not None
    desk.start()
    watch = Watch()
    start_uplink(config.broker, ear=desk, on_change=watch)
    watch.connected(1)
    boss = write(tmp_path, f'{tls}cert_file = "boss.crt"\nkey_file = "boss.key"', "", box="boss")
    order = ("order", "--key", tmp_path / "key", "--config", boss, "--box", "box")
    status, out, err = told(capsys, *order, "--json", "status")
    answer = json.loads(out)
    assert (status, answer["done"], answer["result"]) == (0, True, {"verb": "status"}), err
    status, out, err = told(capsys, *order, "status")
    assert status == 0 and "box has done it: status" in out, err
    told(capsys, "order", "--key", tmp_path / "other", "make-key")
    strange = ("order", "--key", tmp_path / "other", "--config", boss, "--box", "box", "--seconds", 0.5)
    status, _, err = told(capsys, *strange, "status")
    assert status == 1 and "nothing within" in err and desk.counts["unknown_key"] == 1
    desk.stop()


def test_another_box_can_neither_write_nor_read_in_its_name(
    tmp_path: Path, mosquitto: Callable[..., Mosquitto], outbox: Outbox, start_uplink: MakeUplink
) -> None:
    make_authority(tmp_path, "ca")
    for name in ("broker", "box-8"):
        make_certificate(tmp_path, name)
    acl = re.search(r"```\n(# /etc/mosquitto/acl\n.*?)```", PAGE, re.DOTALL)
    assert acl is not None
    (tmp_path / "acl").write_text(acl[1].replace("north", "fleet"))
    (tmp_path / "acl").chmod(0o600)
    broker = mosquitto(
        f"cafile {tmp_path}/ca.crt", f"certfile {tmp_path}/broker.crt", f"keyfile {tmp_path}/broker.key",
        "require_certificate true", "use_identity_as_username true", "allow_anonymous false",
        f"acl_file {tmp_path}/acl",
    )  # fmt: skip
    outbox.put([record(0, Kind.ALARM)])  # of fleet/box, sent by box-8
    uplink = start_uplink(
        broker.config(
            tls=True,
            ca_file=f"{tmp_path}/ca.crt",
            cert_file=f"{tmp_path}/box-8.crt",
            key_file=f"{tmp_path}/box-8.key",
        )
    )
    uplink.stop(drain_s=PATIENCE_S)
    assert uplink.stats().refused == 1, uplink.stats()


def test_orders_without_a_key_are_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="make-key"):
        load_config(write(tmp_path, "", 'allow = ["status"]'))


def test_a_key_that_cannot_be_read_costs_the_orders_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = load_config(write(tmp_path, "", 'allow = ["status"]\nkeys = ["none"]'))
    assert open_desk(config, DOERS, "b") is None and "no order is taken" in caplog.text


def test_nothing_is_subscribed_to_unless_it_is_allowed(tmp_path: Path) -> None:
    assert open_desk(load_config(write(tmp_path, "", "")), DOERS, "b") is None


def test_a_key_is_never_overwritten_and_counts_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from agent.commands.order import next_counter

    assert told(capsys, "order", "--key", tmp_path / "key", "make-key")[0] == 0
    status, _, err = told(capsys, "order", "--key", tmp_path / "key", "make-key")
    assert status == 1 and "is there already" in err
    first = next_counter(tmp_path / "key")
    (tmp_path / "key.counter").write_text(str(first + 10**9))  # a clock that has been ahead
    assert next_counter(tmp_path / "key") == first + 10**9 + 1
