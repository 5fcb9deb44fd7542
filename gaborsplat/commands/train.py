"""`gaborsplat train`."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import tyro

from ..console import console, error_console, show_doubts, show_repairs
from ..devices import pick_device
from ..progress import load_shown
from ..renderer.devices import Device
from ..renderer.training import (
    BY_PRESET,
    DRAFT_SIZE,
    PRESETS,
    Default,
    Preset,
    PresetName,
    TrainConfig,
    Trainer,
    choose_exposure,
    longest_side,
    planned,
    preset_taken,
    with_degree,
    within_memory,
)
from ..run_folder import RunFolder, images_in
from ..scenes import InputError, MaskMode, capture_name, doubts
from ..viewer import (
    LiveView,
    NamedCamera,
    SceneSource,
    Viewer,
    ViewerOptions,
)
from .access import Access
from .fitting import Fit, Run
from .resuming import load_newest, run_to_resume
from .view import wait_for_ctrl_c
from .watched import PAUSE_POLL, LiveTraining


@dataclass(frozen=True)
class TrainCommand:
    """Train splats on a capture: a folder with photos and a sparse model by COLMAP, or with a
    transforms.json that names photos."""

    scene: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="SCENE")] = None
    """Folder of the capture: images/ and sparse/0/, or transforms.json; or that file itself. Not
    needed with --resume and --out."""
    out: Path | None = None
    """Folder for the result; by default runs/<scene>-<time>."""
    preset: Preset = "auto"
    """Steps, splats and size of the photos, where these are not given. draft: 2000 steps, 30 000
    splats, 960 px; minutes on a laptop's CPU, 0.2 GB. standard: 30 000 steps, 1 million splats,
    1600 px; made for a GPU, half a day on such a CPU, 3 GB. high: 30 000 steps, 3 million splats,
    the photos' own size; made for a GPU, a day or more on such a CPU, 9 GB and more if they are
    large. auto: draft on a CPU, standard on a GPU. gaborsplat doctor SCENE says what each takes
    here."""
    max_size: Annotated[int | None, BY_PRESET] = DRAFT_SIZE
    """Photos are shrunk, in memory, to this many pixels on their longest side; None keeps them."""
    images: str | None = None
    """Folder of the photos, absolute or relative to the scene, if it is not images/."""
    sfm: bool = False
    """Give photos without a model to COLMAP: minutes to hours, needs pycolmap. The model is kept,
    in the run folder and for later runs in a cache."""
    masks: str | None = None
    """Folder of masks, absolute or relative to the scene, if it is not masks/; "none" uses neither
    masks nor alpha channels."""
    mask_mode: MaskMode = "auto"
    """Whether what is masked out counts nowhere, or is transparent; auto: transparent for alpha
    channels of transforms.json."""
    device: Device = "auto"
    """What to compute on."""
    viewer: bool = True
    """Show the training in the browser, and the result until Ctrl-C."""
    host: str = "127.0.0.1"
    """Address that the viewer listens on."""
    port: int = 8080
    """Port of the viewer."""
    stock_page: bool = False
    """Leave viser's own page as it is, without the faster display."""
    resume: bool = False
    """Go on where the run in --out (by default the newest of this scene) stopped, with the settings
    it had; those given here go over them."""
    moved_to: Annotated[Path | None, tyro.conf.arg(name="scene")] = None
    """With --resume: where the capture is now, if it has moved since."""
    eval_every: int = 500
    """Steps between two measurements on the test views; 0: only at the end."""
    access: Annotated[Access, tyro.conf.arg(name="")] = field(default_factory=Access)
    config: Annotated[TrainConfig, tyro.conf.arg(name="")] = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        if self.eval_every < 0:
            raise ValueError(f"--eval-every must be at least 0, not {self.eval_every}")
        if self.moved_to is not None and not self.resume:
            raise ValueError("--scene goes with --resume; a new run takes SCENE, without --scene")
        if self.config.expected_steps is not None and self.config.time is None and not self.resume:
            raise ValueError("--expected-steps goes with --time")
        if self.scene is None and not self.resume:
            raise ValueError("SCENE: is needed, the folder of a capture")

    def run(self) -> None:
        """Train, and write the run folder."""
        with self._folder() as folder:
            self._run_in(folder)

    def _run_in(self, folder: RunFolder) -> None:
        device = pick_device(self.device)
        preset = preset_taken(self.preset, device)
        max_size = longest_side(self.max_size, preset)
        place = self._place()
        sfm = folder.sfm(self.sfm) if self.resume else self.sfm
        masks = {"masks": self.masks, "mask_mode": self.mask_mode}
        capture = load_shown(place, max_size=max_size, images=self.images, sfm=sfm, **masks)
        if self.resume and folder.started():
            capture = folder.recognised(capture, place)
        show_repairs(capture.repairs)
        show_doubts(doubts(capture))
        goes_on = self.resume and folder.configured()
        config, trial = self.config, 0.0
        if not goes_on:
            config, trial = planned(config.by_preset(preset), capture, device)
        said: list[str] = []
        config = with_degree(config, capture, said.append)
        try:
            config = within_memory(config, capture, device)
        except ValueError as error:
            raise InputError(str(error)) from error
        for line in said:
            error_console.print(line)
        chosen = self._chosen_then(folder) if goes_on else self._chosen(preset, config)
        degree = folder.config()["sh_degree_asked"] if goes_on else self.config.sh_degree
        exposure = choose_exposure(config.exposure, capture)
        if exposure.line is not None:
            error_console.print(exposure.line)
        trainer = Trainer(capture, replace(config, exposure=exposure.taken), device)
        trainer.pace.spend(trial)
        if self.resume:
            load_newest(folder, trainer)
        run = Run(trainer, capture, folder)
        with self._live_view(run) as live:
            options: dict[str, Any] = {"max_size": max_size, "images": self.images}
            options |= {"sfm": self.sfm, **masks, "device": str(device), "preset": chosen}
            options |= {"near_plane": trainer.settings.near_plane, "sh_degree_asked": degree}
            before = folder.config()["exposure"] if goes_on else None
            options["exposure"] = exposure.document(before)
            folder.write_config(trainer.config, capture, place, options)
            if self.sfm:
                folder.keep_model(capture, place)
            Fit(run, live, self.eval_every, partial(self._say_how_to_resume, run)).run()
            if live is not None:
                console.print("The viewer stays open; Ctrl-C ends it.")
                wait_for_ctrl_c(live.serve, PAUSE_POLL)

    def _place(self) -> Path:
        """Where the capture is."""
        place = self.moved_to or self.scene
        if place is None:
            raise InputError("SCENE: is needed, the folder of a capture")
        return place

    def _chosen(self, preset: PresetName, config: TrainConfig) -> dict[str, Any]:
        """The preset and what it decided, for config.json; says so too."""
        values = {**PRESETS[preset]._asdict(), "max_splats": config.max_splats}
        decided = self.config.not_given()
        decided += ["max_size"] if isinstance(self.max_size, Default) else []
        lowered = "max_splats" in decided and config.max_splats < PRESETS[preset].max_splats
        if config.time is not None:
            values["steps"], lowered = f"about {config.schedule_steps}", False
        if decided:
            said = ", ".join(f"{name} {values[name]}" for name in decided)
            time = "" if config.time is None else f", {config.time:g} s"
            error_console.print(f"preset {preset}{time}: {said}")
        return {"asked": self.preset, "taken": preset, "decided": decided, "lowered": lowered}

    def _chosen_then(self, folder: RunFolder) -> dict[str, Any] | None:
        """What `_chosen` gave when the run in `folder` was started, without steps that have been
        given since."""
        chosen = folder.config()["preset"]
        if chosen is None or "steps" in self.config.not_given():
            return chosen
        return {**chosen, "decided": [name for name in chosen["decided"] if name != "steps"]}

    @contextlib.contextmanager
    def _folder(self) -> Generator[RunFolder, None, None]:
        """That of the run, claimed for as long as this lasts."""
        if self.out is None and not self.resume:
            with RunFolder.new(capture_name(self._place())) as folder:
                yield folder
            return
        if self.resume:
            folder = run_to_resume(self.out, self.scene, self.moved_to)
        else:
            assert self.out is not None
            folder = RunFolder(self.out)
        with folder.claimed():
            if folder.started() and not self.resume:
                raise InputError(
                    f"{folder.path}: holds a run already; --resume it, or choose another --out"
                )
            yield folder

    def _say_how_to_resume(self, run: Run) -> None:
        done, folder = run.trainer.steps_done, run.folder.path
        written = run.writer.saved_step  # as long as there is none, an earlier program's
        saved = written if written >= 0 else run.folder.saved_step()
        if saved == done:
            console.print(f"Stopped at step {done}; saved in {folder}. To go on:")
        elif run.splats_of == done:
            console.print(f"Stopped at step {done}; of it {run.folder.splats_file} is saved.")
        else:
            console.print(f"Stopped at step {done}, which is not saved.")
        if saved is not None:
            words = ["gaborsplat", "train", str(self._place()), "--resume", "--out", str(folder)]
            if saved != done:
                console.print(f"To go on from step {saved}, the last with a checkpoint:")
            console.print(shlex.join(words))

    @contextlib.contextmanager
    def _live_view(self, run: Run) -> Generator[LiveTraining | None, None, None]:
        if not self.viewer:
            yield None
            return
        source = SceneSource(run.trainer.splats(), run.trainer.settings)
        live = LiveView(source)
        x, y, z = run.capture.origin.tolist()
        with Viewer(
            source,
            cameras=[NamedCamera(v.name, v.camera, v.shown) for v in run.capture.views],
            host=self.host,
            port=self.port,
            options=ViewerOptions(
                actions=run.actions(live),
                origin=(x, y, z),
                stock_page=self.stock_page,
                **self.access.options(),
            ),
        ) as viewer:
            console.print(f"Watch it at {viewer.url}")
            try:
                yield LiveTraining(live)
            finally:
                live.close()


def resumed(command: TrainCommand) -> TrainCommand:
    """`command` with the settings of the run that it resumes; as it is where that has left none.

    Raises:
        InputError: there is no such run.
    """
    folder = run_to_resume(command.out, command.scene, command.moved_to)
    if not folder.configured() and not folder.started():
        return replace(command, out=folder.path)
    document = folder.config()
    preset = (document["preset"] or {}).get("asked", "auto")
    if command.preset not in ("auto", preset):
        raise InputError(
            f"--preset: must be {preset}, which {folder.path} was started with, not "
            f"{command.preset}; --steps and --max-splats change a run that goes on"
        )
    scene = command.moved_to or command.scene or Path(document["scene"])
    return replace(
        command,
        scene=scene,
        out=folder.path,
        preset=preset,
        max_size=document["max_size"],
        images=images_in(scene, document["images"]),
        sfm=document["sfm"],
        masks=document["masks"],
        mask_mode=document["mask_mode"],
        config=folder.train_config(),
    )
