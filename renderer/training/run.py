"""A whole run in one call."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..devices import pick_device
from ..files import claimed, remove_orphans
from ..settings import RenderSettings
from ..splats import Splats
from .checkpoint import going_on, load_checkpoint
from .color.degree import with_degree
from .config import Preset, TrainConfig, preset_taken
from .corrections.correction import Correction
from .cost.memory import within_memory
from .cost.plan import planned
from .data import FitInput
from .evaluate import Evaluation, OnImage, evaluate
from .interrupt import EndAtOnce, deferred_interrupt
from .saving import CheckpointWriter
from .step.objective import Objective
from .trainer import StepReport, Trainer

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainResult:
    """What a run gave.

    Attributes:
        splats: the fitted splats, on the device of the run.
        evaluation: quality on the test views.
        settings: how the splats were rendered, and should be shown.
        step: steps done, in all sessions of the run together.
        seconds: time spent in these steps [s].
        elapsed: time that training took, with what there was between steps; see `TrainConfig` [s].
        time: that it was given [s]; None where it was given steps.
        skipped_steps: steps that changed nothing, as loss or gradient was not finite.
        pruned_splats: splats that were removed, as a parameter was not finite.
    """

    splats: Splats
    evaluation: Evaluation
    settings: RenderSettings
    step: int
    seconds: float
    elapsed: float
    time: float | None
    skipped_steps: int
    pruned_splats: int

    def metrics(self) -> dict[str, Any]:
        """The content of metrics.json."""
        return {
            "step": self.step,
            "train_seconds": self.seconds,
            "elapsed_seconds": self.elapsed,
            "time": self.time,
            "splats": len(self.splats),
            "bytes": self.splats.nbytes,
            "skipped_steps": self.skipped_steps,
            "pruned_splats": self.pruned_splats,
            **self.evaluation.as_dict(),
        }


def train(  # noqa: PLR0913 - options by name
    data: FitInput,
    config: TrainConfig | None = None,
    *,
    preset: Preset | None = None,
    device: torch.device | str = "auto",
    objective: Objective | None = None,
    corrections: Sequence[Correction] = (),
    on_step: Callable[[StepReport], None] | None = None,
    resume: Path | None = None,
    checkpoints: Path | None = None,
) -> TrainResult:
    """Splats fitted to photos, and how good they are on the test views.

    Args:
        data: views to fit, views to test on, and points to begin with, such as a `Capture`.
        config: settings of the fit. What is given here goes over the preset. With a `time`, steps
            and splats that are not given follow from a trial of this machine instead; what
            `on_step` takes counts.
        preset: `steps` and `max_splats` where they are not given: "draft" is made for minutes on a
            CPU, "standard" and "high" for a GPU; "auto" is the first on a CPU and the second on a
            GPU. Photos have the size with which they were loaded. None is "auto" without a
            `config`, and "draft" with one: the defaults of `TrainConfig`.
        device: where to compute, as for `pick_device`; the result lies there.
        objective: what is made small; by default the photometric loss.
        corrections: what is learnt of photos beside the splats and what `config` asks for.
        on_step: called after every step.
        resume: a checkpoint, or a folder of them, to go on from. What is not given is as it was
            then, whatever the preset; of a `time` what was left then is left.
        checkpoints: a folder that gets a checkpoint every `config.checkpoint_every` steps and every
            `config.checkpoint_minutes`, and one when the run ends, be it by an error or by Ctrl-C,
            SIGTERM or SIGHUP, which wait for the step in progress. A second signal does not
            disturb that one, a third does.

    Raises:
        ValueError: data, a preset, a device or a checkpoint that cannot be trained with; a
            `max_splats` for which there is no memory. A preset's is lowered instead. Or another
            process writes to `checkpoints`.
        ArithmeticError: the fit diverges.
        OSError: the last checkpoint cannot be written. Of others a warning is logged.
    """
    device = pick_device(device)
    preset = preset or ("auto" if config is None else "draft")
    config = (config or TrainConfig()).by_preset(preset_taken(preset, device))
    seconds = 0.0
    if resume is None:
        config, seconds = planned(config, data, device)
    else:
        config = going_on(config, resume)
    config = within_memory(with_degree(config, data), data, device)
    trainer = Trainer(data, config, device, objective, corrections)
    trainer.pace.spend(seconds)
    if resume is not None:
        load_checkpoint(resume, trainer)
    with ExitStack() as until_saved:
        writer = None
        if checkpoints is not None:
            until_saved.enter_context(claimed(checkpoints))
            remove_orphans(checkpoints)
            writer = CheckpointWriter(checkpoints, trainer, _warn)
        interrupt = until_saved.enter_context(deferred_interrupt(saves=writer is not None))
        saves = writer is not None
        try:
            while not trainer.done:
                report = trainer.step()
                if on_step is not None:
                    on_step(report)
                if writer is not None and not trainer.done:
                    writer.after_step()
                interrupt()
        except EndAtOnce:
            saves = False
            raise
        finally:
            if saves and writer is not None and trainer.intact:
                writer.save()
        interrupt()
    return finish(trainer, data)


def _warn(error: OSError) -> None:
    log.warning("note: no checkpoint, training goes on: %s", error)


def finish(trainer: Trainer, data: FitInput, on_image: OnImage | None = None) -> TrainResult:
    """The result of `trainer` as it is now, evaluated on the test views of `data` whose photos can
    be read, aligned too where poses were refined; `on_image` gets each of their pictures."""
    splats, align = trainer.splats(), trainer.corrections.moves
    test, settings, left_out = data.test, trainer.settings, trainer.left_out
    return TrainResult(
        splats=splats,
        evaluation=evaluate(splats, test, settings, on_image, left_out, align),
        settings=trainer.settings,
        step=trainer.steps_done,
        seconds=trainer.seconds,
        elapsed=trainer.pace.elapsed,
        time=trainer.config.time,
        skipped_steps=trainer.skipped_steps,
        pruned_splats=trainer.pruned_splats,
    )
