"""From a study to its cells, each with a key: a digest of everything that determines it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from captum_ext.checks import one_line
from captum_ext.study.definition import Study, decisive_versions
from captum_ext.study.digest import digest_of, digest_of_bytes
from captum_ext.study.entries import MethodEntry, MetricEntry, ModelEntry
from captum_ext.study.images import StudyImage
from captum_ext.study.laboratory import Laboratory
from captum_ext.study.subjects import PREDICTED, Subject

#: By which seed what draws nothing is known, whatever seeds a study has.
NO_SEED = 0


class Cell(NamedTuple):
    """A cell of the table: names, and the key of what belongs there."""

    model: str
    image: str
    method: str
    metric: str
    seed: int
    key: str


@dataclass(frozen=True)
class Asked:
    """A method in a task, and the metrics that its attribution is measured by.

    Attributes:
        entry: the method.
        key: of the attribution.
        metrics: each with the key of its cell.
    """

    entry: MethodEntry
    key: str
    metrics: Sequence[tuple[MetricEntry, str]]


@dataclass(frozen=True)
class Task:
    """What is computed at a time: one attribution, or several that share model passes.

    It holds all that another process needs to know.

    Attributes:
        key: tells tasks apart.
        model, image, seed: which.
        fingerprint, digest: of the model and the image, as they were when the study was planned.
        target: what is explained.
        asked: the methods.
        references: images that methods compare with.
        mask: file that shows where the object is.
        reference_digests, mask_digest: of these, likewise.
        versions: of the packages that it was planned with.
        gallery: whether small pictures are wanted.
        keep: whether the attribution is wanted.
    """

    key: str
    model: ModelEntry
    image: StudyImage
    seed: int
    fingerprint: str
    digest: str
    target: int | str
    asked: Sequence[Asked]
    references: Sequence[StudyImage] = ()
    reference_digests: Sequence[str] = ()
    mask: Path | None = None
    mask_digest: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    gallery: bool = False
    keep: bool = False

    @property
    def keys(self) -> list[str]:
        """Of its cells."""
        return [key for asked in self.asked for _, key in asked.metrics]

    def without(self, keys: set[str]) -> Task:
        """The same task without cells of these keys.

        Raises:
            ValueError: none is left.
        """
        kept = []
        for asked in self.asked:
            metrics = [(metric, key) for metric, key in asked.metrics if key not in keys]
            if metrics:
                kept.append(replace(asked, metrics=metrics))
        if not kept:
            raise ValueError("keys must leave something to do")
        return replace(self, asked=kept)


@dataclass(frozen=True)
class Plan:
    """All cells of a study in order, the tasks that fill them, and what identifies the study.

    Attributes:
        cells: of the table.
        tasks: of which no two have a cell in common.
        identity: plain values; another study has others.
        notes: what is odd about the study, though it can run.
    """

    cells: list[Cell]
    tasks: list[Task]
    identity: dict[str, Any]
    notes: list[str]


def plan_of(study: Study, laboratory: Laboratory | None = None) -> Plan:
    """Plans a study, after a look at all that it names.

    Args:
        study: the study.
        laboratory: that has its models; None makes one.

    Raises:
        TypeError, ValueError: a model that cannot be had; a class, setting or layer that there is
            not; a method that works on none of the models.

    Example:
        >>> from captum_ext.study import EmbeddedImage
        >>> study = Study(
        ...     "Edges",
        ...     [ModelEntry.exam("center_pixel", size=9)],
        ...     [EmbeddedImage("coffee"), EmbeddedImage("rocket")],
        ...     [MethodEntry("saliency")],
        ...     [MetricEntry("gini")],
        ... )
        >>> plan = plan_of(study)
        >>> len(plan.cells), len(plan.tasks)
        (2, 2)
    """
    planner = _Planner(study, laboratory or Laboratory())
    planner.look()
    cells: list[Cell] = []
    tasks: list[Task] = []
    for model in study.models:
        for number in range(len(study.images)):
            for seed in study.seeds:
                asked = planner.asked(model, number, seed)
                cells += planner.cells(model, number, seed, asked)
                tasks += planner.tasks(model, number, seed, asked)
    return Plan(cells, _without_doubles(tasks), planner.identity(), planner.notes)


class _Planner:
    """What is known of a study's parts, once they have been looked at."""

    def __init__(self, study: Study, laboratory: Laboratory) -> None:
        self.study = study
        self.laboratory = laboratory
        self.versions = decisive_versions()
        self.notes: list[str] = []
        self.fingerprints: dict[str, str] = {}
        self.groups: dict[str, list[list[int]]] = {}
        self.digests = {image.name: image.digest() for image in study.images}
        self.references = dict(self.digests)
        for image in () if isinstance(study.references, str) else study.references or ():
            # Of one name with an image of the study, it need not be that image.
            self.references[image.name] = image.digest()
        self.masks = {name: _file_digest(path) for name, path in study.masks.items()}
        self.methods = {entry.name: digest_of(entry.as_dict()) for entry in study.methods}
        self.metrics = {entry.name: digest_of(entry.as_dict()) for entry in study.metrics}

    def look(self) -> None:
        """Loads every model, and asks it about the methods."""
        for name, digest in self.digests.items():
            if digest.startswith("unreadable"):
                self.notes.append(f"image {name!r} is {digest}")
        problems: dict[str, dict[str, str]] = {}
        for entry in self.study.models:
            subject, self.fingerprints[entry.name] = self.laboratory.load(entry)
            for target in {self.study.target_of(image) for image in self.study.images}:
                if target != PREDICTED:
                    subject.index_of(target)
            problems[entry.name] = _check_methods(self.study, subject)
            self.groups[entry.name] = _groups(self.study, subject)
        self.notes += _notes_of(problems, len(self.study.models))

    def asked(self, model: ModelEntry, number: int, seed: int) -> list[Asked]:
        """All methods about an image, with the keys of their attributions and cells."""
        study = self.study
        image = study.images[number]
        place = (
            *(self.fingerprints[model.name], self.digests[image.name]),
            *(study.target_of(image), self.versions),
        )
        compared = self._compared(number)
        found = []
        for method in study.methods:
            used = compared if method.spec.takes_references else []
            drawn = seed if method.draws else NO_SEED
            key = digest_of(*place, self.methods[method.name], drawn, used)
            cells = [(metric, self._cell_key(key, metric, image, seed)) for metric in study.metrics]
            found.append(Asked(method, key, cells))
        return found

    def _compared(self, number: int) -> list[str]:
        """The digests of what the image of a number is compared with."""
        return [self.references[other.name] for other in self.study.references_of(number)]

    def _cell_key(self, attribution: str, metric: MetricEntry, image: StudyImage, seed: int) -> str:
        drawn = seed if metric.draws else NO_SEED
        mask = self.masks.get(image.name) if metric.known.needs_mask else None
        return digest_of(attribution, self.metrics[metric.name], drawn, mask)

    def cells(
        self, model: ModelEntry, number: int, seed: int, asked: Sequence[Asked]
    ) -> Iterator[Cell]:
        image = self.study.images[number].name
        for each in asked:
            for metric, key in each.metrics:
                yield Cell(model.name, image, each.entry.name, metric.name, seed, key)

    def tasks(
        self, model: ModelEntry, number: int, seed: int, asked: Sequence[Asked]
    ) -> Iterator[Task]:
        study, image = self.study, self.study.images[number]
        for group in self.groups[model.name]:
            yield Task(
                digest_of(image.name, [asked[method].key for method in group], seed),
                model,
                image,
                seed,
                fingerprint=self.fingerprints[model.name],
                digest=self.digests[image.name],
                target=study.target_of(image),
                asked=[asked[method] for method in group],
                references=tuple(study.references_of(number)),
                reference_digests=self._compared(number),
                mask=study.masks.get(image.name),
                mask_digest=self.masks.get(image.name),
                versions=self.versions,
                gallery=number < study.gallery,
                keep=study.keep_attributions,
            )

    def identity(self) -> dict[str, Any]:
        """What tells the study from others, as plain values."""
        study = self.study
        return {
            "models": [
                {"name": name, "fingerprint": found} for name, found in self.fingerprints.items()
            ],
            "images": [{"name": name, "digest": found} for name, found in self.digests.items()],
            "methods": [{"name": entry.name} | entry.as_dict() for entry in study.methods],
            "metrics": [{"name": entry.name} | entry.as_dict() for entry in study.metrics],
            "seeds": list(study.seeds),
            "target": study.target,
            "references": study.references
            if isinstance(study.references, str)
            else [self.references[image.name] for image in study.references or ()],
            "masks": self.masks,
            "keep_attributions": study.keep_attributions,
            "gallery": study.gallery,
            "versions": self.versions,
        }


def _check_methods(study: Study, subject: Subject) -> dict[str, str]:
    """Why methods do not work on a model.

    Raises:
        TypeError, ValueError: settings that a method does not take; an unknown layer.
    """
    problems = {}
    for entry in study.methods:
        layer = subject.layer(entry.layer)
        model = subject.fitting(entry.spec)
        problem = entry.spec.problem_with(model, layer)
        if problem is None:
            entry.check(model, layer)
        else:
            problems[entry.name] = problem
    return problems


def _notes_of(problems: dict[str, dict[str, str]], n_models: int) -> list[str]:
    """A line for each method that does not work on a model.

    Raises:
        ValueError: it works on none.
    """
    notes = []
    for model, own in problems.items():
        for method, problem in own.items():
            if sum(method in each for each in problems.values()) == n_models:
                raise ValueError(f"method {method!r} works on no model of the study: {problem}")
            notes.append(f"on {model}: {problem}")
    return notes


def _groups(study: Study, subject: Subject) -> list[list[int]]:
    """The methods' numbers, those together that ask a model the same."""
    groups: dict[str, list[int]] = {}
    for number, entry in enumerate(study.methods):
        groups.setdefault(entry.questions(subject.model) or str(number), []).append(number)
    return list(groups.values())


def _without_doubles(tasks: Sequence[Task]) -> list[Task]:
    """Of cells with the same key, the first is computed."""
    known: set[str] = set()
    kept = []
    for task in tasks:
        asked = []
        for each in task.asked:
            # Also within a task: metrics of two names can be the same.
            metrics = []
            for metric, key in each.metrics:
                if key not in known:
                    known.add(key)
                    metrics.append((metric, key))
            if metrics:
                asked.append(replace(each, metrics=metrics))
        if asked:
            kept.append(replace(task, asked=asked))
    return kept


def _file_digest(path: Path) -> str:
    try:
        return digest_of_bytes(path.read_bytes())
    except OSError as error:
        raise ValueError(f"masks: {path} cannot be read: {one_line(error)}") from error
