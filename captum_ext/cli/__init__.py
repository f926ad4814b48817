"""The command ``captum-ext``: lists methods and metrics, explains, runs the exam and studies."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from captum_ext import __version__
from captum_ext.cli.common import BAD_INPUT, INTERRUPTED, reason_of
from captum_ext.cli.exam import add_exam
from captum_ext.cli.explain import add_explain
from captum_ext.cli.listing import add_methods, add_metrics
from captum_ext.cli.streams import lasting_streams
from captum_ext.cli.study import add_report, add_study
from captum_ext.value_checks import printable

__all__ = ["main"]


class _OneLineParser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"{self.prog}: error: {printable(message)}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        argv: its arguments; None takes those of the process.

    Returns:
        The exit code: 0; 1 where some of what was asked for failed; 2 for bad input, and where
        nothing came out; 130 when interrupted. An error is one line; with ``python -X dev``, one
        that is no bad input keeps its traceback.

    Example:
        >>> main(["exam", "--methods", "salency"])
        2
    """
    with lasting_streams():
        args = _parser().parse_args(argv)
        try:
            code: int = args.run(args)
            sys.stdout.flush()
        except KeyboardInterrupt:
            print(f"captum-ext {args.command}: interrupted", file=sys.stderr)
            return INTERRUPTED
        except BaseException as error:
            # A model or method may raise anything, and even exit().
            if sys.flags.dev_mode and not isinstance(error, ValueError | OSError | MemoryError):
                raise
            print(f"captum-ext {args.command}: error: {reason_of(error)}", file=sys.stderr)
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
