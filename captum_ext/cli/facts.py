"""What ``captum-ext methods`` and ``captum-ext metrics`` print."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import torch
from tqdm.auto import tqdm

from captum_ext.checks import MOST_ROWS, check_int, one_line
from captum_ext.cli.common import FAILED_IN_PART, bad_input
from captum_ext.cli.model_options import load_chosen_model
from captum_ext.image_files import read_image
from captum_ext.models import Classifier
from captum_ext.registry import as_metric, as_spec, methods, metrics
from captum_ext.results import aligned
from captum_ext.signatures import Argument, arguments_of, functions_of, takes_any
from captum_ext.spec import MethodSpec

#: What each method takes, and few describe.
_COMMON = {
    "target": "which output is explained, in Captum's forms",
    "additional_forward_args": "what else the model takes",
    "show_progress": "a bar on stderr",
}


def run_methods(args: argparse.Namespace) -> int:
    """Lists the methods, or shows one; gives the exit code."""
    with bad_input():
        specs = methods() if args.name is None else [as_spec(args.name)]
        check_int(args.passes, "passes", 1, MOST_ROWS)
    if args.model:
        return _examine(args, specs)
    facts = [spec.as_dict() for spec in specs]
    if args.name is not None:
        _show(facts[0], _arguments(specs[0]), args.json)
    elif args.json:
        print(json.dumps(facts, indent=1))
    else:
        for spec in specs:
            needs = ", ".join(sorted(need.value for need in spec.needs)) or "any function"
            print(f"{spec.name:24}{spec.family:14}{needs:32}{spec.paper}")
    return 0


def _examine(args: argparse.Namespace, specs: Sequence[MethodSpec]) -> int:
    """Runs methods on a model; gives the exit code."""
    from captum_ext.examination import BREAKS, examine

    with bad_input():
        model = _loaded(args)
        image = read_image(args.image)
        with tqdm(total=len(specs), unit="method", file=sys.stderr, leave=False) as bar:
            verdicts = examine(
                model,
                model.see(image),
                args.target,
                methods=specs,
                references=args.references,
                layer=args.layer,
                passes=args.passes,
                on_start=lambda spec: _step(bar, spec),
            )
    if args.json:
        print(json.dumps([verdict.as_dict() for verdict in verdicts], indent=1))
    else:
        print(verdicts)
    return FAILED_IN_PART if args.strict and verdicts.of(BREAKS) else 0


def _step(bar: tqdm[Any], spec: MethodSpec) -> None:
    bar.set_description(spec.name)
    bar.update()


def _loaded(args: argparse.Namespace) -> Classifier:
    """The model; with random weights where its own are out of reach and none were named."""
    try:
        return load_chosen_model(args)
    except ValueError as error:
        if args.weights != "DEFAULT":
            raise
        args.weights = "none"
        model = load_chosen_model(args)
        print(f"random weights, since {one_line(error)}", file=sys.stderr)
        return model


def run_metrics(args: argparse.Namespace) -> int:
    """Lists the metrics, or shows one; gives the exit code."""
    if args.name is not None:
        with bad_input():
            spec = as_metric(args.name)
        _show(spec.as_dict(), spec.arguments(), args.json)
    elif args.json:
        print(json.dumps([spec.as_dict() for spec in metrics()], indent=1))
    else:
        for spec in metrics():
            needs = ", ".join(sorted(map(str, spec.needs))) or "-"
            print(f"{spec.name:24}{spec.direction:8}{needs:16}{spec.about} ({spec.source})")
    return 0


def _arguments(spec: MethodSpec) -> list[Argument]:
    """What ``attribute()`` takes beside the inputs; defaults that depend on the image say so."""
    chosen = spec.arguments(torch.zeros(1, 3, 32, 32))
    functions = functions_of(spec.attribution, "attribute")
    if takes_any(functions[-1]):
        # A noise tunnel hands keywords on to the method inside.
        inner = getattr(spec.specimen(), "attribution_method", None)
        functions += functions_of(type(inner), "attribute")
    return [
        replace(
            argument,
            default="by the image" if argument.name in chosen else argument.default,
            about=argument.about or _COMMON.get(argument.name, ""),
        )
        for argument in arguments_of(*functions)
        if argument.name != "inputs"
    ]


def _show(facts: dict[str, Any], arguments: Sequence[Argument], as_json: bool) -> None:
    """What is known of a method or metric, and a line for each of its arguments."""
    if as_json:
        print(json.dumps(facts | {"arguments": [*map(asdict, arguments)]}, indent=1))
        return
    for name, value in facts.items():
        if value is not None:
            values = value if isinstance(value, list) else [value]
            line = ", ".join("unbounded" if each is None else str(each) for each in values)
            print(f"{name:16}{line or '-'}")
    rows = [
        (each.name, each.default or "must be given", each.type, each.about) for each in arguments
    ]
    if rows:
        print("", *aligned(("argument", "default", "type", "about"), rows, range(4)), sep="\n")
