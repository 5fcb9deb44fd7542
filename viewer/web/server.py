"""The viewer: a web server on viser that shows a scene to any number of browsers."""

from __future__ import annotations

import logging
import socket
import ssl
import time
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import NoReturn

import numpy as np
import rich
import torch
import viser

from ...renderer.process import ForAll
from ...renderer.splats import Splats
from ...renderer.training.cost.memory import free_memory
from ...scenes import InputError
from ..background import Shared
from ..budget import MemoryBudget
from ..camera import (
    Bounds,
    NamedCamera,
    bounds_of_cameras,
    bounds_of_splats,
    outlook_of,
    overview_of,
    unit_for,
    up_direction,
)
from ..panel.actions import Action
from ..panel.panel import PanelChoices
from ..path.file import Placement
from ..picture.draw import Renderers, RenderFunction
from ..reports import Reports, reported
from ..scene import SceneSource
from ..settings import Beside
from .address import check_free, is_loopback, port_in_use, url_of
from .entry import Entry
from .gate import Rules, gated
from .link import page_with_script
from .session import Session, ViewerContext
from .tls import tls_context

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ViewerOptions:
    """Options of a viewer.

    Attributes:
        beside: another scene, which the right part of the picture shows from the beginning.
        actions: actions with a button in the panel.
        origin: what was subtracted from all coordinates of the capture, in whose frame camera
            paths are saved.
        up: [3] direction that is up in the scene, in the splats' frame; None leaves it to the
            cameras.
        stock_page: whether viser's page is left as it is, without the faster display of page.js.
        password: what browsers are asked for, unless they come by the viewer's `url`; None lets in
            everybody.
        tls_cert: certificate to serve encrypted with, a PEM file that may hold a chain; with
            `tls_key`.
        tls_key: its private key, a PEM file without a passphrase.
    """

    beside: SceneSource | None = None
    actions: Sequence[Action] = ()
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    up: tuple[float, float, float] | None = None
    stock_page: bool = False
    password: str | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None

    def __post_init__(self) -> None:
        """Raises InputError if the password is empty, or the files for TLS are no pair."""
        if self.password == "":
            raise InputError("--password: must not be empty; leave it out to go without")
        self.tls()

    def tls(self) -> ssl.SSLContext | None:
        """What encrypts connections, if anything. Raises InputError if the files are no pair."""
        if self.tls_cert is None and self.tls_key is None:
            return None
        if self.tls_cert is None or self.tls_key is None:
            raise InputError("--tls-cert and --tls-key: must be given together, or neither")
        return tls_context(self.tls_cert, self.tls_key)


_DEFAULTS = ViewerOptions()

JOIN_TIMEOUT = 5.0
"""Seconds that `close` waits for pictures that are being rendered."""


class Viewer:
    """Web viewer of one scene, serving any number of browsers until `close`.

    Each browser has its own thread, resolution and settings; none of them waits for another or
    for training. A picture that cannot be rendered shows its error in the panel of its browser.

    Attributes:
        url: URL for a browser on this machine; if there is a password, with a token that does
            instead.
    """

    def __init__(
        self,
        source: SceneSource | Splats,
        *,
        cameras: Sequence[NamedCamera] = (),
        host: str = "127.0.0.1",
        port: int = 8080,
        render: RenderFunction | Renderers | None = None,
        options: ViewerOptions = _DEFAULTS,
    ) -> None:
        """Start to serve.

        Args:
            source: the scene, now and later; or splats that stay what they are.
            cameras: training cameras; a browser begins at the first, or else sees the whole scene.
            host: name or address to listen on.
            port: TCP port; 0 is any free one.
            render: replaces the renderer.
            options: further options.

        Raises:
            PortInUse: the port is taken.
            InputError: the address is not valid, or files for TLS have changed for the worse.
        """
        if isinstance(source, Splats):
            source = SceneSource(source)
        if not isinstance(render, Renderers):
            render = Renderers(render) if render is not None else Renderers()
        bounds = _bounds(source, cameras)
        unit = source.unit * unit_for(bounds)
        for each in (source, options.beside):
            if each is not None:
                each.show_in(unit)
        cameras = [replace(each, camera=each.camera.scaled(1 / unit)) for each in cameras]
        choices = _panel_choices(source, cameras, options)
        self._reports = Reports()
        shared = Shared(self._reports, MemoryBudget(partial(_free_memory, source)))
        self._context = ViewerContext(
            source, options.beside, tuple(cameras), render, choices, shared
        )
        self._sessions: dict[int, Session] = {}
        self._closed = False
        tls = options.tls()
        entry = None
        if options.password is not None:
            entry = Entry(options.password, self._reports, encrypted=tls is not None)
        rules = Rules(self._reports, self._count_sessions, is_loopback(host), entry, tls)
        self._server = _start_server(host, port, rules, stock_page=options.stock_page)
        token = entry and entry.token
        self.url = url_of(host, self.port, encrypted=tls is not None, token=token)
        if not is_loopback(host):
            _warn(host, self.port, rules)
        self._arrange()
        # In this order: a browser that leaves at once must be noticed.
        self._server.on_client_disconnect(reported(self._disconnected))
        self._server.on_client_connect(reported(self._connected))

    @property
    def port(self) -> int:
        """TCP port of the server."""
        return self._server.get_port()

    def close(self) -> None:
        """Stop serving and end all threads; may be called repeatedly."""
        self._closed = True
        with _quiet:
            self._server.stop()
        sessions = list(self._sessions.values())
        for session in sessions:
            session.stop()
        deadline = time.monotonic() + JOIN_TIMEOUT
        for session in sessions:
            session.join(max(0.0, deadline - time.monotonic()))
        self._reports.close()

    def __enter__(self) -> Viewer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __getstate__(self) -> NoReturn:
        raise TypeError(
            "a Viewer cannot be pickled or copied: it serves from this process; "
            "make another of the same source"
        )

    def _arrange(self) -> None:
        """Set what every browser shares: theme, up direction and initial viewpoint."""
        server, choices = self._server, self._context.choices
        # The share button would publish the scene through somebody else's server.
        server.gui.configure_theme(dark_mode=True, show_logo=False, show_share_button=False)
        server.scene.set_up_direction(choices.up)
        initial = server.initial_camera
        initial.position = choices.outlook.position
        initial.look_at = choices.outlook.look_at
        initial.up = choices.outlook.up
        initial.fov = choices.outlook.fov
        initial.near = 0.001 * choices.bounds.radius
        initial.far = 1000 * choices.bounds.radius

    # The server's event loop runs these callbacks, hence one after the other.

    def _count_sessions(self) -> int:
        self._sessions = {key: each for key, each in self._sessions.items() if each.running}
        return len(self._sessions)

    async def _connected(self, client: viser.ClientHandle) -> None:
        if self._closed:
            return
        session = Session(client, self._context)
        session.start()
        self._sessions[client.client_id] = session

    async def _disconnected(self, client: viser.ClientHandle) -> None:
        session = self._sessions.get(client.client_id)
        if session is not None:
            session.stop()


def _panel_choices(
    source: SceneSource, cameras: Sequence[NamedCamera], options: ViewerOptions
) -> PanelChoices:
    views = [each.camera for each in cameras]
    bounds = _bounds(source, cameras)
    beside: list[Beside] = ["nothing"]
    if options.beside is not None:
        beside.insert(0, "other")
    if any(each.photo is not None for each in cameras):
        beside.append("photo")
    up = up_direction(views) if options.up is None else np.array(options.up)
    red, green, blue = (round(255 * level) for level in source.settings.background)
    return PanelChoices(
        bounds=bounds,
        up=up,
        outlook=outlook_of(views[0], up, bounds) if views else overview_of(bounds, up),
        background=(red, green, blue),
        cameras=len(cameras),
        beside=beside,
        actions=options.actions,
        placement=Placement(options.origin, source.unit),
    )


def _bounds(source: SceneSource, cameras: Sequence[NamedCamera]) -> Bounds:
    if source.current is not None:
        return bounds_of_splats(source.current.splats)
    return bounds_of_cameras([each.camera for each in cameras])


def _free_memory(source: SceneSource) -> float | None:
    """Bytes for pictures of a scene, on this machine and on the device that renders it."""
    devices = {torch.device("cpu")}
    if source.current is not None:
        devices.add(source.current.splats.means.device)
    known = [free for device in devices if (free := free_memory(device)) is not None]
    return min(known, default=None)


def _warn(host: str, port: int, rules: Rules) -> None:
    """Log what may come of listening on an address that others can reach, if anything."""
    place = f"{socket.gethostname()}:{port}"
    if rules.entry is None:
        log.warning(
            "the viewer listens on %s: whoever reaches %s can look, and press its buttons; "
            "--password keeps others out",
            host,
            place,
        )
    elif rules.tls is None:
        log.warning(
            "the viewer listens on %s: password and pictures cross the network unencrypted; "
            "--tls-cert and --tls-key encrypt them",
            host,
        )


def _start_server(host: str, port: int, rules: Rules, *, stock_page: bool) -> viser.ViserServer:
    # viser goes on to another port without asking when one is taken, and hangs when none can
    # be had, hence the check beforehand and the comparison after.
    check_free(host, port)
    # A browser may leave at any moment, also between two messages to it.
    warnings.filterwarnings("ignore", "Queued a .* on a closed connection", UserWarning)
    # A browser may send anything; invalid values are left out where they are used.
    warnings.filterwarnings("ignore", ".*does not match annotation", UserWarning)
    page = None if stock_page else page_with_script()
    with _quiet, gated(page, rules):
        server = viser.ViserServer(host=host, port=port, label="GaborSplat", verbose=False)
        if port not in (0, server.get_port()):
            server.stop()
            raise port_in_use(host, port)
    return server


@contextmanager
def _quiet_console() -> Generator[None, None, None]:
    """Keep viser's banners out of the terminal; it prints them through rich's own console."""
    console = rich.get_console()
    before, console.quiet = console.quiet, True
    try:
        yield
    finally:
        console.quiet = before


_quiet = ForAll(_quiet_console)
