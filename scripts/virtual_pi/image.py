"""``python -m scripts.virtual_pi.image``: builds the guest, in three steps that are cached.

Debian with its kernel (a minute) · the locked Python packages · the disk. The project itself comes in at
each boot (see ``project``), so that no change of it makes a step necessary.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import re
import shutil
import sys
from pathlib import Path

from scripts.virtual_pi import debian
from scripts.virtual_pi.errors import VirtualPiError
from scripts.virtual_pi.paths import GUEST_PYTHON, HERE, TOOLS, TOP, VENV, Cache
from scripts.virtual_pi.steps import command, fingerprint, say, step

GUEST = HERE / "guest"  # laid over the guest's root
PORTER = HERE / "porter.py"
DISK_SIZE = "1G"  # sparse: what is not written takes no room on the host
# What the tests import beyond what `run`, `record` and `replay` need; with what these need in turn.
SUITE_PACKAGES = (
    "hypothesis",
    "sortedcontainers",
    "pytest",
    "iniconfig",
    "packaging",
    "pluggy",
    "pygments",
)
GLIBC_MINOR = 36  # Debian 12's C library is 2.36
# Nobody waits for any of these in a machine that lives for minutes.
MASKED = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty@tty1.service",
    "proc-sys-fs-binfmt_misc.automount",
    "systemd-binfmt.service",
    "systemd-pstore.service",
)


def build(cache: Cache, *, fresh: bool = False) -> None:
    """Do what is not up to date."""
    cache.folder.mkdir(parents=True, exist_ok=True)
    with (cache.folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        marks = cache.folder / "marks"
        if fresh:
            shutil.rmtree(marks, ignore_errors=True)
        marks.mkdir(exist_ok=True)
        base = cache.folder / "debian"
        base_now = fingerprint(HERE / "debian.py", GUEST / "initramfs-init")
        outputs = [base, cache.kernel, cache.initramfs]
        step("Debian and its kernel", marks / "debian", base_now, outputs, lambda: _make_base(cache, base))
        wheels = cache.folder / "wheels"
        wheels_now = fingerprint(TOP / "requirements", *SUITE_PACKAGES, GUEST_PYTHON)
        step("Python packages", marks / "wheels", wheels_now, [wheels], lambda: _fetch_wheels(wheels))
        disk_now = fingerprint(base_now, wheels_now, GUEST, PORTER, HERE / "image.py")
        step("the guest's disk", marks / "disk", disk_now, [cache.disk], lambda: _make_disk(cache, base))


def _make_base(cache: Cache, base: Path) -> None:
    downloads = cache.folder / "downloads"
    unpacked = cache.folder / "unpacked"
    debian.install(base, downloads)
    version = debian.kernel_version(base)
    debian.package(f"linux-image-{version}", base, downloads, unpacked / "kernel")
    debian.package("busybox-static", base, downloads, unpacked / "busybox")
    debian.install_modules(unpacked / "kernel", version, base)
    debian.make_initramfs(
        base,
        version,
        unpacked / "busybox",
        GUEST / "initramfs-init",
        unpacked / "initramfs",
        cache.initramfs,
    )
    shutil.copy2(unpacked / f"kernel/boot/vmlinuz-{version}", cache.kernel)
    shutil.rmtree(unpacked)


def _fetch_wheels(wheels: Path) -> None:
    shutil.rmtree(wheels, ignore_errors=True)
    wheels.mkdir()
    (wheels / "suite.txt").write_text(_locked(SUITE_PACKAGES))
    platforms = [f"--platform=manylinux_2_{minor}_x86_64" for minor in range(5, GLIBC_MINOR + 1)]
    for lock in (TOP / "requirements/engineer.txt", wheels / "suite.txt"):
        command(
            "fetching the guest's Python packages",
            sys.executable,
            *("-m", "pip", "download", "-qq", "--no-input", "--disable-pip-version-check"),
            *("--no-deps", "--only-binary=:all:", "--require-hashes"),
            *(f"--python-version={GUEST_PYTHON}", "--implementation=cp", *platforms),
            *("--platform=manylinux2014_x86_64", "-d", wheels, "-r", lock),
            remedy="Mend what pip says (often the network), then run this again.",
        )


def _locked(names: tuple[str, ...]) -> str:
    """Return the lines of these packages in the lock of everything."""
    text = (TOP / "requirements/dev.txt").read_text(encoding="utf-8")
    found = {match[1]: match[0] for match in re.finditer(r"^(\S+?)==.*(?:\n    --hash.*)*", text, re.M)}
    missing = [name for name in names if name not in found]
    if missing:
        raise VirtualPiError(
            "choosing the guest's Python packages",
            got=f"no {', '.join(missing)} in requirements/dev.txt",
            expected="every package of SUITE_PACKAGES",
            remedy="Run scripts/lock, or mend SUITE_PACKAGES in scripts/virtual_pi/image.py.",
        )
    return "\n".join(found[name] for name in names) + "\n"


def _make_disk(cache: Cache, base: Path) -> None:
    root = cache.folder / "root"
    command("removing an earlier root", "rm", "-rf", "--one-file-system", root)
    command("copying Debian", "cp", "-a", "--reflink=auto", base, root)
    for listed in (root / "var/lib/apt/lists").glob("*Packages"):
        listed.unlink()
    _install_packages(root, cache.folder / "wheels")
    _configure(root)
    fresh = cache.disk.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with fresh.open("wb") as disk:
        os.truncate(disk.fileno(), 0)
    command("making the disk", "truncate", "-s", DISK_SIZE, fresh)
    # -d fills it without mounting, which would need more rights than a container has
    command("filling the disk", "mkfs.ext4", "-q", "-F", "-L", "virtual-pi", "-d", root, fresh)
    fresh.replace(cache.disk)
    command("removing the root", "rm", "-rf", "--one-file-system", root)


def _install_packages(root: Path, wheels: Path) -> None:
    """Make the virtual environment with the guest's own Python, at the host's speed."""
    inside = root / "wheels"
    shutil.copytree(wheels, inside)
    command("making the guest's virtual environment", "chroot", root, "python3", "-m", "venv", VENV)
    names = [f"/wheels/{wheel.name}" for wheel in inside.glob("*.whl")]
    pip = ("chroot", root, VENV / "bin/python", "-m", "pip", "--disable-pip-version-check")
    command(
        "installing the guest's Python packages", *pip, "install", "-qq", "--no-index", "--no-deps", *names
    )
    command("checking the guest's Python packages", *pip, "check")
    shutil.rmtree(inside)


def _configure(root: Path) -> None:
    shutil.copytree(GUEST, root, dirs_exist_ok=True, ignore=shutil.ignore_patterns("initramfs-init"))
    (root / TOOLS.relative_to("/")).mkdir(parents=True, exist_ok=True)
    shutil.copy2(PORTER, root / (TOOLS / "porter.py").relative_to("/"))
    (root / "etc/machine-id").write_text("")  # each boot is another machine
    (root / "var/lib/dbus/machine-id").unlink(missing_ok=True)
    passwords = root / "etc/passwd"
    passwords.write_text(re.sub(r"^root:[^:]*:", "root::", passwords.read_text(), flags=re.M))
    chroot = ("chroot", root)
    command("adding the agent's user", *chroot, "useradd", "--system", "--no-create-home", "cargobox")
    command("enabling the guest's units", *chroot, "systemctl", "enable", "-q", "porter", "project")
    command("masking the guest's units", *chroot, "systemctl", "mask", "-q", *MASKED)
    command("leaving the broker to the tests", *chroot, "systemctl", "disable", "-q", "mosquitto")


def main() -> int:
    """Build; 1 when it did not work."""
    parser = argparse.ArgumentParser(
        prog="scripts/virtual_pi/build", description="Build the virtual Pi, or what of it is not up to date."
    )
    parser.add_argument("--quiet", action="store_true", help="say only what is being built")
    parser.add_argument("--fresh", action="store_true", help="from nothing, with Debian's newest packages")
    arguments = parser.parse_args()
    cache = Cache.default()
    try:
        build(cache, fresh=arguments.fresh)
    except VirtualPiError as error:
        say(str(error))
        return 1
    if not arguments.quiet:
        say(f"the virtual Pi is up to date in {cache.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
