"""`gaborsplat eval`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro
from rich.table import Table

from ..console import console, decimals, show_repairs
from ..devices import pick_device
from ..inputs.loading import Antialiasing
from ..renderer.devices import Device
from ..renderer.training import Evaluation, LeftOut, Score, evaluate
from ..run_folder import RunFolder
from .refined import has_refined


@dataclass(frozen=True)
class EvalCommand:
    """Render the test views of a run; write metrics and comparison pictures."""

    path: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Run folder."""
    device: Device = "auto"
    """What renders."""
    scene: Path | None = None
    """Where the capture is now, if it has moved since."""
    align: bool = False
    """Score each view again with its camera aligned to the splats; always done where the run has
    refined poses."""
    shown_as: Annotated[Antialiasing, tyro.conf.arg(name="")] = field(default_factory=Antialiasing)

    def run(self) -> None:
        """Write RUN/metrics.json and RUN/test/, and print a table."""
        folder = RunFolder(self.path)
        capture = folder.capture(self.scene)
        show_repairs(capture.repairs)
        splats = folder.splats().to(pick_device(self.device))
        before = folder.metrics()
        before.pop("antialiased", None)  # of an evaluation that overruled the run
        settings, overruled = folder.render_settings(), self.shown_as.chosen
        if overruled == settings.antialiased:
            overruled = None
        if overruled is not None:
            settings = replace(settings, antialiased=overruled)
        align = self.align or has_refined(folder)
        on_image = folder.write_comparison
        evaluation = evaluate(splats, capture.test, settings, on_image, LeftOut(), align)
        reached = folder.last_log_line()
        metrics = {
            "step": reached.get("step"),
            "train_seconds": reached.get("seconds"),
            **before,
            "splats": len(splats),
            "bytes": splats.nbytes,
            **evaluation.as_dict(),
            **({} if overruled is None else {"antialiased": overruled}),
        }
        folder.write_metrics(metrics)
        console.print(_table(evaluation, folder.train_config().exposure != "off"))
        if overruled is not None:
            used, trained = ("with", "without") if overruled else ("without", "with")
            console.print(f"Rendered {used} antialiasing; the run was trained {trained}.")
        console.print(f"Pictures: {self.path / 'test'}")


def _table(evaluation: Evaluation, matched: bool) -> Table:
    """A row for each view, and their mean; `matched` adds PSNR with colours matched."""
    also = ["PSNR, colours matched"] if matched else []
    also += [] if evaluation.aligned is None else ["aligned PSNR", "aligned SSIM"]
    table = Table("view", "PSNR", "SSIM", *also)

    def add(name: str, quality: Score | Evaluation) -> None:
        cells = [decimals(quality.psnr, 2), decimals(quality.ssim, 4)]
        cells += [decimals(quality.cc_psnr, 2)] if matched else []
        if quality.aligned is not None:
            cells += [decimals(quality.aligned.psnr, 2), decimals(quality.aligned.ssim, 4)]
        table.add_row(name, *cells)

    for name, score in evaluation.per_image.items():
        add(name, score)
    table.add_section()
    add("mean", evaluation)
    return table
