"""The units as text: the agent in the tightest sandbox that works, and its one way to the network.

The agent reads what strangers may plug in; so it has no network of its own, but one socket, behind which
systemd-socket-proxyd(8), which in turn sees no device and no file, connects to the broker. TLS goes through
from end to end. See systemd.exec(5), systemd.resource-control(5) and `systemd-analyze security`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

PROGRAM = Path("/opt/cargobox/bin/cargobox")
CONFIGURATION = Path("/etc/cargobox/cargobox.toml")
SOCKET = "/run/cargobox-broker.sock"
PROXY = "/lib/systemd/systemd-socket-proxyd"
UNIT = "cargobox.service"
BROKER_SOCKET = "cargobox-broker.socket"
BROKER_SERVICE = "cargobox-broker.service"
STEPS_SINCE = 254  # systemd that knows RestartSteps=


@dataclass(frozen=True, slots=True)
class Plan:
    """What the units depend on."""

    program: Path = PROGRAM
    configuration: Path = CONFIGURATION
    host: str = "localhost"
    port: int = 1883
    groups: tuple[str, ...] = ("dialout", "i2c")
    devices: tuple[str, ...] = ("ttyACM", "ttyUSB", "i2c")
    """Classes of devices, as /proc/devices calls them."""
    credentials: Mapping[str, Path] = field(default_factory=dict)
    """Name of a credential → the file that root reads it from."""
    direct: bool = False
    """Whether the agent connects to the broker itself, with the network in its sandbox."""
    systemd: int = 252

    @property
    def broker(self) -> str:
        """The broker as an address with a port."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def agent_unit(plan: Plan) -> str:
    """Return the agent's own unit."""
    # wanted, not required: a box whose way out cannot be opened records all the same
    broker = "" if plan.direct else f"\nWants={BROKER_SOCKET}\nAfter={BROKER_SOCKET}"
    back_off = "\nRestartSteps=6\nRestartMaxDelaySec=300" if plan.systemd >= STEPS_SINCE else ""
    loaded = "".join(f"\nLoadCredential={name}:{path}" for name, path in plan.credentials.items())
    groups = f"\nSupplementaryGroups={' '.join(plan.groups)}" if plan.groups else ""
    devices = "\n".join(f"DeviceAllow=char-{name} rw" for name in plan.devices)
    if plan.direct:
        network = "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6"
    else:
        network = (
            f"PrivateNetwork=yes\nIPAddressDeny=any\nRestrictAddressFamilies=AF_UNIX\n"
            f"Environment=CARGOBOX_BROKER_SOCKET={plan.broker}={SOCKET}"
        )
    return f"""# /etc/systemd/system/{UNIT}
# Written by `cargobox service install`, and anew at each upgrade: changes of your own go into
# `systemctl edit cargobox`.
[Unit]
Description=cargobox agent: what happens to the cargo
# No network-online.target: a box without a network records all the same.
After=time-sync.target{broker}
# Never given up for ever: a box in a van is alone. RestartSec= bounds how often it is tried.
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
# --wait: a box that is not plugged in yet is waited for. What an earlier run left unsent goes up meanwhile.
ExecStart={plan.program} run --config {plan.configuration} --wait
# Fed while every thread makes progress; 30 s without it and systemd starts the agent anew.
WatchdogSec=30
# Also where it ends in order: an order may ask it to begin anew. `systemctl stop` is obeyed all the same.
Restart=always
RestartSec=10{back_off}
# 2 says that the configuration is wrong: starting again would not mend it.
RestartPreventExitStatus=2
# A store of a million records is opened, and the box is called for the first time.
TimeoutStartSec=90
# Longer than it takes to send what waits and to connect in vain.
TimeoutStopSec=30
# Beyond the first the kernel takes pages back; beyond the second it ends the agent, which begins anew with
# all that was on the card.
MemoryHigh=192M
MemoryMax=256M
TasksMax=64

User=cargobox
# The groups that may open serial ports and I2C buses. systemd starts no unit with a group that is not there:
# `cargobox service install` leaves out what is missing.{groups}
# The threads that read I2C buses go before all others: a load cell's converter keeps one sample, for 12 ms.
LimitRTPRIO=10
# /var/lib/cargobox holds the outbox; it stays over upgrades, and when the service is removed.
StateDirectory=cargobox
StateDirectoryMode=0700
CacheDirectory=cargobox
ConfigurationDirectory=cargobox
UMask=0077
Environment=PYTHONPYCACHEPREFIX=/var/cache/cargobox{loaded}

# Microcontrollers on USB, serial ports and I2C buses; no other device is there.
DevicePolicy=closed
{devices}

# The broker, and nothing else of the network.
{network}

NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateUsers=yes
PrivateIPC=yes
PrivateMounts=yes
ProtectProc=invisible
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictNamespaces=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RemoveIPC=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
# For the threads that go before the others; and the kernel's word on its clock, which without a capability
# can only be read (the C library asks by either name). ProtectClock= would forbid that, too.
SystemCallFilter=sched_setscheduler adjtimex clock_adjtime

[Install]
WantedBy=multi-user.target
"""


def broker_socket() -> str:
    """Return the unit of the socket behind which the broker is."""
    return f"""# /etc/systemd/system/{BROKER_SOCKET}
# Written by `cargobox service install`.
[Unit]
Description=the way of the cargobox agent to its broker

[Socket]
ListenStream={SOCKET}
SocketUser=cargobox
SocketMode=0600
# A broker that is away makes many attempts; they are never taken for a flood.
TriggerLimitIntervalSec=0

[Install]
WantedBy=sockets.target
"""


def broker_service(plan: Plan) -> str:
    """Return the unit that connects that socket to the broker."""
    return f"""# /etc/systemd/system/{BROKER_SERVICE}
# Written by `cargobox service install`: sees the network, and neither a device nor a file.
[Unit]
Description=the cargobox agent's connection to {plan.broker}
Requires={BROKER_SOCKET}
After={BROKER_SOCKET}
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart={PROXY} --connections-max=8 {plan.broker}
Restart=on-failure
RestartSec=5
MemoryMax=32M
TasksMax=16
DynamicUser=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
PrivateUsers=yes
PrivateIPC=yes
ProtectProc=invisible
ProcSubset=pid
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
LockPersonality=yes
MemoryDenyWriteExecute=yes
UMask=0077
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
"""


def user() -> str:
    """Return the service's own user, sysusers.d(5)."""
    return """# Written by `cargobox service install`.
u cargobox - "cargobox agent" /var/lib/cargobox
"""
