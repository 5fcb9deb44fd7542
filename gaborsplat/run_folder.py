"""The folder that a run leaves: docs/interface.md says what is in it."""

from __future__ import annotations

import glob
import itertools
import json
import math
import os
import re
import shutil
import time
from collections.abc import Collection, Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from .console import error_console
from .devices import machine, versions
from .identity import identity, recognised
from .output.comparison import comparison
from .output.training_log import TrainingLog
from .renderer.files import FolderInUse, claimed, draft_of
from .renderer.settings import RenderSettings
from .renderer.splats import Splats
from .renderer.training import (
    EARLIER,
    EARLIER_RATES,
    Default,
    LearningRates,
    TrainConfig,
    TrainingView,
    checkpoint_splats,
    checkpoints,
)
from .scenes import (
    Capture,
    InputError,
    capture_folder,
    load_capture,
    load_splats,
    one_line,
    replacing,
    save_splats,
    stated_origin,
)

_STARTED = re.compile(r"-(\d{8}-\d{6})(?:-(\d+))?")
"""What `RunFolder.new` puts behind the scene's name."""
LATER: dict[str, Any] = {
    **dict.fromkeys(("preset", "model", "photos", "masked", "exposure", "sh_degree_asked")),
    "sfm": False,
    "near_plane": RenderSettings().near_plane,
    "masks": "none",
    "mask_mode": "auto",
}
"""What config.json of earlier programs lacks, and what it means there."""


@dataclass(frozen=True)
class RunFolder:
    """Paths in a run folder, and reading and writing what is there."""

    path: Path

    @property
    def splats_file(self) -> Path:
        return self.path / "splats.ply"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def _config_file(self) -> Path:
        return self.path / "config.json"

    @property
    def _metrics_file(self) -> Path:
        return self.path / "metrics.json"

    @property
    def _model(self) -> Path:
        return self.path / "sfm"

    @property
    def log(self) -> TrainingLog:
        return TrainingLog(self.path / "log.jsonl")

    def sfm(self, wanted: bool) -> bool | Path:
        """What `load_capture` is to be told: where the model is that COLMAP made for this run, if
        it did and is `wanted`."""
        return self._model if wanted and self._model.is_dir() else wanted

    @staticmethod
    @contextmanager
    def new(scene: str) -> Generator[RunFolder, None, None]:
        """A folder for a run of this scene, made under runs/ and claimed. Of runs that begin in the
        same second, the second has -2 in its name."""
        first = Path("runs") / f"{scene}-{time.strftime('%Y%m%d-%H%M%S')}"
        others = (first.with_name(f"{first.name}-{number}") for number in itertools.count(2))
        folder = RunFolder(next(path for path in itertools.chain([first], others) if _made(path)))
        try:
            with folder.claimed():
                yield folder
        finally:
            with suppress(OSError):  # as soon as there is something in one
                folder.path.rmdir()
                folder.path.parent.rmdir()

    @staticmethod
    def newest(scene: str) -> RunFolder:
        """The last started run of this scene under runs/.

        Raises:
            InputError: there is none.
        """
        found: list[tuple[str, int, Path]] = []
        for path in Path("runs").glob(f"{glob.escape(scene)}-*"):
            match = _STARTED.fullmatch(path.name[len(scene) :])
            if match is not None:
                found.append((match[1], int(match[2] or 1), path))
        if not found:
            raise InputError(f"--resume: runs/ holds no run of {scene}; name one with --out DIR")
        return RunFolder(max(found)[-1])

    def started(self) -> bool:
        """Whether a run has written here what would be lost; settings alone would not."""
        return self.splats_file.exists() or bool(checkpoints(self.checkpoints))

    def saved_step(self) -> int | None:
        """The step of the newest checkpoint; None if there is none."""
        found = checkpoints(self.checkpoints)
        return int(found[-1].stem.removeprefix("step-")) if found else None

    def configured(self) -> bool:
        """Whether a run has left its settings here, whole."""
        try:
            self.config()
        except InputError:
            return False
        return True

    @contextmanager
    def claimed(self) -> Generator[None, None, None]:
        """While it lasts no other training may write here; the folder is made if need be.

        Raises:
            InputError: another one does, which is named, or this is no folder.
        """
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path}: is a file; --out needs a folder")
        with ExitStack() as claim:
            try:
                claim.enter_context(claimed(self.path))
            except FolderInUse as error:
                raise InputError(str(error)) from error
            yield

    def write_config(
        self, config: TrainConfig, capture: Capture, scene: Path, options: dict[str, Any]
    ) -> None:
        """Everything that decides the result. `options` are those of the command that are needed to
        load the capture again, and what chose the settings."""
        document = {
            "scene": str(scene.resolve()),
            **options,
            **identity(capture),
            "origin": capture.origin.tolist(),
            "train": asdict(config),
            "split": {
                "train": [view.name for view in capture.train],
                "test": [view.name for view in capture.test],
            },
            "versions": versions(),
            "machine": machine(),
        }
        _write_json(self._config_file, document)

    def forget_photos(self, names: Collection[str]) -> None:
        """Keep no content of the photos of these views, which cannot be read: it will be another
        when they are put right."""
        document = json.loads(self._config_file.read_text(encoding="utf-8"))
        kept = {name: known for name, known in document["photos"].items() if name not in names}
        if kept != document["photos"]:
            _write_json(self._config_file, document | {"photos": kept})

    def config(self) -> dict[str, Any]:
        """What `write_config` wrote that is needed to go on: train, scene, max_size,
        images, capture, origin and those of `LATER`.

        Raises:
            InputError: this is no run folder, or the file is damaged.
        """
        if not self.path.is_dir():
            raise InputError(f"{self.path}: no such folder")
        if not self._config_file.is_file():
            raise InputError(
                f"{self.path}: not a run folder, it has no config.json; "
                "name one that gaborsplat train wrote"
            )
        try:
            document = json.loads(self._config_file.read_text(encoding="utf-8"))
            needed = ("train", "scene", "max_size", "images", "capture", "origin")
            known = {key: document.get(key, value) for key, value in LATER.items()}
            return {key: document[key] for key in needed} | known
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{self._config_file}: damaged ({error!r})") from error

    def train_config(self) -> TrainConfig:
        """The settings of the run; steps that nobody gave still count as not given."""
        document = self.config()
        settings = dict(EARLIER)
        try:
            settings |= document["train"]
            if "steps" in (document["preset"] or {}).get("decided", ()):
                settings["steps"] = Default(settings["steps"])
            rates = LearningRates(**EARLIER_RATES | settings.pop("learning_rates"))
            background = tuple(settings.pop("background"))
            return TrainConfig(learning_rates=rates, background=background, **settings)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{self._config_file}: damaged ({error})") from error

    def render_settings(self) -> RenderSettings:
        """How the run's splats are to be shown."""
        near = self.config()["near_plane"]
        if not (isinstance(near, float) and 0 < near < math.inf):
            raise InputError(f"{self._config_file}: damaged (near_plane {near!r})")
        return replace(self.train_config().render_settings(), near_plane=near)

    def capture(self, scene: Path | None = None) -> Capture:
        """The capture that was trained on, as it was loaded then; at `scene` if it has moved.

        Raises:
            InputError: it is gone, or has changed.
        """
        document = self.config()
        place = scene or Path(document["scene"])
        if scene is None and not place.exists():
            raise InputError(
                f"{place}: the capture of {self.path} is not there any more; "
                "say with --scene PATH where it is"
            )
        capture = load_capture(
            place,
            max_size=document["max_size"],
            images=images_in(place, document["images"]),
            sfm=self.sfm(document["sfm"]),
            masks=document["masks"],
            mask_mode=document["mask_mode"],
        )
        return self.recognised(capture, place)

    def recognised(self, capture: Capture, place: Path) -> Capture:
        """The capture that was found at `place`, if it is the one that was trained on, with what
        is said of photos that have changed.

        Raises:
            InputError: it is another one.
        """
        what = f"{place}: not the capture that {self.path} was trained on"
        return recognised(self.config(), capture, what)

    def keep_model(self, capture: Capture, scene: Path) -> None:
        """Copy the model that COLMAP made, which is not in the folder of the scene."""
        model = capture.model.folder.resolve()
        home = capture_folder(scene).resolve()
        if not self._model.is_dir() and not model.is_relative_to(home):
            draft = draft_of(self._model)
            try:
                shutil.copytree(model, draft / "sparse" / "0")
                os.replace(draft, self._model)
            finally:
                shutil.rmtree(draft, ignore_errors=True)

    def newest_splats_file(self) -> Path:
        """Where the splats are: splats.ply, or until there is one the newest checkpoint.

        Raises:
            InputError: there is neither.
        """
        if self.splats_file.is_file():
            return self.splats_file
        found = checkpoints(self.checkpoints)
        if found:
            return found[-1]
        raise InputError(
            f"{self.path}: holds no splats yet, neither splats.ply nor a checkpoint; "
            "its training has to go on first"
        )

    def splats(self) -> Splats:
        """The result of the run, or how far it got.

        Raises:
            InputError: there is none yet, or it is damaged.
        """
        source = self.newest_splats_file()
        if source == self.splats_file:
            return load_splats(source)
        *older, newest = checkpoints(self.checkpoints)
        try:
            return checkpoint_splats(newest)
        except ValueError as error:
            for each in reversed(older):
                with suppress(ValueError):
                    splats = checkpoint_splats(each)
                    error_console.print(f"note: {one_line(error)}; taking {each}")
                    return splats
            raise InputError(str(error)) from error

    def origin(self) -> tuple[float, float, float]:
        """What was subtracted from all coordinates of the splats.

        Raises:
            InputError: this is no run folder, or a file in it is damaged.
        """
        if self.splats_file.is_file():
            return stated_origin(self.splats_file)
        stated = self.config()["origin"]
        try:
            x, y, z = map(float, stated)
        except (TypeError, ValueError) as error:
            raise InputError(f"{self._config_file}: damaged (origin {stated!r})") from error
        return (x, y, z)

    def write_splats(self, splats: Splats, origin: Sequence[float], config: TrainConfig) -> None:
        """The result, also of an unfinished run."""
        save_splats(splats, self.splats_file, origin=origin, antialiased=config.antialiased)

    def write_corrections(self, document: dict[str, Any]) -> None:
        """What was learnt of photos beside the splats; no file where that is nothing."""
        path = self.path / "corrections.json"
        _write_json(path, document) if document else path.unlink(missing_ok=True)

    def metrics(self) -> dict[str, Any]:
        """What `write_metrics` wrote; empty if it never did."""
        if not self._metrics_file.is_file():
            return {}
        try:
            document = json.loads(self._metrics_file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{self._metrics_file}: damaged ({error})") from error
        return dict(document)

    def forget_metrics(self) -> None:
        """Remove metrics.json: the splats are about to change."""
        self._metrics_file.unlink(missing_ok=True)

    def last_log_line(self) -> dict[str, Any]:
        """How far training got; empty if it never logged."""
        return dict(*self.log.lines()[-1:])

    def write_metrics(self, metrics: dict[str, Any]) -> Path:
        """metrics.json; returns its path."""
        _write_json(self._metrics_file, metrics)
        return self._metrics_file

    def write_comparison(self, view: TrainingView, image: Tensor, photo: Tensor) -> None:
        """test/NAME.png: rendered | photograph | error, from [H, W, 3] in [0, 1]."""
        path = self.path / "test" / f"{view.name}.png"
        try:
            png = comparison(image, photo, view.mask())
        except ValueError as error:
            raise OSError(f"{path}: {error}") from error
        with replacing(path) as draft:
            draft.write_bytes(png)


def _made(path: Path) -> bool:
    """Makes a folder; False if there is something of that name."""
    for last in (*[False] * 100, True):
        with suppress(FileExistsError):
            path.parent.mkdir(parents=True)
        try:
            path.mkdir()
        except FileExistsError:
            return False
        except FileNotFoundError:  # another one has just removed the empty folder above
            if last:
                raise
        else:
            break
    return True


def images_in(scene: Path, images: str | None) -> str | None:
    """The folder of the photos that a run was given, if it is there now; they are known by their
    content wherever they are found."""
    there = images is not None and (capture_folder(scene) / images).is_dir()
    return images if there else None


def _write_json(path: Path, document: dict[str, Any]) -> None:
    with replacing(path) as draft:
        draft.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
