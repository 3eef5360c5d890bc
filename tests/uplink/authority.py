"""Certificates for the tests, made with ``openssl``: an authority, a broker, boxes good and bad."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def openssl(directory: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)


def make_authority(home: Path, name: str, days: int = 60) -> None:
    openssl(home, "req", "-x509", *KEY, "-keyout", f"{name}.key", "-out", f"{name}.crt", "-days", str(days),
            "-subj", f"/CN={name}")  # fmt: skip


def make_certificate(home: Path, name: str, *, days: int = 60, ca: str = "ca", common_name: str = "") -> None:
    """Negative `days`: it has expired so long ago."""
    (home / "san").write_text("subjectAltName=IP:127.0.0.1")
    (home / "index").touch()
    (home / "ca.cnf").write_text(
        "[ca]\ndefault_ca=d\n[d]\ndatabase=index\nnew_certs_dir=.\nrand_serial=yes\ndefault_md=sha256\n"
        "policy=p\nunique_subject=no\n[p]\ncommonName=supplied\n"
    )
    subject = f"/CN={common_name or name}"
    now = datetime.now(UTC)
    begin, end = (f"{now + timedelta(days=d):%Y%m%d%H%M%SZ}" for d in (min(days, 0) - 1, days))
    openssl(home, "req", *KEY, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", subject)
    openssl(home, "ca", "-batch", "-notext", "-config", "ca.cnf", "-cert", f"{ca}.crt", "-keyfile",
            f"{ca}.key", "-in", f"{name}.csr", "-out", f"{name}.crt", "-startdate", begin, "-enddate", end,
            "-extfile", "san")  # fmt: skip
