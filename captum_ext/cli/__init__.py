"""The command ``captum-ext``: lists methods and metrics, explains, runs the exam and studies."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from typing import NoReturn

from captum_ext import __version__
from captum_ext.cli.common import BAD_INPUT, flush_output, say
from captum_ext.cli.exam import add_exam
from captum_ext.cli.explain import add_explain
from captum_ext.cli.listing import add_methods, add_metrics
from captum_ext.cli.study import add_report, add_study

__all__ = ["main"]


class _OneLineParser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"{self.prog}: error: {message}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        argv: its arguments; None takes those of the process.

    Returns:
        The exit code: 0, 2 for bad input, 130 when interrupted.

    Example:
        >>> main(["exam", "--methods", "salency"])
        2
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # LRP-ε on a terminal without Greek
    try:
        return _run(_parser().parse_args(argv))
    except BrokenPipeError:
        return 0
    finally:
        flush_output()


def _run(args: argparse.Namespace) -> int:
    try:
        code: int = args.run(args)
    except BrokenPipeError:
        raise
    except (ValueError, OSError, MemoryError) as error:
        message = " ".join(str(error).split()) or "not enough memory"
        say(f"captum-ext {args.command}: error: {message}", error=True)
        return BAD_INPUT
    return code


def _parser() -> argparse.ArgumentParser:
    parser = _OneLineParser(
        prog="captum-ext",
        description="Attribution methods that Captum and PAIR saliency lack, and an exam for all.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    add_methods(commands)
    add_metrics(commands)
    add_explain(commands)
    add_exam(commands)
    add_study(commands)
    add_report(commands)
    return parser
