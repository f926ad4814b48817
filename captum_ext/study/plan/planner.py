"""From a study to its cells, each with a key: a digest of everything that determines it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from captum_ext.checks import one_line
from captum_ext.metric_spec import MetricNeed
from captum_ext.outputs import problem_with_outputs
from captum_ext.study.define.cache import StudyCache
from captum_ext.study.define.entries import MetricEntry, ModelEntry
from captum_ext.study.define.images import StudyImage
from captum_ext.study.define.models import PREDICTED, StudyExamModel, StudyModel
from captum_ext.study.define.study import Study, decisive_versions
from captum_ext.study.define.toml_values import Problems
from captum_ext.study.plan.canonical import source
from captum_ext.study.plan.code import reread
from captum_ext.study.plan.digest import digest_of, digest_of_bytes
from captum_ext.study.plan.tasks import Cell, Plan, PlannedMethod, Task

#: By which seed what draws nothing is known, whatever seeds a study has.
NO_SEED = 0


def plan_of(study: Study, cache: StudyCache | None = None) -> Plan:
    """Plans a study, after a look at all that it names.

    Args:
        study: the study.
        cache: that has its models; None makes one.

    Raises:
        TypeError, ValueError: a model that cannot be had; a class, setting or layer that there is
            not; a method that works on none of the models. It names all of these.

    Example:
        >>> from captum_ext.study import EmbeddedImage, MethodEntry
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
    # In a session of many studies, code may be loaded anew between two.
    reread()
    planner = _Planner(study, cache or StudyCache())
    planner.look()
    cells: list[Cell] = []
    tasks: list[Task] = []
    for model in study.models:
        for number in range(len(study.images)):
            asked = {seed: planner.asked(model, number, seed) for seed in study.seeds}
            for seed in study.seeds:
                cells += planner.cells(model, number, seed, asked[seed])
            for seed, wanted in _by_attribution(asked).items():
                tasks += planner.tasks(model, number, seed, wanted)
    return Plan(cells, _without_doubles(tasks), planner.identity(), planner.notes)


class _Planner:
    """What is known of a study's parts, once they have been looked at."""

    def __init__(self, study: Study, cache: StudyCache) -> None:
        self.study = study
        self.cache = cache
        self.versions = decisive_versions()
        self.notes: list[str] = []
        self.problems = Problems()
        self.fingerprints: dict[str, str] = {}
        self.code: dict[str, list[str]] = {}
        self.groups: dict[str, list[list[int]]] = {}
        self.digests = self._digests(study.images)
        own = () if isinstance(study.references, str) else study.references or ()
        # Of one name with an image of the study, it need not be that image.
        self.references = self.digests | self._digests(own)
        self.masks = {}
        for name, path in study.masks.items():
            with self.problems.at():
                self.masks[name] = _file_digest(path)
        self.methods = {entry.name: digest_of(entry.as_dict()) for entry in study.methods}
        self.metrics = {entry.name: digest_of(entry.as_dict()) for entry in study.metrics}

    def _digests(self, images: Sequence[StudyImage]) -> dict[str, str]:
        digests = {}
        for image in images:
            with self.problems.at(f"image {image.name!r}"):
                digests[image.name] = image.digest()
        return digests

    def look(self) -> None:
        """Loads every model, and asks it about the methods."""
        for name, digest in self.digests.items():
            if digest.startswith("unreadable"):
                self.notes.append(f"image {name!r} is {digest}")
        unfit: dict[str, dict[str, str]] = {}
        subjects = []
        for entry in self.study.models:
            subject = self._load(entry)
            if subject is not None:
                unfit[entry.name] = self._unfit_methods(subject)
                self.groups[entry.name] = _groups(self.study, subject)
                subjects.append(subject)
        if len(subjects) == len(self.study.models):
            self._note_unfit(unfit)
            self._check_metrics(subjects)
        self.problems.check()
        self.notes += _equal(self.digests)

    def _load(self, entry: ModelEntry) -> StudyModel | None:
        """The model of an entry, which has all classes that are explained."""
        with self.problems.at(f"model {entry.name!r}"):
            try:
                subject, fingerprint = self.cache.load(entry)
                code = [*entry.code, source(type(subject))]
            except (TypeError, ValueError, KeyboardInterrupt):
                raise
            except BaseException as error:  # Also a SystemExit of a model's own code.
                what = f"{type(error).__name__}: {one_line(error)}"
                raise ValueError(f"it cannot be made: {what}") from error
            self.fingerprints[entry.name], self.code[entry.name] = fingerprint, code
            for target in {self.study.target_of(image) for image in self.study.images}:
                if target != PREDICTED:
                    subject.index_of(target)
            return subject
        return None

    def _unfit_methods(self, subject: StudyModel) -> dict[str, str]:
        """Why methods do not work on a model."""
        unfit = {}
        for entry in self.study.methods:
            with self.problems.at(f"method {entry.name!r}"):
                try:
                    layer = subject.layer(entry.layer)
                    model = subject.fitting(entry.spec)
                    facts = subject.facts(entry.spec)
                    problem = problem_with_outputs(entry.spec, subject.outputs)
                    problem = problem or entry.spec.problem_with(model, facts, layer)
                    if problem is None:
                        entry.check()
                except (TypeError, ValueError, KeyboardInterrupt):
                    raise
                except BaseException:  # Also a SystemExit: it fails in a rehearsal, or in cells.
                    problem = None
                if problem is not None:
                    unfit[entry.name] = problem
        return unfit

    def _note_unfit(self, unfit: dict[str, dict[str, str]]) -> None:
        """A line for each method that does not work on a model; an error where it works on none."""
        nowhere = dict(next(iter(unfit.values())))
        for own in unfit.values():
            nowhere = {name: problem for name, problem in nowhere.items() if name in own}
        for name, problem in nowhere.items():
            with self.problems.at():
                raise ValueError(f"method {name!r} works on no model of the study: {problem}")
        for model, own in unfit.items():
            self.notes += [f"on {model}: {problem}" for problem in own.values()]

    def _check_metrics(self, subjects: Sequence[StudyModel]) -> None:
        """Refuses metrics that want to know what nothing tells them."""
        exam = any(isinstance(subject, StudyExamModel) for subject in subjects)
        for entry in self.study.metrics:
            needs = entry.known.needs
            with self.problems.at(f"metric {entry.name!r}"):
                if MetricNeed.MASK in needs and not self.study.masks and not exam:
                    raise ValueError("masks must be given, which show where the object is")
                if MetricNeed.KNOWN_ANSWER in needs and not exam:
                    raise ValueError("models must hold one of the exam, whose answer is known")

    def asked(self, model: ModelEntry, number: int, seed: int) -> list[PlannedMethod]:
        """All methods about an image, with the keys of their attributions and cells."""
        study = self.study
        image = study.images[number]
        place = (
            *(self.fingerprints[model.name], self.code[model.name], self.digests[image.name]),
            *(study.target_of(image), self.versions),
        )
        compared = self._compared(number)
        found = []
        for method in study.methods:
            used = compared if method.spec.takes_references else []
            drawn = seed if method.draws else NO_SEED
            key = digest_of(*place, self.methods[method.name], drawn, used)
            cells = [
                (metric, self._cell_key(key, metric, image, seed), seed) for metric in study.metrics
            ]
            found.append(PlannedMethod(method, key, cells))
        return found

    def _compared(self, number: int) -> list[str]:
        """The digests of what the image of a number is compared with."""
        return [self.references[other.name] for other in self.study.references_of(number)]

    def _cell_key(self, attribution: str, metric: MetricEntry, image: StudyImage, seed: int) -> str:
        drawn = seed if metric.draws else NO_SEED
        mask = self.masks.get(image.name) if MetricNeed.MASK in metric.known.needs else None
        return digest_of(attribution, self.metrics[metric.name], drawn, mask)

    def cells(
        self, model: ModelEntry, number: int, seed: int, asked: Sequence[PlannedMethod]
    ) -> Iterator[Cell]:
        image = self.study.images[number].name
        for each in asked:
            for metric, key, _ in each.metrics:
                yield Cell(model.name, image, each.entry.name, metric.name, seed, key)

    def tasks(
        self, model: ModelEntry, number: int, seed: int, asked: Sequence[PlannedMethod]
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
                {"name": name, "fingerprint": found, "code": self.code[name]}
                for name, found in self.fingerprints.items()
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


def _equal(digests: dict[str, str]) -> list[str]:
    """A note for images that are the same: they count as several, and tell as much as one."""
    first: dict[str, str] = {}
    return [
        f"image {name!r} is the same as {first[digest]!r}"
        for name, digest in digests.items()
        if first.setdefault(digest, name) != name
    ]


def _groups(study: Study, subject: StudyModel) -> list[list[int]]:
    """The methods' numbers, those together that ask a model the same."""
    groups: dict[str, list[int]] = {}
    for number, entry in enumerate(study.methods):
        questions = None
        # What cannot be made here fails in its cells.
        with suppress(Exception):
            questions = entry.questions(subject.model)
        groups.setdefault(questions or str(number), []).append(number)
    return list(groups.values())


def _by_attribution(asked: dict[int, list[PlannedMethod]]) -> dict[int, list[PlannedMethod]]:
    """What is asked with each seed, where an attribution that does not draw is asked once.

    What metrics that draw are to say of it with other seeds, they say of that one.
    """
    merged = {seed: list(each) for seed, each in asked.items()}
    start, *others = asked
    for seed, number in product(others, range(len(merged[start]))):
        own, earlier = merged[seed][number], merged[start][number]
        if own.key == earlier.key:
            merged[start][number] = replace(earlier, metrics=[*earlier.metrics, *own.metrics])
            merged[seed][number] = replace(own, metrics=[])
    return merged


def _without_doubles(tasks: Sequence[Task]) -> list[Task]:
    """Of cells with the same key, the first is computed."""
    known: set[str] = set()
    kept = []
    for task in tasks:
        asked = []
        for each in task.asked:
            # Also within a task: metrics of two names can be the same.
            metrics = []
            for wanted in each.metrics:
                if wanted[1] not in known:
                    known.add(wanted[1])
                    metrics.append(wanted)
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
