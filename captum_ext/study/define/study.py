"""A study: the grid that is to be computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from captum_ext.checks import check_int, described
from captum_ext.study.define.entries import MethodEntry, MetricEntry, ModelEntry
from captum_ext.study.define.images import StudyImage, check_names
from captum_ext.study.define.models import LABEL, PREDICTED
from captum_ext.study.plan.code import DECISIVE, version_of

#: References that are the other images of the study.
OTHERS = "others"
#: How many of the others each image is compared with.
MOST_OTHERS = 6


@dataclass(frozen=True)
class Study:
    """A grid of models, images, methods, metrics and seeds.

    Args:
        title: for people.
        models, images, methods, metrics: at least one of each, with names of their own.
        seeds: of what is drawn; what does not depend on them is computed once.
        passes: that each method may take at most for a heat map, but for those with a limit of
            their own.
        target: what is explained: ``"predicted"``, each image's highest class; ``"label"``, the one
            that the image comes with; or a class's number or name.
        references: images of other classes, for the methods that compare with these; or
            ``"others"``: for each image the up to six that follow it in the study.
        masks: files that show where the object is, by the image's name.
        keep_attributions: write each attribution into the folder's ``attributions/``.
        gallery: of how many images, the first ones, to keep small pictures for the report.
        settings: the study as its file has it, plain values for the report.

    Raises:
        ValueError: nothing of one kind, two of a name, an invalid target, invalid masks, passes
            for a method of unknown cost.

    Example:
        >>> from captum_ext.study import EmbeddedImage
        >>> study = Study(
        ...     "Edges",
        ...     models=[ModelEntry.exam("center_pixel", size=9)],
        ...     images=[EmbeddedImage("coffee")],
        ...     methods=[MethodEntry("saliency"), MethodEntry("occlusion")],
        ...     metrics=[MetricEntry("gini"), MetricEntry("pointing_game")],
        ... )
        >>> study.n_cells
        4
    """

    title: str
    models: Sequence[ModelEntry]
    images: Sequence[StudyImage]
    methods: Sequence[MethodEntry]
    metrics: Sequence[MetricEntry]
    seeds: Sequence[int] = (0,)
    passes: int | None = None
    target: int | str = PREDICTED
    references: Sequence[StudyImage] | str | None = None
    masks: Mapping[str, Path] = field(default_factory=dict)
    keep_attributions: bool = False
    gallery: int = 24
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for what in ("models", "images", "methods", "metrics"):
            entries: Sequence[Any] = getattr(self, what)
            if not entries:
                raise ValueError(f"{what} must hold at least one; got none")
            check_names([entry.name for entry in entries], what)
        check_title(self.title, "title")
        for entry in self.methods:
            check_title(entry.title, f"title of method {entry.name!r}")
        if self.passes is not None:
            limited = [
                replace(entry, passes=self.passes) if entry.passes is None else entry
                for entry in self.methods
            ]
            object.__setattr__(self, "methods", limited)
        for seed in self.seeds:
            if check_int(seed, "seeds", minimum=0) >= 2**32:
                raise ValueError(f"seeds must be from 0 to {2**32 - 1}; got {described(seed)}")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(
                f"seeds must be different numbers, at least one; got {described(self.seeds)}"
            )
        check_int(self.gallery, "gallery", minimum=0)
        self._check_target()
        if isinstance(self.references, str) and self.references != OTHERS:
            raise ValueError(f"references must be images or {OTHERS!r}; got {self.references!r}")
        if self.references == OTHERS and len(self.images) < 2:
            raise ValueError("references can be the other images where there are two or more")
        strange = sorted(set(self.masks) - {image.name for image in self.images})
        if strange:
            raise ValueError(f"masks must be of images of the study; got one of {strange[0]!r}")

    def _check_target(self) -> None:
        if self.target != LABEL:
            return
        without = [image.name for image in self.images if image.label is None]
        if without:
            raise ValueError(
                f"target {LABEL!r} asks for images with labels, as an .npz has them; "
                f"{without[0]!r} has none"
            )

    @property
    def n_cells(self) -> int:
        """How many cells the table will have."""
        grid = (self.models, self.images, self.methods, self.metrics, self.seeds)
        count = 1
        for entries in grid:
            count *= len(entries)
        return count

    def references_of(self, number: int) -> Sequence[StudyImage]:
        """What the image of a number is compared with."""
        if isinstance(self.references, str):
            others = [*self.images[number + 1 :], *self.images[:number]]
            return others[:MOST_OTHERS]
        return self.references or ()

    def target_of(self, image: StudyImage) -> int | str:
        """What is explained of an image."""
        return image.label if self.target == LABEL and image.label is not None else self.target


def check_title(title: Any, what: str) -> None:
    """Refuses a title that is no text on one line.

    Raises:
        TypeError, ValueError: it says which.

    Example:
        >>> check_title("Edges", "title")
    """
    if not isinstance(title, str):
        raise TypeError(f"{what} must be a text; got {described(title)}")
    if not title.isprintable():
        raise ValueError(
            f"{what} must be on one line, without control characters; got {described(title)}"
        )


def decisive_versions() -> dict[str, str]:
    """The versions that a cell's key has in it, with digests of code that has none.

    Example:
        >>> sorted(decisive_versions())
        ['captum', 'captum_ext', 'saliency', 'scikit-image', 'torch']
    """
    return {name: version_of(name) for name in DECISIVE}
