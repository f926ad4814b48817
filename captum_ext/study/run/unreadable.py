"""Finds the images of a study that cannot be read, or that a model cannot see."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import Tensor

from captum_ext.checks import one_line
from captum_ext.study.define.cache import StudyCache
from captum_ext.study.define.images import mask_of
from captum_ext.study.define.study import Study
from captum_ext.study.plan.tasks import Plan


def unreadable_images(study: Study, plan: Plan, cache: StudyCache) -> list[str]:
    """Decodes every image, reference and mask of a study, and shows it to every model.

    Args:
        study, plan, cache: of :func:`captum_ext.study.plan_of`.

    Returns:
        A line for each image that cannot be read, or that a model cannot see.

    Example:
        >>> from pathlib import Path
        >>> from captum_ext.study import EmbeddedImage, FileImage, MethodEntry, MetricEntry
        >>> from captum_ext.study import ModelEntry, plan_of
        >>> study = Study(
        ...     "Edges",
        ...     [ModelEntry.exam("center_pixel", size=9)],
        ...     [EmbeddedImage("coffee"), FileImage("cat", Path("none.png"))],
        ...     [MethodEntry("saliency")],
        ...     [MetricEntry("gini")],
        ... )
        >>> cache = StudyCache()
        >>> unreadable_images(study, plan_of(study, cache), cache)
        ["image 'cat': image 'none.png' does not exist; give a path or one of ..."]
    """
    reads: dict[str, Callable[[], Tensor]] = {}
    for image in study.images:
        reads[f"image {image.name!r}"] = image.read
    for image in () if isinstance(study.references, str) else study.references or ():
        reads[f"reference {image.name!r}"] = image.read
    for name, path in study.masks.items():
        reads[f"mask of image {name!r}"] = partial(mask_of, path)
    found = _failing({what: (read, _nothing) for what, read in reads.items()})
    readable = {what: read for what, read in reads.items() if what not in found}
    lines = [f"{what}: {why}" for what, why in found.items()]
    fingerprints = {task.model.name: task.fingerprint for task in plan.tasks}
    for entry in study.models:
        if entry.name not in fingerprints:
            continue
        subject = cache.subject(entry, fingerprints[entry.name])
        unseen = _failing(
            {
                what: (read, subject.see_mask if what.startswith("mask") else subject.see)
                for what, read in readable.items()
            }
        )
        if len(unseen) == len(readable) and len(set(unseen.values())) == 1:
            lines.append(f"model {entry.name!r} can see no image: {next(iter(unseen.values()))}")
        else:
            lines += [f"{what} on model {entry.name!r}: {why}" for what, why in unseen.items()]
    return lines


def _nothing(pixels: Tensor) -> None:
    """For images that are only decoded."""


def _failing(
    looks: Mapping[str, tuple[Callable[[], Tensor], Callable[[Tensor], Any]]],
) -> dict[str, str]:
    """The errors of those that cannot be read, or seen."""
    errors = {}
    for what, (read, see) in looks.items():
        try:
            see(read())
        except Exception as error:
            errors[what] = one_line(error)
    return errors
