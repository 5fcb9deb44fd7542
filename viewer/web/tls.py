"""The certificate with which the viewer is served encrypted."""

from __future__ import annotations

import ssl
from pathlib import Path

from ...scenes import InputError


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """What encrypts connections, by a certificate and its private key, both PEM files.

    Raises:
        InputError: a file cannot be read, or they do not belong to each other.
    """
    for option, file in (("--tls-cert", certificate), ("--tls-key", key)):
        try:
            file.read_bytes()
        except OSError as error:
            raise InputError(f"{option}: {file} cannot be read: {error.strerror}") from error
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    locked = False

    def password() -> str:  # asked for by an encrypted key; OpenSSL would ask in the terminal
        nonlocal locked
        locked = True
        return ""

    try:
        context.load_cert_chain(certificate, key, password)
    except ssl.SSLError as error:
        raise InputError(_complaint(certificate, key, error, locked=locked)) from error
    return context


def _complaint(certificate: Path, key: Path, error: ssl.SSLError, *, locked: bool) -> str:
    if locked:
        return f"--tls-key: {key} is encrypted; give one without a passphrase"
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"--tls-key: {key} is not the private key of {certificate}"
    if not _is_certificate(certificate):
        return f"--tls-cert: {certificate} holds no certificate in PEM format"
    return f"--tls-key: {key} holds no private key in PEM format"


def _is_certificate(file: Path) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except ssl.SSLError:
        return False
    return True
