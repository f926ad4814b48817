"""How fast the engine and the methods are: ratios measured side by side in one run.

    python -m benchmarks.speed [--samples 2000] [--rise-samples 8000] [--pda-size 227]
        [--repeats 5] [--only PART ...] [--json FILE]

The model is torchvision's SqueezeNet 1.0 with random weights at 224 x 224 (speed does not depend on
the weights), for the search of masks a ResNet-20 at 32 x 32. Rivals run in turn, A B A B ..., and a
ratio is taken within each pair, so that a machine whose speed drifts does not favor one of them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks.speed.checks import PASSES, checked_answers
from benchmarks.speed.classes import SAMPLES, several_classes
from benchmarks.speed.engine import choices, share_in_model
from benchmarks.speed.masks import mask_search
from benchmarks.speed.paths import path_methods
from benchmarks.speed.prediction_difference import center_pixel_map
from benchmarks.speed.segments import GRID, SHAP_SAMPLES, kernel_shap, occlusion_metric
from benchmarks.speed.studies import studies
from benchmarks.speed.timing import Row
from captum_ext.checks import check_choice
from captum_ext.results import versions


def measure(args: argparse.Namespace) -> Iterator[Row]:
    """All figures, each as soon as it is there."""
    repeats = args.repeats
    few = max(20, min(SAMPLES, args.samples))
    parts: dict[str, Callable[[], Iterable[Row]]] = {
        "engine": lambda: share_in_model(
            args.samples, args.rise_samples, args.pda_samples, repeats
        ),
        "choices": lambda: choices(repeats),
        "pda": lambda: center_pixel_map(args.pda_size, repeats),
        "masks": lambda: mask_search(repeats),
        "shap": lambda: kernel_shap(repeats, max(2 * GRID**2, min(SHAP_SAMPLES, args.samples))),
        "srg": lambda: occlusion_metric(repeats),
        "paths": lambda: path_methods(repeats),
        "classes": lambda: several_classes(repeats, few),
        "checks": lambda: checked_answers(repeats, max(100, min(PASSES, args.samples))),
        "studies": lambda: studies(repeats, few),
    }
    for name in args.only or parts:
        yield from parts[check_choice(name, "part", parts)]()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--samples", type=int, default=2000, help="of the long run")
    parser.add_argument("--rise-samples", type=int, default=8000, help="of RISE's long run")
    parser.add_argument("--pda-samples", type=int, default=10, help="of each of PDA's windows")
    parser.add_argument("--pda-size", type=int, default=227, help="pixels of PDA's exam image")
    parser.add_argument("--repeats", type=int, default=5, help="pairs, and processes")
    parser.add_argument("--only", nargs="+", metavar="PART", help="engine, masks, studies, ...")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    args = parser.parse_args()
    if args.repeats < 1:
        parser.error(f"--repeats must be at least 1; got {args.repeats}")
    print(f"{'':66}{'median':>10} {'':6}(range)", flush=True)
    rows = []
    for row in measure(args):
        rows.append(row)
        print(row, flush=True)
        if args.json is not None:
            content = {
                "versions": versions(),
                "threads": torch.get_num_threads(),
                "rows": [asdict(row) for row in rows],
            }
            args.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
