"""``captum-ext methods`` and ``captum-ext metrics``: what there is, and what it takes."""

from __future__ import annotations

import argparse
from typing import Any

from captum_ext.choices import EMBEDDED, TRIAL_PASSES
from captum_ext.cli.model_options import add_model_options


def add_methods(commands: Any) -> None:
    """Adds the command to the parsers of all."""
    listing = commands.add_parser("methods", help="list the methods, or show what one takes")
    listing.add_argument(
        "name", nargs="?", metavar="NAME", help="of a method, or package.module:SPEC"
    )
    listing.add_argument("--json", action="store_true", help="as JSON")
    trial = listing.add_argument_group(
        "a model", "run every method on it once: which keep their promises, which do not, and why"
    )
    add_model_options(trial, required=False)
    trial.add_argument(
        "--image", default=EMBEDDED[2], help=f"a file, or one of {', '.join(EMBEDDED)}"
    )
    trial.add_argument("--target", metavar="N|LABEL", help="a class (default: the predicted one)")
    trial.add_argument("--layer", metavar="NAME", help="for methods that look into one")
    trial.add_argument("--references", metavar="FOLDER", help="pictures of other classes")
    trial.add_argument(
        "--passes", type=int, default=TRIAL_PASSES, metavar="N", help="that each method may take"
    )
    trial.add_argument(
        "--strict", action="store_true", help="exit code 1 where a method breaks its promise"
    )
    listing.set_defaults(run=_run_methods)


def add_metrics(commands: Any) -> None:
    """Adds the command to the parsers of all."""
    listing = commands.add_parser("metrics", help="list the metrics, or show what one takes")
    listing.add_argument(
        "name", nargs="?", metavar="NAME", help="of a metric, or package.module:METRIC"
    )
    listing.add_argument("--json", action="store_true", help="as JSON")
    listing.set_defaults(run=_run_metrics)


def _run_methods(args: argparse.Namespace) -> int:
    from captum_ext.cli.facts import run_methods

    return run_methods(args)


def _run_metrics(args: argparse.Namespace) -> int:
    from captum_ext.cli.facts import run_metrics

    return run_metrics(args)
