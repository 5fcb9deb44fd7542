"""`gaborsplat eval`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.table import Table

from ..console import console, decimals, show_repairs
from ..devices import pick_device
from ..renderer.devices import Device
from ..renderer.training import Evaluation, LeftOut, Score, evaluate
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

    def run(self) -> None:
        """Write RUN/metrics.json and RUN/test/, and print a table."""
        folder = RunFolder(self.path)
        capture = folder.capture(self.scene)
        show_repairs(capture.repairs)
        splats = folder.splats().to(pick_device(self.device))
        before = folder.metrics()
        evaluation = evaluate(
            splats, capture.test, folder.render_settings(), folder.write_comparison, LeftOut()
        )
        reached = folder.last_log_line()
        metrics = {
            "step": reached.get("step"),
            "train_seconds": reached.get("seconds"),
            **before,
            "splats": len(splats),
            "bytes": splats.nbytes,
            **evaluation.as_dict(),
        }
        folder.write_metrics(metrics)
        console.print(_table(evaluation, folder.train_config().exposure != "off"))
        console.print(f"Pictures: {self.path / 'test'}")


def _table(evaluation: Evaluation, matched: bool) -> Table:
    """A row for each view, and their mean; `matched` adds PSNR with colours matched."""
    table = Table("view", "PSNR", *(["PSNR, colours matched"] if matched else []), "SSIM")

    def add(name: str, quality: Score | Evaluation) -> None:
        cells = [decimals(quality.psnr, 2), decimals(quality.ssim, 4)]
        cells[1:1] = [decimals(quality.cc_psnr, 2)] if matched else []
        table.add_row(name, *cells)

    for name, score in evaluation.per_image.items():
        add(name, score)
    table.add_section()
    add("mean", evaluation)
    return table
