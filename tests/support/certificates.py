"""Certificates that nobody but a test trusts."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest


def certify(folder: Path, name: str, *words: str) -> tuple[Path, Path]:
    """A certificate for this machine and its key; `words` go to OpenSSL instead of -nodes."""
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-days", "2", "-subj"]
    command += ["/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    command += ["-keyout", str(key), "-out", str(cert), *(words or ["-nodes"])]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("certificates are made by openssl, which is not installed")
    return cert, key
