"""A server whose speed is measured, in a process of its own; benchmarks/viewer/speed.py starts it.

    python -m benchmarks.viewer.server RUN KIND LONGEST

RUN is the folder of a training run, LONGEST the longest side of a picture [px]. Says on one line of
JSON where it listens, then answers each line of its input with one of JSON, and ends with its
input. Linux only.
"""

from __future__ import annotations

import itertools
import json
import os
import queue
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlencode

import numpy as np
import torch
import tyro
import viser

from benchmarks.viewer.marks import azimuths, paint
from gaborsplat.devices import pick_device
from gaborsplat.inputs.loading import load_scene
from gaborsplat.renderer.cameras import Camera
from gaborsplat.renderer.raster.render import render_bytes
from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.renderer.splats import Splats
from gaborsplat.renderer.training import Trainer, load_checkpoint
from gaborsplat.run_folder import RunFolder
from gaborsplat.viewer import LiveView, SceneSource, TrainingStatus, Viewer, ViewerOptions
from gaborsplat.viewer.camera import DEFAULT_UP, bounds_of_splats, overview_of
from gaborsplat.viewer.picture import draw

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Options:
    """What to serve."""

    run: tyro.conf.Positional[Path]
    kind: tyro.conf.Positional[str]
    longest: tyro.conf.Positional[int] = 480


class Marked:
    """`render_bytes`, which marks its pictures."""

    def __init__(self, up: Any) -> None:
        self._up = up
        self._numbers = itertools.count()
        self.pictures = 0
        self.seconds = 0.0

    def __call__(self, splats: Splats, camera: Camera, settings: RenderSettings) -> torch.Tensor:
        started = time.perf_counter()
        picture = render_bytes(splats, camera, settings)
        azimuth = azimuths(camera.world_to_camera[2, :3].tolist(), self._up)
        paint(picture, next(self._numbers), float(azimuth))
        self.pictures += 1
        self.seconds += time.perf_counter() - started
        return picture


class Scene:
    """The splats of a run, where they are looked at from, and what draws them."""

    def __init__(self, run: Path) -> None:
        scene = load_scene(run)
        self.settings = scene.settings
        self.splats = scene.splats.to(pick_device("auto"))
        self.outlook = overview_of(bounds_of_splats(self.splats), DEFAULT_UP)
        self.marked = Marked(self.outlook.up)

    def address(self, url: str) -> dict[str, Any]:
        """Where a page finds the scene. The address says where its camera begins, whatever the
        server says, and keeps viser from lowering the canvas's resolution."""
        names = ("position", "look_at", "up")
        look = {name: np.asarray(getattr(self.outlook, name)).tolist() for name in names}
        query = {
            "fixedDpr": 1,
            "initialCameraPosition": ",".join(map(str, look["position"])),
            "initialCameraLookAt": ",".join(map(str, look["look_at"])),
            "initialCameraUp": ",".join(map(str, look["up"])),
            "initialCameraFov": self.outlook.fov,
        }
        return {"url": url, "page": f"{url}/?{urlencode(query, safe=',')}", **look}


def ours(scene: Scene, stock_page: bool) -> str:
    """Our viewer; its address."""
    # Where the viewer takes it from, for a renderer that is passed to it goes a slower way.
    draw.render_bytes = scene.marked
    source = SceneSource(scene.splats, scene.settings)
    return Viewer(source, host=HOST, port=0, options=ViewerOptions(stock_page=stock_page)).url


def nerfview(scene: Scene, longest: int) -> str:
    """nerfview, as its own examples use it, with the same renderer; its address."""
    import nerfview as peer

    def render(camera: Any, tab: Any) -> Any:
        size = (int(tab.viewer_width), int(tab.viewer_height))
        pose = torch.from_numpy(np.linalg.inv(camera.c2w)).float()
        seen = Camera(pose, torch.from_numpy(camera.get_K(size)).float(), size)
        seen = seen.to(scene.splats.means.device)
        with torch.no_grad():
            return scene.marked(scene.splats, seen, scene.settings).cpu().numpy()

    server = bare_server()
    viewer = peer.Viewer(server, render, mode="rendering")
    # What its slider "Viewer Res" sets: pictures as large as the canvas.
    viewer.render_tab_state.viewer_res = longest
    # Its sidebar would take a part of the window from the canvas.
    server.gui.main_panel.float()
    return f"http://{HOST}:{server.get_port()}"


def empty() -> str:
    """viser with nothing to show: how often the page itself can draw; its address."""
    server = bare_server()
    server.gui.configure_theme(dark_mode=True)
    return f"http://{HOST}:{server.get_port()}"


def bare_server() -> viser.ViserServer:
    """viser on any free port."""
    return viser.ViserServer(host=HOST, port=0, verbose=False)


def usage() -> dict[str, Any]:
    """What this process has used so far and holds now."""
    with open("/proc/self/statm", encoding="ascii") as file:
        resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    names = (re.sub(r"[-_ ]*\d+.*$", "", thread.name) for thread in threading.enumerate())
    return {
        "at": time.monotonic(),
        "cpu": time.process_time(),
        "rss": resident,
        "threads": dict(Counter(names)),
        "system_threads": len(os.listdir("/proc/self/task")),
    }


def serve(scene: Scene, options: Options, answers: TextIO) -> None:
    """Answer until the input ends."""
    kinds: dict[str, Callable[[], str]] = {
        "ours": lambda: ours(scene, stock_page=False),
        "ours-stock-page": lambda: ours(scene, stock_page=True),
        "nerfview": lambda: nerfview(scene, options.longest),
        "empty": empty,
    }
    say(answers, scene.address(kinds[options.kind]()))
    for _ in sys.stdin:
        marked = scene.marked
        say(answers, usage() | {"pictures": marked.pictures, "drawing": marked.seconds})


def train(scene: Scene, options: Options, answers: TextIO) -> None:
    """Train on from where the run ended, with as many splats as it had, until the input ends.

    Each answer is given between two steps. "open" starts a viewer, "close" ends it.
    """
    run = RunFolder(options.run)
    config = run.train_config()
    trainer = Trainer(
        run.capture(), replace(config, steps=config.steps + 1_000_000), pick_device("auto")
    )
    load_checkpoint(run.checkpoints, trainer)
    commands: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    threading.Thread(target=lambda: read_into(commands), daemon=True).start()
    viewer: Viewer | None = None
    live: LiveView | None = None
    say(answers, {})
    while True:
        report = trainer.step()
        if live is not None:
            status = TrainingStatus(report.step, trainer.config.steps, report.splats, report.loss)
            live.update(status, trainer.splats)
        if commands.empty():
            continue
        match commands.get():
            case None:
                return
            case "open":
                source = SceneSource(trainer.splats(), scene.settings)
                viewer, live = Viewer(source, host=HOST, port=0), LiveView(source)
                say(answers, scene.address(viewer.url))
            case "close" if viewer is not None:
                viewer.close()
                viewer = live = None
                say(answers, {})
            case _:
                say(answers, usage() | {"steps": trainer.steps_done})


def read_into(commands: queue.SimpleQueue[str | None]) -> None:
    """Every line of the input, then None."""
    for line in sys.stdin:
        commands.put(line.strip())
    commands.put(None)


def say(answers: TextIO, answer: dict[str, Any]) -> None:
    """One line."""
    print(json.dumps(answer), file=answers, flush=True)


def main() -> None:
    """Serve until the input ends."""
    options = tyro.cli(Options, description=__doc__)
    # What viser or nerfview print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    scene = Scene(options.run)
    (train if options.kind == "training" else serve)(scene, options, answers)
    # At once, whatever threads viser and nerfview have.
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
