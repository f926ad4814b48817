"""Which method to take where none is asked for: all registered ones, at equal cost.

    python -m benchmarks.default_method --images FOLDER [--model squeezenet1_0]
        [--weights imagenet] [--size 224] [--passes 500] [--out default_method]

Every method explains each image's highest class with at most ``--passes`` forward and backward
passes: those that have a number of samples, steps or generations get as many as that allows, the
others are as they are. Methods that need gradients explain the class's logit; those that only run
the model explain the logit and, from the same passes, the probability. Methods that want references
get the other images. The metric is SRG of the probability, pixel by pixel, in ten steps, pixels
fading into the image's mean color.

A source is an image file, a folder of them, an ``.npz`` of images and labels, or one of
scikit-image's photographs. Rows go to ``default_method.csv`` as they are found, and what is in
there is not computed again. The table is printed at the end.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.mask_attributions import windows
from benchmarks.record import Record, case_of, gather
from benchmarks.side_by_side import with_error
from benchmarks.subjects import (
    add_arguments,
    at_least,
    fingerprint,
    load_model,
    pictures,
)
from captum_ext import MethodSpec, Need, explain, methods
from captum_ext.attr import SegmentPda
from captum_ext.forward import Remembered, count_passes
from captum_ext.metrics import srg
from captum_ext.perturbation import SingleFeatureSampler

#: Other images, for methods that want references.
REFERENCES = 6
#: Cells of the grid that Captum's methods take for photographs.
CELLS = 49
#: Draws for each window of PDA; about as many segments as SegmentPda has.
DRAWS, SEGMENTS = 3, 200
POPULATION = 50


@dataclass(frozen=True)
class Case:
    """What identifies a row.

    Attributes:
        image: its name.
        pixels: its fingerprint, as the model sees it.
        references: fingerprint of the other images.
        model: its name.
        weights: fingerprint of its parameters.
        method: what is examined.
        output: what it explains, ``"logit"`` or ``"probability"``.
        budget: passes that are allowed.
    """

    image: str
    pixels: str
    references: str
    model: str
    weights: str
    method: str
    output: str
    budget: int


@dataclass(frozen=True)
class Row(Case):
    """A case and what came out."""

    target: int
    forward: int
    backward: int
    srg: float

    @property
    def case(self) -> Case:
        return case_of(self, Case)


def within(budget: int, spec: MethodSpec, image: Tensor, references: Tensor) -> MethodSpec:
    """The method, with defaults that cost no more than a budget of passes."""
    window, stride = windows(image.shape[2], image.shape[3], budget)
    large, apart = windows(image.shape[2], image.shape[3], budget // DRAWS)
    settings: dict[str, dict[str, Any]] = {
        "smooth_grad": {"nt_samples": budget // 2},
        "integrated_gradients": {"n_steps": budget // 2},
        "image_ig": {"n_steps": budget // 2},
        "gradient_shap": {"n_samples": budget // 2, "baselines": references},
        "deep_lift_shap": {"baselines": references},
        "occlusion": {"sliding_window_shapes": (3, window, window), "strides": (3, stride, stride)},
        "lime": {"n_samples": budget},
        "kernel_shap": {"n_samples": budget},
        "shapley_value_sampling": {"n_samples": budget // CELLS},
        "guided_ig": {"n_steps": budget // 2},
        "blur_ig": {"n_steps": budget // 2},
        "xrai": {"n_steps": budget // 4},
        # A point of a path takes a forward and two backward passes.
        "ig2": {"n_steps": budget // (3 * len(references)), "baselines": references},
        "genetic_ipha": {"n_generations": budget // POPULATION - 1},
        "meaningful_perturbation": {"n_steps": budget // 2 - 5},
        "pda": {
            "sliding_window_shapes": (3, large, large),
            "strides": (3, apart, apart),
            "n_samples": DRAWS,
        },
        "rise": {"n_samples": budget},
        "segment_lime": {"n_samples": budget},
        "segment_shap": {"n_samples": budget},
    }
    defaults = spec.arguments(image) | settings.get(spec.name, {})
    build = spec.build
    if spec.name == "segment_pda":
        sampler = SingleFeatureSampler(add_none=True, repeats=max(1, budget // SEGMENTS))
        build = partial(SegmentPda, sampler=sampler)
    return replace(spec, defaults=lambda *_: defaults, build=build)


def outputs_of(spec: MethodSpec) -> tuple[str, ...]:
    """Which outputs of the model a method explains here."""
    if Need.GRADIENTS in spec.needs:
        return ("logit",)
    return ("probability",) if Need.PROBABILITIES in spec.needs else ("logit", "probability")


class Asked(nn.Module):
    """A model that gives logits, or the probabilities."""

    def __init__(self, logits: nn.Module, output: str) -> None:
        super().__init__()
        self.logits = logits
        self.output = output

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.logits(images)
        return logits if self.output == "logit" else logits.softmax(1)


def rows_of(
    model: nn.Module,
    image: Tensor,
    target: int,
    references: Tensor,
    spec: MethodSpec,
    cases: Sequence[Case],
) -> Iterator[Row]:
    """The rows of cases that differ in the output only."""
    remembered = Remembered(model)
    for case in cases:
        method = within(case.budget, spec, image, references)
        asked = model if Need.GRADIENTS in spec.needs else Asked(remembered, case.output)
        with count_passes(asked) as passes:
            heat = explain(asked, image, target, method)
        gain = float(srg(Asked(model, "probability"), image, heat, target))
        yield Row(
            **asdict(case),
            target=target,
            forward=passes.forward,
            backward=passes.backward,
            srg=gain,
        )


def table(rows: Sequence[Row]) -> str:
    """Means over the images, with the standard error of SRG; the best first."""
    lines = [f"{'':26}{'explains':13}{'images':>6}{'forward':>9}{'backward':>9}{'SRG':>17}"]
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.method, row.output), []).append(row)
    for (method, output), own in sorted(
        groups.items(), key=lambda item: -mean(row.srg for row in item[1])
    ):
        lines.append(
            f"{method:26}{output:13}{len(own):6}{mean(row.forward for row in own):9.0f}"
            f"{mean(row.backward for row in own):9.0f}"
            f"{with_error([row.srg for row in own]):>17}"
        )
    return "\n".join(lines)


def rows(args: argparse.Namespace) -> Iterator[Row]:
    """All rows that were asked for: those of the record, and the others, which it then has too."""
    model = load_model(args.model, args.weights)
    found = [each for source in args.images for each in pictures(source, args.size)]
    if len(found) < 3:
        raise ValueError(
            f"images must be at least 3, which are each other's references; got {len(found)}"
        )
    args.out.mkdir(parents=True, exist_ok=True)
    record = Record(args.out / "default_method.csv", Row)
    weights = fingerprint(*model.state_dict().values())
    for number, picture in enumerate(found):
        # Those that follow, in a circle.
        others = [found[(number + step) % len(found)].image for step in range(1, REFERENCES + 1)]
        references = torch.stack(others[: len(found) - 1])
        identity = (picture.name, fingerprint(picture.image), fingerprint(references))
        image = picture.image[None]
        with torch.no_grad():
            target = int(model(image).argmax())
        for spec in methods():
            cases = [
                Case(*identity, args.model, weights, spec.name, output, args.passes)
                for output in outputs_of(spec)
            ]
            missing = [case for case in cases if case not in record.rows]
            if missing:
                print(f"{number + 1}/{len(found)} {picture.name}: {spec.title}", file=sys.stderr)
                for row in rows_of(model, image, target, references, spec, missing):
                    record.add(row)
            yield from (record.rows[case] for case in cases)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add_arguments(parser)
    parser.add_argument("--size", type=at_least(32), default=224, help="pixels of a side")
    parser.add_argument("--passes", type=at_least(2 * POPULATION), default=500, help="at most")
    parser.add_argument("--out", type=Path, default=Path("default_method"), help="output folder")
    args = parser.parse_args()
    print(table(gather(parser, rows(args))))
    print(f"written to {args.out}: default_method.csv")


if __name__ == "__main__":
    main()
