"""Who may reach the viewer of a command, and how."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..scenes import InputError
from ..viewer import ViewerOptions

PASSWORD = "GABORSPLAT_PASSWORD"
"""Variable of the environment that holds the password, which others could read from a command."""


@dataclass(frozen=True)
class Access:
    """Options of all commands with a viewer that others may reach."""

    password: str | None = None
    """Password of the viewer; the link that is printed does instead. Better given in the
    environment as GABORSPLAT_PASSWORD: other users of this machine see what a command is given."""
    tls_cert: Path | None = None
    """Certificate to serve the viewer encrypted with, as a PEM file; with --tls-key."""
    tls_key: Path | None = None
    """Private key of the certificate, as a PEM file without a passphrase."""

    def __post_init__(self) -> None:
        if self.password is None and os.environ.get(PASSWORD) == "":
            raise InputError(f"{PASSWORD}: must not be empty; unset it to go without a password")
        # Now, and not only after hours of preparation.
        ViewerOptions(**self.options())

    def options(self) -> dict[str, Any]:
        """What `ViewerOptions` takes of it."""
        password = os.environ.get(PASSWORD) if self.password is None else self.password
        return {"password": password, "tls_cert": self.tls_cert, "tls_key": self.tls_key}
