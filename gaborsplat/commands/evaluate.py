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
from ..renderer.training import LeftOut, evaluate
from ..run_folder import RunFolder


@dataclass(frozen=True)
class EvalCommand:
    """Render the test views of a run; write metrics and comparison pictures."""

    path: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Run folder."""
    device: Device = "auto"
    """What renders."""
    scene: Path | None = None
    """Where the capture is now, if it has moved since."""
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
        evaluation = evaluate(splats, capture.test, settings, folder.write_comparison, LeftOut())
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
        table = Table("view", "PSNR", "SSIM")
        for name, score in evaluation.per_image.items():
            table.add_row(name, f"{score.psnr:.2f}", f"{score.ssim:.4f}")
        table.add_section()
        table.add_row("mean", decimals(evaluation.psnr, 2), decimals(evaluation.ssim, 4))
        console.print(table)
        if overruled is not None:
            used, trained = ("with", "without") if overruled else ("without", "with")
            console.print(f"Rendered {used} antialiasing; the run was trained {trained}.")
        console.print(f"Pictures: {self.path / 'test'}")
