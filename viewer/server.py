"""The viewer: a web server on viser that shows a scene to any number of browsers."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from types import TracebackType

import rich
import viser

from .address import check_free, is_loopback, port_in_use, url_of
from .camera import (
    Bounds,
    bounds_of_cameras,
    bounds_of_splats,
    outlook_of,
    overview_of,
    up_direction,
)
from .frustums import NamedCamera
from .scene import SceneSource
from .session import Renderers, RenderFunction, Session, Stage

log = logging.getLogger(__name__)

JOIN_TIMEOUT = 5.0
"""Seconds that `close` waits for a picture in hand."""


class Viewer:
    """Serves `source` until `close`.

    Each browser has its own thread, resolution and settings; none of them waits for another or
    for training. A picture that cannot be rendered shows its error in the panel of its browser.
    """

    def __init__(
        self,
        source: SceneSource,
        *,
        cameras: Sequence[NamedCamera] = (),
        host: str = "127.0.0.1",
        port: int = 8080,
        render: RenderFunction | Renderers | None = None,
    ) -> None:
        """Start to serve on `host`:`port` (0: any free port).

        The first of `cameras` is where a browser begins; without any it sees the whole scene.
        Raises PortInUse when the port is taken and InputError when the address is not valid.
        """
        self._source = source
        if render is None or isinstance(render, Renderers):
            self._renderers = render or Renderers()
        else:
            self._renderers = Renderers(render)
        self._stage = Stage(tuple(cameras), _bounds(source, cameras))
        self._sessions: dict[int, Session] = {}
        self._server = _start_server(host, port)
        self.url = url_of(host, self._server.get_port())
        """What to open in a browser on this machine."""
        if not is_loopback(host):
            log.warning("the viewer listens on %s: whoever reaches this port can look", host)
        self._arrange()
        self._server.on_client_connect(self._connected)
        self._server.on_client_disconnect(self._disconnected)

    @property
    def port(self) -> int:
        """The TCP port that is listened on."""
        return self._server.get_port()

    def close(self) -> None:
        """Stop serving and end all threads; more than once is fine."""
        sessions = list(self._sessions.values())
        for session in sessions:
            session.stop()
        for session in sessions:
            session.join(JOIN_TIMEOUT)
        with _quiet_console():
            self._server.stop()

    def __enter__(self) -> Viewer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _arrange(self) -> None:
        """What every browser shares: the look of the page, the up direction, the first view."""
        server, cameras = self._server, [each.camera for each in self._stage.cameras]
        # The share button would publish the scene through somebody else's server.
        server.gui.configure_theme(dark_mode=True, show_logo=False, show_share_button=False)
        up = up_direction(cameras)
        server.scene.set_up_direction(up)
        bounds = self._stage.bounds
        outlook = outlook_of(cameras[0], up, bounds) if cameras else overview_of(bounds, up)
        initial = server.initial_camera
        initial.position = outlook.position
        initial.look_at = outlook.look_at
        initial.up = outlook.up
        initial.fov = outlook.fov
        initial.near = 0.001 * bounds.radius
        initial.far = 1000 * bounds.radius

    # Both run on the server's event loop, hence one after the other.

    async def _connected(self, client: viser.ClientHandle) -> None:
        running = {key: each for key, each in self._sessions.items() if each.running}
        session = Session(client, self._source, self._stage, self._renderers)
        self._sessions = {**running, client.client_id: session}
        session.start()

    async def _disconnected(self, client: viser.ClientHandle) -> None:
        self._sessions[client.client_id].stop()


def _bounds(source: SceneSource, cameras: Sequence[NamedCamera]) -> Bounds:
    if source.current is not None:
        return bounds_of_splats(source.current.splats)
    return bounds_of_cameras([each.camera for each in cameras])


def _start_server(host: str, port: int) -> viser.ViserServer:
    # viser goes on to another port without asking when one is taken, and hangs when none can
    # be had, hence the check beforehand and the comparison after.
    check_free(host, port)
    # A browser may leave at any moment, also between two messages to it.
    warnings.filterwarnings("ignore", "Queued a .* on a closed connection", UserWarning)
    with _quiet_console():
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
