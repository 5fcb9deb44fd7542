"""The viewer: a web server on viser that shows a scene to any number of browsers."""

from __future__ import annotations

import logging
import socket
import time
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import TracebackType
from typing import NoReturn

import rich
import viser

from ...renderer.process import ForAll
from ...renderer.splats import Splats
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
from ..scene import SceneSource
from ..settings import Beside
from .address import check_free, is_loopback, port_in_use, url_of
from .gate import gated
from .link import page_with_script
from .session import Session, ViewerContext

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ViewerOptions:
    """Options of a viewer.

    Attributes:
        beside: another scene, which the right part of the picture shows from the beginning.
        actions: actions with a button in the panel.
        origin: what was subtracted from all coordinates of the capture, in whose frame camera
            paths are saved.
        stock_page: whether viser's page is left as it is, without the faster display of page.js.
    """

    beside: SceneSource | None = None
    actions: Sequence[Action] = ()
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    stock_page: bool = False


_DEFAULTS = ViewerOptions()

JOIN_TIMEOUT = 5.0
"""Seconds that `close` waits for pictures that are being rendered."""


class Viewer:
    """Web viewer of one scene, serving any number of browsers until `close`.

    Each browser has its own thread, resolution and settings; none of them waits for another or
    for training. A picture that cannot be rendered shows its error in the panel of its browser.

    Attributes:
        url: URL for a browser on this machine.
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
            InputError: the address is not valid.
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
        self._context = ViewerContext(source, options.beside, tuple(cameras), render, choices)
        self._sessions: dict[int, Session] = {}
        self._closed = False
        self._server = _start_server(host, port, stock_page=options.stock_page)
        self.url = url_of(host, self._server.get_port())
        if not is_loopback(host):
            log.warning(
                "the viewer listens on %s: whoever reaches %s:%d can look, and press its buttons",
                host,
                socket.gethostname(),
                self._server.get_port(),
            )
        self._arrange()
        # In this order: a browser that leaves at once must be noticed.
        self._server.on_client_disconnect(self._disconnected)
        self._server.on_client_connect(self._connected)

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

    async def _connected(self, client: viser.ClientHandle) -> None:
        self._sessions = {key: each for key, each in self._sessions.items() if each.running}
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
    up = up_direction(views)
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


def _start_server(host: str, port: int, *, stock_page: bool) -> viser.ViserServer:
    # viser goes on to another port without asking when one is taken, and hangs when none can
    # be had, hence the check beforehand and the comparison after.
    check_free(host, port)
    # A browser may leave at any moment, also between two messages to it.
    warnings.filterwarnings("ignore", "Queued a .* on a closed connection", UserWarning)
    # A browser may send anything; invalid values are left out where they are used.
    warnings.filterwarnings("ignore", ".*does not match annotation", UserWarning)
    page = None if stock_page else page_with_script()
    with _quiet, gated(page, only_this_machine=is_loopback(host)):
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
