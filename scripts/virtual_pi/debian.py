"""Debian for the guest: its packages, and its kernel, which is unpacked and not installed.

The mirror is the one that the host's own apt uses; ``CARGOBOX_DEBIAN_MIRROR`` names another.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from scripts.virtual_pi.errors import VirtualPiError
from scripts.virtual_pi.steps import command

SUITE = "bookworm"  # Debian 12, as Raspberry Pi OS 12
PACKAGES = (
    "systemd",
    "systemd-sysv",
    "udev",
    "dbus",
    "kmod",
    "procps",
    "python3",
    "python3-venv",
    "i2c-tools",
    "mosquitto",
)
# The whole set has more than 300 MB.
MODULES = (
    "crypto",
    "arch/x86/crypto",
    "drivers/block",
    "drivers/char",
    "drivers/hid",
    "drivers/i2c",
    "drivers/net/net_failover.ko",
    "drivers/net/virtio_net.ko",
    "drivers/usb/common",
    "drivers/usb/core",
    "drivers/usb/usbip",
    "drivers/virtio",
    "fs/autofs",
    "fs/configfs",
    "fs/ext4",
    "fs/fuse",
    "fs/jbd2",
    "fs/mbcache.ko",
    "lib",
    "net/core/failover.ko",
)
# What must be there before the disk is.
EARLY_MODULES = ("virtio_pci", "virtio_blk", "virtio_net", "ext4", "crc32c_generic", "crc32c_intel")


def mirror() -> str:
    """Return where Debian's packages come from."""
    named = os.environ.get("CARGOBOX_DEBIAN_MIRROR")
    if named:
        return named.rstrip("/")
    shape = "$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)"
    listed = command(
        "asking apt for its mirror", "apt-get", "indextargets", "--format", shape, "Created-By: Packages"
    )
    targets = [line.split() for line in listed.splitlines()]
    # any release of Debian's will do: a mirror holds them all
    for wanted in ([SUITE, "main", "Debian"], ["main", "Debian"]):
        for uri, *about in targets:
            if about[-len(wanted) :] == wanted and "security" not in uri:
                return uri.rstrip("/")
    raise VirtualPiError(
        "looking for a mirror of Debian's packages",
        got="none in this machine's apt configuration",
        expected="one with Debian's main",
        remedy="Name one: CARGOBOX_DEBIAN_MIRROR=URL scripts/virtual_pi/build.",
    )


def install(root: Path, downloads: Path) -> None:
    """Make a fresh Debian in the folder `root`."""
    downloads.mkdir(parents=True, exist_ok=True)
    # Its own cleaning would be refused where /proc of an earlier attempt is still mounted in it.
    command("removing an earlier Debian", "rm", "-rf", "--one-file-system", root)
    command(
        "installing Debian for the guest",
        "debootstrap",
        "--variant=minbase",
        f"--cache-dir={downloads}",
        f"--include={','.join(PACKAGES)}",
        SUITE,
        root,
        mirror(),
        remedy="Often the network or the mirror; then run this again: what was fetched is kept.",
    )
    for package in (root / "var/cache/apt/archives").glob("*.deb"):
        package.unlink()


def package(name: str, root: Path, downloads: Path, into: Path) -> None:
    """Fetch a package of the guest's release and unpack it into a folder."""
    about = _stanza(name, root)
    target = downloads / Path(about["Filename"]).name
    if not target.exists():
        command(
            f"fetching {name}",
            "/usr/lib/apt/apt-helper",
            "download-file",
            f"{mirror()}/{about['Filename']}",
            target,
            f"SHA256:{about['SHA256']}",
        )
    shutil.rmtree(into, ignore_errors=True)
    into.parent.mkdir(parents=True, exist_ok=True)
    command(f"unpacking {name}", "dpkg-deb", "-x", target, into)


def kernel_version(root: Path) -> str:
    """Return the newest of the release; the *cloud* kernel has no I2C."""
    depends = _stanza("linux-image-amd64", root)["Depends"]
    found = re.match(r"linux-image-(\S+)", depends)
    if found is None:
        raise VirtualPiError(
            "looking for the guest's kernel",
            got=f"linux-image-amd64 depends on {depends!r}",
            expected="linux-image-VERSION",
            remedy="Debian names its kernels otherwise now: mend kernel_version() in debian.py.",
        )
    return found[1]


def install_modules(unpacked: Path, version: str, root: Path) -> None:
    """Put the modules that the guest needs into its root file system."""
    source = unpacked / "lib/modules" / version
    target = root / "lib/modules" / version
    target.mkdir(parents=True)
    for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        shutil.copy2(source / name, target / name)
    for name in MODULES:
        wanted = target / "kernel" / name
        wanted.parent.mkdir(parents=True, exist_ok=True)
        if (source / "kernel" / name).is_dir():
            shutil.copytree(source / "kernel" / name, wanted)
        else:
            shutil.copy2(source / "kernel" / name, wanted)
    command("listing the kernel's modules", "depmod", "-b", root, version)


def make_initramfs(root: Path, version: str, busybox: Path, init: Path, scratch: Path, target: Path) -> None:
    """Make what the kernel starts first: it mounts the disk and hands over to systemd."""
    shutil.rmtree(scratch, ignore_errors=True)
    for name in ("bin", "dev", "proc", "sys", "newroot", "lib"):
        (scratch / name).mkdir(parents=True)
    shutil.copy2(busybox / "bin/busybox", scratch / "bin/busybox")
    (scratch / "bin/sh").symlink_to("busybox")
    shutil.copy2(init, scratch / "init")
    (scratch / "init").chmod(0o755)
    files: dict[str, None] = {}
    for module in EARLY_MODULES:
        listed = command(
            f"looking for what {module} needs",
            "modprobe",
            "-d",
            root,
            "-S",
            version,
            "--show-depends",
            module,
        )
        files |= {line.split()[1]: None for line in listed.splitlines() if line.startswith("insmod ")}
    for place, file in enumerate(files):
        shutil.copy2(file, scratch / "lib" / f"{place:02}-{Path(file).name}")
    pack = 'cd "$1" && find . | cpio --quiet -o -H newc | gzip -1 >"$2"'
    command("packing the initramfs", "bash", "-o", "pipefail", "-c", pack, "pack", scratch, target)
    shutil.rmtree(scratch)


def _stanza(name: str, root: Path) -> dict[str, str]:
    """Return what the release's list says of a package; debootstrap leaves that list behind."""
    lists = root / "var/lib/apt/lists"
    for listed in sorted(lists.glob("*_main_binary-amd64_Packages")):
        text = listed.read_text(encoding="utf-8")
        found = re.search(rf"^Package: {re.escape(name)}$.*?(?=\n\n|\Z)", text, re.M | re.S)
        if found:
            return dict(re.findall(r"^([\w-]+): (.*)$", found[0], re.M))
    raise VirtualPiError(
        f"looking for the package {name}",
        got=f"nothing of it in {lists}",
        expected="the list that debootstrap fetched",
        remedy="Run: scripts/virtual_pi/build --fresh.",
    )
