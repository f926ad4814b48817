"""The command ``captum-ext``: lists the methods, explains pictures, runs the exam and studies."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from captum_ext import __version__
from captum_ext.cli.common import BAD_INPUT, bad_input
from captum_ext.cli.exam import add_exam
from captum_ext.cli.explain import add_explain
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
    args = _parser().parse_args(argv)
    try:
        code: int = args.run(args)
    except BrokenPipeError:
        # The reader of our output has left (`| head`); Python flushes once more at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError, MemoryError) as error:
        message = " ".join(str(error).split()) or "not enough memory"
        print(f"captum-ext {args.command}: error: {message}", file=sys.stderr)
        return BAD_INPUT
    return code


def _parser() -> argparse.ArgumentParser:
    parser = _OneLineParser(
        prog="captum-ext",
        description="Attribution methods that Captum and PAIR saliency lack, and an exam for all.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("methods", help="list the registered methods")
    listing.add_argument("--json", action="store_true", help="as JSON")
    listing.add_argument("--model", help="say which work on this model, as of explain, and why not")
    listing.set_defaults(run=_run_methods)
    add_explain(commands)
    add_exam(commands)
    add_study(commands)
    add_report(commands)
    return parser


def _run_methods(args: argparse.Namespace) -> int:
    from captum_ext.models import load_model
    from captum_ext.registry import methods

    # Which layers it has does not depend on its weights.
    with bad_input():
        model = load_model(args.model, "none", device="cpu") if args.model else None
    problems = {spec.name: spec.problem_with(model) if model else None for spec in methods()}
    if args.json:
        facts = [spec.as_dict() | {"problem": problems[spec.name]} for spec in methods()]
        print(json.dumps(facts, indent=1))
        return 0
    for spec in methods():
        needs = ", ".join(sorted(need.value for need in spec.needs)) or "any function"
        verdict = problems[spec.name] or "works" if model else spec.paper
        print(f"{spec.name:24}{spec.family:14}{needs:32}{verdict}")
    return 0
