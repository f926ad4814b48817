"""``captum-ext methods`` and ``captum-ext metrics``: what there is, and what it takes."""

from __future__ import annotations

import argparse
from typing import Any


def add_methods(commands: Any) -> None:
    """Adds the command to the parsers of all."""
    listing = commands.add_parser("methods", help="list the methods, or show what one takes")
    listing.add_argument(
        "name", nargs="?", metavar="NAME", help="of a method, or package.module:SPEC"
    )
    listing.add_argument("--json", action="store_true", help="as JSON")
    listing.add_argument("--model", help="say which work on this model, as of explain, and why not")
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
