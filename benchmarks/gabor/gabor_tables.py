"""What the runs of gabor_vs_gaussian.py say: tables, curves and crops."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.gabor.textures import CAPTURES
from benchmarks.support.tables import Runs, distinct, mean_of, pick

SETTING = ("capture", "splats", "strategy", "steps")
"""What two runs must share to be compared at equal splats."""
BY_SIZE = ("capture", "strategy", "steps")
"""What Gaussians share that are compared by their bytes."""
BY_TIME = ("capture", "splats", "strategy")
"""What Gaussians share that are compared by how long they were trained."""
UNKNOWN = "not measured there"


def between(points: Sequence[tuple[float, float]], x: float) -> float | None:
    """The value at x of the straight line between the points, in the logarithm of x; None outside
    of them."""
    ordered = sorted(points)
    for (x0, y0), (x1, y1) in itertools.pairwise(ordered):
        if x0 <= x <= x1 and x1 > x0:
            return y0 + (y1 - y0) * math.log(x / x0) / math.log(x1 / x0)
    return None


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """In markdown."""
    lines = ["| " + " | ".join(row) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]]) + "\n"


def with_same_seeds(runs: Runs, setting: dict[str, Any]) -> tuple[Runs, Runs]:
    """The runs of a setting and those of the Gaussian, of seeds that both have, in their order."""
    sides = pick(runs, **setting), pick(runs, **(setting | {"gabor": 0}))
    first, second = ({run["seed"]: run for run in side} for side in sides)
    seeds = sorted(first.keys() & second.keys())
    return [first[seed] for seed in seeds], [second[seed] for seed in seeds]


def equal_splats(runs: Runs) -> str:
    """Figures of the Gaussian, and what each number of waves gains, with as many splats."""
    rows: list[list[str]] = []
    for key in distinct(runs, *SETTING, "gabor"):
        ours, plain = with_same_seeds(runs, dict(zip((*SETTING, "gabor"), key, strict=True)))
        if key[4] == 0 or not plain:
            continue
        gained = [a["psnr"] - b["psnr"] for a, b in zip(ours, plain, strict=True)]
        difference = lambda name: mean_of(ours, name) - mean_of(plain, name)  # noqa: B023, E731
        rows.append(
            [
                *map(str, key),
                f"{mean_of(plain, 'psnr'):.2f}",
                f"{mean_of(ours, 'psnr'):.2f}",
                f"{statistics.fmean(gained):+.2f} ({min(gained):+.2f} to {max(gained):+.2f})",
                f"{difference('ssim'):+.3f}",
                f"{difference('flip'):+.4f}",
                f"{difference('fine_psnr'):+.2f}",
                f"{difference('far_psnr'):+.2f}",
                f"{mean_of(ours, 'seconds') / mean_of(plain, 'seconds'):.2f}",
                str(len(plain)),
            ]
        )
    head = ["capture", "splats", "strategy", "steps", "K", "K = 0, dB", "K, dB", "PSNR gained"]
    return table([*head, "SSIM", "FLIP", "fine dB", "far dB", "time", "seeds"], rows)


def against_curve(
    runs: Runs, show: Callable[[dict[str, Any], Runs], str], group: Sequence[str]
) -> list[list[str]]:
    """A row for each setting with waves: `show` of its mean run and of the Gaussian's runs of the
    same `group`."""
    rows: list[list[str]] = []
    for key in distinct(runs, *SETTING, "gabor"):
        setting = dict(zip((*SETTING, "gabor"), key, strict=True))
        if setting["gabor"] == 0:
            continue
        ours = pick(runs, **setting)
        mean = {name: mean_of(ours, name) for name in ("psnr", "bytes", "seconds")}
        plain = pick(runs, gabor=0, **{name: setting[name] for name in group})
        shown = show(mean, averaged(plain))
        rows.append([*map(str, key), f"{mean['bytes'] / 1e6:.2f}", shown or UNKNOWN])
    return rows


def averaged(runs: Runs) -> Runs:
    """The means over seeds."""
    found: Runs = []
    for key in distinct(runs, *SETTING):
        same = pick(runs, **dict(zip(SETTING, key, strict=True)))
        found.append({name: mean_of(same, name) for name in ("psnr", "bytes", "seconds")})
    return found


def psnr_gained(ours: dict[str, Any], plain: Runs, unit: str) -> str:
    """Over the Gaussian at equal `unit`; empty where it was not measured on both sides."""
    there = between([(run[unit], run["psnr"]) for run in plain], ours[unit])
    return "" if there is None else f"{ours['psnr'] - there:+.2f}"


def bytes_saved(ours: dict[str, Any], plain: Runs) -> str:
    """Against the Gaussian of equal PSNR; a bound where even its largest is worse, or its smallest
    better."""
    ordered = sorted(plain, key=lambda run: run["psnr"])
    if not ordered:
        return ""
    if ordered[-1]["psnr"] < ours["psnr"]:
        saved = 1 - ours["bytes"] / ordered[-1]["bytes"]
        return f"> {100 * saved:.0f} %" if saved > 0 else ""
    if ordered[0]["psnr"] > ours["psnr"]:
        return f"< {100 * (1 - ours['bytes'] / ordered[0]['bytes']):.0f} %"
    # Between sizes, as PSNR grows with the logarithm of bytes.
    points = [(10 ** run["psnr"], math.log(run["bytes"])) for run in plain]
    there = between(points, 10 ** ours["psnr"])
    return "" if there is None else f"{100 * (1 - ours['bytes'] / math.exp(there)):.0f} %"


def gains(runs: Runs, setting: dict[str, Any]) -> dict[str, float | None] | None:
    """What waves gain in one capture over the Gaussian of equal splats, over the seeds that both
    have; and over that of equal bytes. None without such runs."""
    ours, plain = with_same_seeds(runs, setting)
    if not plain:
        return None
    curve = pick(runs, gabor=0, **{name: setting[name] for name in BY_SIZE})
    mean = {name: mean_of(ours, name) for name in ("psnr", "bytes")}
    same_bytes = between([(run["bytes"], run["psnr"]) for run in averaged(curve)], mean["bytes"])
    return {
        "splats": mean["psnr"] - mean_of(plain, "psnr"),
        "bytes": None if same_bytes is None else mean["psnr"] - same_bytes,
        "far": mean_of(ours, "far_psnr") - mean_of(plain, "far_psnr"),
        "time": mean_of(ours, "seconds") / mean_of(plain, "seconds"),
    }


def over_captures(runs: Runs) -> str:
    """Means over the texture suite and over the other captures, with the worst capture."""
    rows: list[list[str]] = []
    suite = ("texture suite", True), ("other captures", False)
    for key in distinct(runs, "splats", "strategy", "steps", "gabor"):
        setting = dict(zip(("splats", "strategy", "steps", "gabor"), key, strict=True))
        for name, textured in suite:
            names = [n for (n,) in distinct(runs, "capture") if (n in CAPTURES) == textured]
            found = [gains(runs, setting | {"capture": capture}) for capture in names]
            known = [each for each in found if each is not None]
            if setting["gabor"] == 0 or not known:
                continue
            shown = [mean_and_worst([each[unit] for each in known]) for unit in ("splats", "bytes")]
            far = statistics.fmean(each["far"] or 0.0 for each in known)
            took = statistics.fmean(each["time"] or 0.0 for each in known)
            rows.append([name, *map(str, key), *shown, f"{far:+.2f}", f"{took:.2f}"])
    head = ["captures", "splats", "strategy", "steps", "K", "dB at equal splats (worst)"]
    return table([*head, "dB at equal bytes (worst)", "dB from afar", "time"], rows)


def mean_and_worst(values: Sequence[float | None]) -> str:
    """Of those that are known, if all are."""
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return UNKNOWN
    return f"{statistics.fmean(known):+.2f} ({min(known):+.2f})"


def variants(runs: Runs) -> str:
    """What each change to the method does, over all runs that were made both with it and
    without."""
    names = ("psnr", "ssim", "fine_psnr", "far_psnr")
    rows: list[list[str]] = []
    keys = (*SETTING, "gabor", "seed")
    plain = {tuple(run[name] for name in keys): run for run in pick(runs, variant="")}
    for (variant,) in distinct(runs, "variant"):
        pairs = [
            (run, plain[key])
            for run in pick(runs, variant=variant)
            if (key := tuple(run[name] for name in keys)) in plain
        ]
        if not variant or not pairs:
            continue
        change = {name: statistics.fmean(a[name] - b[name] for a, b in pairs) for name in names}
        slower = sum(a["seconds"] for a, _ in pairs) / sum(b["seconds"] for _, b in pairs)
        rows.append(
            [
                variant,
                *(f"{change[name]:+.3f}" for name in names),
                f"{slower:.2f}",
                str(len(pairs)),
            ]
        )
    return table(["variant", "PSNR", "SSIM", "fine dB", "far dB", "time", "runs"], rows)


def markdown(runs: Runs) -> str:
    """All tables."""
    plain = pick(runs, variant="")
    head = ["capture", "splats", "strategy", "steps", "K", "MB"]
    parts = [
        ("Over all captures", over_captures(plain)),
        ("Equal splats", equal_splats(plain)),
        (
            "Equal bytes",
            table(
                [*head, "PSNR gained"],
                against_curve(plain, lambda a, b: psnr_gained(a, b, "bytes"), BY_SIZE),
            ),
        ),
        (
            "Equal seconds of training",
            table(
                [*head, "PSNR gained"],
                against_curve(plain, lambda a, b: psnr_gained(a, b, "seconds"), BY_TIME),
            ),
        ),
        (
            "Bytes saved at equal PSNR",
            table([*head, "bytes saved"], against_curve(plain, bytes_saved, BY_SIZE)),
        ),
        ("Variants, against the default", variants(runs)),
    ]
    return "\n".join(f"### {title}\n\n{text}" for title, text in parts)


def draw_curves(runs: Runs, file: Path) -> None:
    """PSNR over bytes, a panel for each capture, a line for each number of waves."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    plain = pick(runs, variant="")
    names = [name for (name,) in distinct(plain, "capture")]
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    size = (3.4 * columns, 2.8 * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    for panel, name in zip(axes.flat, names, strict=False):
        for (waves,) in distinct(plain, "gabor"):
            for strategy, steps in distinct(plain, "strategy", "steps"):
                chosen = {"capture": name, "gabor": waves, "strategy": strategy, "steps": steps}
                line = sorted(
                    (p["bytes"] / 1e6, p["psnr"]) for p in averaged(pick(plain, **chosen))
                )
                label = f"K = {waves}, {strategy}, {steps}"
                if line:
                    panel.semilogx(*zip(*line, strict=True), "o-", label=label)
        panel.set(title=name, xlabel="MB", ylabel="test PSNR [dB]")
        panel.set_xticks([0.5, 1, 2, 4], ["0.5", "1", "2", "4"])
        panel.minorticks_off()
    for panel in axes.flat[len(names) :]:
        panel.set_visible(False)
    axes.flat[0].legend(fontsize=7)
    figure.savefig(file, dpi=110)
    plt.close(figure)


def draw_crops(folder: Path, file: Path) -> None:
    """The pictures of `folder`, named CAPTURE-NUMBER-LABEL.png, a row a capture."""
    rows: dict[str, list[np.ndarray]] = {}
    for path in sorted(folder.glob("*.png")):
        capture, _, label = path.stem.rsplit("-", 2)
        crop = cv2.resize(cv2.imread(str(path)), None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
        cv2.putText(crop, label, (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 3)
        cv2.putText(crop, label, (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1)
        rows.setdefault(capture, []).append(crop)
    width = max((len(row) for row in rows.values()), default=0)
    full = [np.hstack(row) for row in rows.values() if len(row) == width]
    if full:
        cv2.imwrite(str(file), np.vstack(full), [cv2.IMWRITE_JPEG_QUALITY, 90])
