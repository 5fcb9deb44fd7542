"""The command line: which command, with what, and how it ended."""

from __future__ import annotations

import contextlib
import io
import itertools
import logging
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from typing import Annotated, Any

import tyro

from .commands.demo import DemoCommand
from .commands.doctor import DoctorCommand
from .commands.evaluate import EvalCommand
from .commands.export import ExportCommand
from .commands.fitting import TrainingEnded
from .commands.render import RenderCommand, in_few_words
from .commands.train import TrainCommand, resumed
from .commands.view import ViewCommand
from .console import console_problem, error_console
from .scenes import InputError, one_line

Command = (
    Annotated[DemoCommand, tyro.conf.subcommand("demo")]
    | Annotated[TrainCommand, tyro.conf.subcommand("train")]
    | Annotated[ViewCommand, tyro.conf.subcommand("view")]
    | Annotated[ExportCommand, tyro.conf.subcommand("export")]
    | Annotated[EvalCommand, tyro.conf.subcommand("eval")]
    | Annotated[RenderCommand, tyro.conf.subcommand("render")]
    | Annotated[DoctorCommand, tyro.conf.subcommand("doctor")]
)

DESCRIPTION = (
    "Train, view and export 3D Gaussian and Gabor splats. "
    "With --traceback anywhere, an error shows where it happened."
)

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


def run() -> int:
    """The program: `main`, and nothing said by Python about signals and streams at the end."""
    status = main()
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):  # gone, closed, None
            with contextlib.suppress(OSError):  # Python would try once more
                os.dup2(os.open(os.devnull, os.O_WRONLY), number)
    if status == DONE and console_problem():
        error_console.print(f"gaborsplat: not all was printed: {console_problem()}")
        status = FAILED
    if status == INTERRUPTED:
        os._exit(status)  # waits for nobody, were it a checkpoint that is being written
    return status


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns its exit status: 0 done; 2 bad usage or input and 1 anything else,
    each with one line on stderr; 130 after Ctrl-C, with everything saved."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    show_traceback = "--traceback" in words
    words = [word for word in words if word != "--traceback"]
    if threading.current_thread() is threading.main_thread():
        # A shell without job control starts background programs deaf to Ctrl-C.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        parse(words).run()
    except KeyboardInterrupt:
        return INTERRUPTED
    except SystemExit as end:  # --help
        return end.code if isinstance(end.code, int) else FAILED
    except Exception as error:
        ended = isinstance(error, TrainingEnded)
        line = str(error) if ended else one_line(error)
        told = isinstance(error, InputError | OSError) or (ended and error.__cause__ is None)
        if not (told or show_traceback):
            line += " (--traceback shows where)"
        error_console.print(f"gaborsplat: {line}")
        if show_traceback:
            traceback.print_exc()
        return BAD_INPUT if isinstance(error, InputError) else FAILED
    return DONE


def parse(words: Sequence[str]) -> Any:
    """The command that `words` spell.

    Raises:
        InputError: they spell none, or one of its values is out of range.
        SystemExit: --help was asked for, and given.
    """
    if words[:1] == ["render"]:
        words = in_few_words(words)
    command = _parse_strictly(Command, words)
    if isinstance(command, TrainCommand) and command.resume:
        # Settings come from the run; what stands on this line goes over them.
        return _parse_strictly(TrainCommand, words[1:], default=resumed(command))
    return command


def _parse_strictly(kind: Any, words: Sequence[str], **options: Any) -> Any:
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(kind, args=words, prog="gaborsplat", description=DESCRIPTION, **options)
    except SystemExit as end:
        if end.code == 0:
            raise
        raise InputError(_unboxed(complaint.getvalue())) from None
    except ValueError as error:  # a rule of a settings dataclass
        raise InputError(str(error)) from error


_OF_A_CLASS = re.compile(r"^Error parsing [A-Z]\w*[a-z]\w*: ")
"""Classes have small letters; an option begins with a dash, and what has no option has none."""


def _unboxed(box: str) -> str:
    """tyro's boxed complaint without the box, its title, the name of the class whose rule was
    broken, and its advice on help."""
    lines = [line.strip("│╭╮╰╯|+ ") for line in box.splitlines()[1:]]
    groups = itertools.groupby(lines, key=lambda line: not line.strip("─-"))
    parts = [" ".join(" ".join(group).split()) for is_ruler, group in groups if not is_ruler]
    told = [part for part in parts if not part.startswith("For full helptext")]
    return f"{_OF_A_CLASS.sub('', '; '.join(told))} (see gaborsplat --help)"
