"""What a study is made of: models, methods and metrics, each with its settings and a name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import Tensor, nn

from captum_ext.analysis.results import MetricFacts
from captum_ext.attr import SegmentPerturbation
from captum_ext.baselines import BASELINES, RANDOM
from captum_ext.checks import check_choice
from captum_ext.exam import make_model
from captum_ext.explanation import accepted_arguments
from captum_ext.models import load_model
from captum_ext.models.loading import factory_of
from captum_ext.pictures import OUTPUTS
from captum_ext.registry import as_spec
from captum_ext.spec import MethodSpec, Need
from captum_ext.study.define.models import Aim, StudyClassifier, StudyExamModel, StudyModel
from captum_ext.study.plan.canonical import plain, source
from captum_ext.study.run.measures import METRICS, PERTURBERS
from captum_ext.study.run.metric_context import OUTPUTS as METRIC_OUTPUTS
from captum_ext.study.run.metric_context import StudyMetric

#: Settings that depend on the image: ``settings(aim, references)``.
Settings = Mapping[str, Any] | Callable[[Aim, Tensor | None], Mapping[str, Any]]


@dataclass(frozen=True)
class ModelEntry:
    """A model of a study.

    Args:
        name: in tables.
        load: gives it; to go to other processes, it must be one that can be pickled.
        given: how it was asked for, plain values for the report.
    """

    name: str
    load: Callable[[], StudyModel]
    given: Mapping[str, Any] = field(default_factory=dict)

    @property
    def code(self) -> list[str]:
        """The code that gives it: what loads it, and a factory that this is given."""
        parts = [self.load]
        if isinstance(self.load, partial):
            parts = [self.load.func, *map(factory_of, self.load.args)]
        made = [part for part in parts if callable(part) and not isinstance(part, nn.Module)]
        return [source(part if hasattr(part, "__qualname__") else type(part)) for part in made]

    @classmethod
    def classifier(cls, model: Any, name: str | None = None, **settings: Any) -> ModelEntry:
        """A model of :func:`captum_ext.load_model`, with that function's arguments.

        Example:
            >>> ModelEntry.classifier("squeezenet1_1", weights="none").name
            'squeezenet1_1'
        """
        title = name or (model if isinstance(model, str) else type(model).__name__)
        return cls(title, partial(_classifier, model, **settings), {"model": title} | settings)

    @classmethod
    def exam(cls, model: str, name: str | None = None, **settings: Any) -> ModelEntry:
        """A model of :func:`captum_ext.exam.make_model`, with that function's arguments.

        Example:
            >>> ModelEntry.exam("center_pixel", size=9).load().resolution
            'pixel'
        """
        return cls(name or model, partial(_exam, model, **settings), {"exam": model} | settings)


def _classifier(model: Any, **settings: Any) -> StudyModel:
    return StudyClassifier(load_model(model, **settings))


def _exam(model: str, **settings: Any) -> StudyModel:
    return StudyExamModel(make_model(model, **settings))


@dataclass(frozen=True)
class MethodEntry:
    """A method of a study.

    Args:
        method: its registered name, its class or its spec.
        name: in tables; None: that of the method.
        title: for people; None: that of the method.
        output: which output it explains, one of :data:`captum_ext.pictures.OUTPUTS`.
        baseline: name of a baseline, for a method that has one.
        layer: name of a layer, for a method that looks into one.
        settings: arguments of ``attribute()``; or a function that gives them, which must be one
            that can be pickled, to go to other processes.

    Raises:
        ValueError: an unknown method or output.

    Example:
        >>> MethodEntry("occlusion", baseline="blur").as_dict()["baseline"]
        'blur'
    """

    method: str | MethodSpec | type
    name: str = ""
    title: str = ""
    output: str = OUTPUTS[0]
    baseline: str | None = None
    layer: str | None = None
    settings: Settings = field(default_factory=dict)

    def __post_init__(self) -> None:
        spec = as_spec(self.method)
        check_choice(self.output, "output", OUTPUTS)
        if self.baseline is not None:
            check_choice(self.baseline, "baseline", BASELINES)
        object.__setattr__(self, "name", self.name or spec.name)
        if not self.title:
            title = spec.title if self.name == spec.name else self.name
            object.__setattr__(self, "title", title)

    @property
    def spec(self) -> MethodSpec:
        return as_spec(self.method)

    @property
    def draws(self) -> bool:
        """Whether it depends on the seed."""
        spec = self.spec
        if spec.stochastic or callable(self.settings):
            return True
        baselines = self.settings.get("baselines")
        noise = self.baseline in RANDOM or (isinstance(baselines, str) and baselines in RANDOM)
        return noise or bool(spec.needs & {Need.REFERENCES, Need.BACKGROUND})

    def check(self, model: nn.Module, layer: nn.Module | None) -> None:
        """Refuses settings that the method does not take.

        Raises:
            TypeError: it names them.
            ValueError: the method does not work on the model.
        """
        spec = self.spec
        accepted, takes_any = accepted_arguments(spec.make(model, layer))
        if self.baseline is not None and (
            "baselines" not in accepted or spec.needs & {Need.REFERENCES, Need.BACKGROUND}
        ):
            raise TypeError(f"{spec.name} takes no baseline")
        if takes_any or callable(self.settings):
            return
        allowed = accepted - {"inputs", "target", "generator", "additional_forward_args"}
        for setting in self.settings:
            if setting not in allowed:
                check_choice(setting, f"setting of {spec.name}", sorted(allowed))

    def questions(self, model: nn.Module) -> str | None:
        """What is the same for methods that ask a model the same, or None where none is known.

        Segment methods differ in what they make of the answers only, where segments, samples and
        what stands for the removed are the same.

        Example:
            >>> model = nn.Flatten()
            >>> first, second = MethodEntry("rise"), MethodEntry("rise", "again", output="logit")
            >>> first.questions(model) == second.questions(model)
            True
        """
        if callable(self.settings) or self.spec.problem_with(model) is not None:
            return None
        method = self.spec.make(model)
        if not isinstance(method, SegmentPerturbation):
            return None
        parts = [plain(part) for part in (method.segmenter, method.sampler, method.perturber)]
        return repr([parts, method.n_samples, plain(self.settings)])

    def as_dict(self) -> dict[str, Any]:
        """All that it depends on, as plain values."""
        spec = self.spec
        return {
            "method": spec.name,
            "class": source(spec.attribution),
            "build": plain([spec.build, spec.defaults, spec.references]),
            "output": self.output,
            "baseline": self.baseline,
            "layer": self.layer,
            "settings": plain(self.settings),
        }


@dataclass(frozen=True)
class MetricEntry:
    """A metric of a study.

    Args:
        metric: one of :data:`captum_ext.study.METRICS`, or a :class:`StudyMetric`.
        name: in tables; None: that of the metric.
        settings: what the metric is told.

    Raises:
        ValueError: an unknown metric or setting.

    Example:
        >>> MetricEntry("srg", settings={"n_step": 5})
        Traceback (most recent call last):
        ...
        ValueError: unknown setting of srg 'n_step'; did you mean 'n_steps'? (...)
    """

    metric: str | StudyMetric
    name: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = self.known
        object.__setattr__(self, "name", self.name or known.name)
        if known.settings is not None:
            for setting in self.settings:
                check_choice(setting, f"setting of {known.name}", sorted(known.settings))
            for setting, choices in (("perturber", PERTURBERS), ("output", METRIC_OUTPUTS)):
                if isinstance(self.settings.get(setting), str):
                    check_choice(self.settings[setting], setting, choices)

    @property
    def known(self) -> StudyMetric:
        if isinstance(self.metric, StudyMetric):
            return self.metric
        return METRICS[check_choice(self.metric, "metric", METRICS)]

    @property
    def draws(self) -> bool:
        """Whether it depends on the seed."""
        return self.known.stochastic or self.settings.get("perturber") not in (
            *(None, "mean", "median", "black", "white", "blur"),
        )

    @property
    def facts(self) -> MetricFacts:
        title = self.known.title if self.name == self.known.name else self.name
        return self.known.facts(self.name, title)

    def as_dict(self) -> dict[str, Any]:
        """All that it depends on, as plain values."""
        return {
            "metric": self.known.name,
            "measure": plain(self.known.measure),
            "settings": plain(self.settings),
        }
