"""What the results of benchmarks.training say."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks.support.tables import Rows, Runs, distinct, mean_of, pick
from benchmarks.training.disturbances import DISTURBANCES
from benchmarks.training.variants import BASELINE

SETTING = ("size", "steps", "splats")
"""What two runs must share to be compared."""
NAMES = ("capture", "disturbance", "variant")
HEADS = ["capture", "fault", "variant"]
FIGURES = {"psnr": "PSNR", "cc_psnr": "cc", "ssim": "SSIM", "true_psnr": "true"}
"""Heads of the figures of quality, by their names."""
DIGITS = {"psnr": 2, "cc_psnr": 2, "ssim": 3, "true_psnr": 2}
"""Digits of each behind the point."""


def titled(runs: Runs) -> dict[str, Rows]:
    """All tables, by what they are of."""
    found: dict[str, Rows] = {}
    for setting in distinct(runs, *SETTING):
        same = pick(runs, **dict(zip(SETTING, setting, strict=True)))
        at = "{} px, {} steps, {} splats".format(*setting)
        tables = {
            f"Test views; {at}": quality(same),
            f"Test views, their cameras aligned to the splats; {at}": aligned(same),
            f"Gained over {BASELINE}, and what it takes; {at}": gains(same),
            f"Gained over {BASELINE}, mean over captures (worst); {at}": over_captures(same),
        }
        found |= {title: rows for title, rows in tables.items() if len(rows) > 1}
    return found


def quality(runs: Runs) -> Rows:
    """Figures of every case, and what its faults cost: differences to the same variant without."""
    rows = [[*HEADS, *FIGURES.values(), "lost", "lost cc", "seeds"]]
    for key in cases(runs):
        mine = pick(runs, **key)
        plain = pick(runs, **(key | {"disturbance": "none"}))
        figures = [f"{mean_of(mine, name):.{DIGITS[name]}f}" for name in FIGURES]
        lost = [""] * 2
        if key["disturbance"] != "none":
            compared = ("psnr", "cc_psnr")
            lost = [signed(difference(plain, mine, name), DIGITS[name]) for name in compared]
        rows.append([*key.values(), *figures, *lost, str(len(mine))])
    return rows


def aligned(runs: Runs) -> Rows:
    """PSNR of every case with the test cameras aligned, and what its faults cost, where any are of
    cameras: those are not judged by where photos are said to be from."""
    rows = [[*HEADS, "aligned", "lost", "seeds"]]
    of_cameras = [run for run in runs if run["disturbance"] in ("none", "poses")]
    known = [run for run in of_cameras if run.get("aligned_psnr") is not None]
    for key in cases(known if pick(known, disturbance="poses") else []):
        mine = pick(known, **key)
        plain = pick(known, **(key | {"disturbance": "none"}))
        wrong = key["disturbance"] != "none"
        lost = signed(difference(plain, mine, "aligned_psnr"), 2) if wrong else ""
        shown = f"{mean_of(mine, 'aligned_psnr'):.2f}"
        rows.append([*key.values(), shown, lost, str(len(mine))])
    return rows


def gains(runs: Runs) -> Rows:
    """Differences of every case to the same one with the baseline; its size, and its time in times
    of that one in the same session."""
    rows = [[*HEADS, *FIGURES.values(), "splats", "MB", "s", "time"]]
    for key in cases(runs):
        mine, base = pick(runs, **key), pick(runs, **(key | {"variant": BASELINE}))
        gained = [signed(difference(mine, base, name), DIGITS[name]) for name in FIGURES]
        took = times(mine, base)
        if key["variant"] == BASELINE:
            gained, took = [""] * len(FIGURES), ""
        size = [f"{mean_of(mine, 'splats_made'):.0f}", f"{mean_of(mine, 'bytes') / 1e6:.2f}"]
        seconds = f"{mean_of(mine, 'seconds'):.1f}"
        rows.append([*key.values(), *gained, *size, seconds, took])
    return rows


def over_captures(runs: Runs) -> Rows:
    """What each variant gains over the baseline with each fault, over the captures that have
    both."""
    rows = [["fault", "variant", *FIGURES.values(), "over"]]
    for disturbance, variant in in_order(distinct(runs, "disturbance", "variant"), 0):
        gained: dict[str, list[float]] = {name: [] for name in FIGURES}
        for (capture,) in distinct(runs, "capture"):
            key = {"capture": capture, "disturbance": disturbance}
            sides = [pick(runs, variant=each, **key) for each in (variant, BASELINE)]
            for name, known in gained.items():
                found = difference(sides[0], sides[1], name)
                known += [] if found is None else [found]
        if variant != BASELINE and gained["psnr"]:
            cells = [mean_and_worst(each, DIGITS[name]) for name, each in gained.items()]
            rows.append([disturbance, variant, *cells, str(len(gained["psnr"]))])
    return rows


def cases(runs: Runs) -> list[dict[str, Any]]:
    """Capture, disturbance and variant of the runs, in the order of the tables."""
    return [dict(zip(NAMES, each, strict=True)) for each in in_order(distinct(runs, *NAMES), 1)]


def in_order(keys: Sequence[tuple[Any, ...]], place: int) -> list[tuple[Any, ...]]:
    """Keys with a disturbance in their `place`: as DISTURBANCES has them, the baseline first."""
    known = list(DISTURBANCES)
    return sorted(
        keys, key=lambda key: (*key[:place], known.index(key[place]), key[-1] != BASELINE, key[-1])
    )


def difference(runs: Runs, others: Runs, name: str) -> float | None:
    """Mean of one figure less that of others, over the seeds that both have; None without."""
    there = {run["seed"]: run[name] for run in others}
    pairs = [run[name] - there[run["seed"]] for run in runs if run["seed"] in there]
    return statistics.fmean(pairs) if pairs else None


def times(runs: Runs, others: Runs) -> str:
    """Ratio of their seconds, over the seeds that both have of one session."""
    there = {(run["seed"], run["session"]): run["seconds"] for run in others}
    pairs = [
        (run["seconds"], there[key])
        for run in runs
        if (key := (run["seed"], run["session"])) in there
    ]
    mine, theirs = (sum(each) for each in zip(*pairs, strict=True)) if pairs else (0.0, 0.0)
    return f"{mine / theirs:.2f}" if theirs else ""


def signed(value: float | None, digits: int) -> str:
    """With its sign; empty for None."""
    return "" if value is None else f"{value:+.{digits}f}"


def mean_and_worst(values: Sequence[float], digits: int) -> str:
    """The mean, and in brackets the least."""
    return f"{signed(statistics.fmean(values), digits)} ({signed(min(values), digits)})"
