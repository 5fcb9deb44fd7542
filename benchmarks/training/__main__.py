"""What options of training gain, on captures as they are and with the faults of real ones.

    python -m benchmarks.training [--captures DIR ...] [--variant default gsplat] [--minutes 10]

Trains the captures, and the texture suite (written to --suite where it is not there), with each of
these faults, and each variant of the options:

    none      as they are
    exposure  every photo, for testing too, with another exposure, up to half a stop, and white
              balance
    poses     every camera, for testing too, turned by 0.25 degrees and moved by 0.5 % of the scene
              scale
    moving    a coloured square, a fifth of a side long, somewhere on a third of the training photos
    blurred   a twentieth of the training photos blurred by motion, over 3 % of the width

Test views give PSNR and SSIM; PSNR after one gain a channel has been fitted to each of them ("cc",
colour-corrected); PSNR against them as they were before they got their faults ("true"); and PSNR
after their cameras were aligned to the splats ("aligned").
Differences are of the same seed, which faults and training have in common; times, of one session.
A case that is in --out is not trained again, so that the program can be stopped and started; with
--minutes it stops by itself.

A variant is one of `variants.py`, or NAME=field:value,field:value with fields of TrainConfig.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import tyro

from benchmarks.gabor.textures import CAPTURES, load, write_suite
from benchmarks.support.report import write
from benchmarks.support.tables import Runs, document, show
from benchmarks.training.cases import Case, measured
from benchmarks.training.disturbances import DISTURBANCES
from benchmarks.training.training_tables import titled
from benchmarks.training.variants import BASELINE, chosen
from gaborsplat.console import console
from gaborsplat.devices import machine
from gaborsplat.renderer.training import TrainConfig
from gaborsplat.scenes import InputError
from gaborsplat.scenes.capture import capture_name


@dataclass(frozen=True)
class Options:
    """What to train."""

    captures: tuple[Path, ...] = ()
    """Folders, as for `gaborsplat train`."""
    textures: tuple[str, ...] = tuple(CAPTURES)
    """Captures of the texture suite; none if nothing is named."""
    suite: Path = Path("runs/texture-suite")
    """Where the texture suite is, or shall be written."""
    variant: tuple[str, ...] = (BASELINE, "gsplat")
    """Names, or NAME=field:value,field:value."""
    only: tuple[str, ...] = ()
    """Patterns of CAPTURE/DISTURBANCE/VARIANT/SEED, such as fox/*/default/*; all by default."""
    size: int = 480
    """Longest side of the photos [px]."""
    steps: int = int(TrainConfig.steps)
    splats: int = int(TrainConfig.max_splats)
    """At most."""
    seeds: int = 1
    minutes: float | None = None
    """No case starts later than this."""
    out: Path = Path("benchmarks/results/training.json")
    """Results, which are added to."""
    docs: Path | None = None
    """Markdown file to write the tables into."""


def folders(options: Options) -> dict[str, Path]:
    """Of the captures, by name. Raises InputError for one that is not there or has the name of
    another."""
    found: dict[str, Path] = {}
    for folder in (*options.captures, *(options.suite / name for name in options.textures)):
        name = capture_name(folder)
        if folder in options.captures and not folder.exists():
            raise InputError(f"--captures {folder}: no such folder")
        if name in found:
            raise InputError(f"--captures {folder}: must not be called as {found[name]} is")
        found[name] = folder
    return found


def wanted(options: Options, captures: Mapping[str, Path]) -> Iterator[Case]:
    """All cases, those of one seed together. Raises ValueError for variants that cannot be."""
    variants = chosen(options.variant, options.steps)
    axes = (range(options.seeds), captures, DISTURBANCES, variants.items())
    for seed, capture, disturbance, (variant, settings) in itertools.product(*axes):
        numbers = (seed, options.size, options.steps, options.splats)
        case = Case(capture, disturbance, variant, settings, *numbers)
        if not options.only or any(fnmatchcase(case.label, each) for each in options.only):
            yield case


def results(path: Path) -> dict[Case, dict[str, Any]]:
    """Those of a file, if it is there. Raises InputError if it has others."""
    if not path.is_file():
        return {}
    try:
        runs = json.loads(path.read_text(encoding="utf-8"))["runs"]
        return {Case.of(run): run for run in runs}
    except (ValueError, LookupError, TypeError) as error:
        raise InputError(f"{path}: must have results of this benchmark, or not be there") from error


def missing(options: Options, captures: Mapping[str, Path], known: Collection[Case]) -> list[Case]:
    """Cases that are not known. Raises ValueError if one is, by its name, but was something
    else."""
    settings = {(case.variant, case.steps): case.settings for case in known}
    cases = list(wanted(options, captures))
    for case in cases:
        before = settings.get((case.variant, case.steps), case.settings)
        if case.settings != before:
            raise ValueError(
                f"--variant {case.variant}: must be {before or 'without settings'}, as in "
                f"{options.out}, or have another name; it is {case.settings or 'without settings'}"
            )
    return [case for case in cases if case not in known]


def learn_all(options: Options) -> Runs:
    """All results: what was done before, and every case that fits into the time."""
    done, captures = results(options.out), folders(options)
    cases = missing(options, captures, done)
    started = time.monotonic()
    session: dict[str, Any] = {"session": time.strftime("%Y-%m-%d %H:%M:%S")}
    write_suite(options.suite, names={case.capture for case in cases} & {*options.textures})
    for case in cases:
        if options.minutes is not None and time.monotonic() - started >= 60 * options.minutes:
            console.print("Out of time; start again to go on.")
            break
        data = load(captures[case.capture], case.size)
        if not data.test:
            raise InputError(f"{captures[case.capture]}: has no photos to test on")
        try:
            run = measured(case, data) | session
        except ArithmeticError as error:
            console.print(f"{case.label}: left out, {error}")
            continue
        done[case] = run
        write(options.out, list(done.values()))
        console.print(
            f"{case.label:32} {run['psnr']:.2f} dB, cc {run['cc_psnr']:.2f}, "
            f"{run['splats_made']} splats, {run['seconds']:.1f} s"
        )
    return list(done.values())


def main(options: Options) -> None:
    """Trains what is missing, then shows everything."""
    if min(options.size, options.steps, options.splats, options.seeds) < 1:
        sys.exit("--size, --steps, --splats and --seeds: must be 1 or more")
    if unknown := set(options.textures) - set(CAPTURES):
        sys.exit(f"--textures: must be of {', '.join(CAPTURES)}, not {min(unknown)}")
    console.print(machine())
    try:
        tables = titled(learn_all(options))
        show(tables)
        if options.docs is not None:
            document(options.docs, tables)
    except ValueError as error:  # InputError is one
        sys.exit(str(error))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
