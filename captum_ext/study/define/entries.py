"""What a study is made of: models, methods and metrics, each with its settings and a name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from torch import Tensor, nn

from captum_ext.analysis.results import MetricFacts
from captum_ext.attr import GeneticIPHA, SegmentPerturbation
from captum_ext.baselines import BASELINES, RANDOM
from captum_ext.checks import check_choice
from captum_ext.choices import OUTPUTS
from captum_ext.exam import make_model
from captum_ext.metric_spec import METRIC_OUTPUTS, MetricNeed, MetricSpec
from captum_ext.models import load_model
from captum_ext.models.loading import factory_of
from captum_ext.perturbation import Perturber
from captum_ext.registry import as_metric, as_spec
from captum_ext.spec import MethodSpec, Need
from captum_ext.study.define.models import Aim, StudyClassifier, StudyExamModel, StudyModel
from captum_ext.study.plan.canonical import plain, source

#: Settings that depend on the image: ``settings(aim, references)``.
Settings = Mapping[str, Any] | Callable[[Aim, Tensor | None], Mapping[str, Any]]


@dataclass(frozen=True)
class ModelEntry:
    """A model of a study.

    Args:
        name: in tables.
        load: gives it; to go to other processes, it must be one that can be pickled.
        given: the arguments it was made with, plain values for the report.
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
        passes: that it may take at most, see :meth:`captum_ext.MethodSpec.within`; None: as many
            as its settings take.
        settings: arguments of ``attribute()``; or a function that gives them, which must be one
            that can be pickled, to go to other processes.

    Raises:
        ValueError: an unknown method or output; passes for a method of unknown cost.

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
    passes: int | None = None
    settings: Settings = field(default_factory=dict)

    def __post_init__(self) -> None:
        spec = as_spec(self.method)
        check_choice(self.output, "output", OUTPUTS)
        if self.baseline is not None:
            check_choice(self.baseline, "baseline", BASELINES)
        if self.passes is not None:
            spec.checked_budget(self.passes)
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

    def check(self) -> None:
        """Refuses settings that the method does not take.

        Raises:
            TypeError: it names them.
        """
        spec = self.spec
        accepted, takes_any = spec.accepted()
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
        what stands for the removed are the same; searches of masks, in what they attribute.

        Example:
            >>> model = nn.Flatten()
            >>> first, second = MethodEntry("rise"), MethodEntry("rise", "again", output="logit")
            >>> first.questions(model) == second.questions(model)
            True
        """
        if callable(self.settings) or self.spec.needs_module:
            return None
        method = self.spec.make(model)
        if isinstance(method, GeneticIPHA):
            settings = {
                name: self.settings[name] for name in self.settings if name != "attribution"
            }
            entry = replace(self, name="search", title="search", settings=settings)
            return repr(entry.as_dict())
        if not isinstance(method, SegmentPerturbation):
            return None
        parts = [plain(part) for part in (method.segmenter, method.sampler, method.perturber)]
        return repr([parts, method.n_samples, self.passes, plain(self.settings)])

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
            "passes": self.passes,
            "settings": plain(self.settings),
        }


@dataclass(frozen=True)
class MetricEntry:
    """A metric of a study.

    Args:
        metric: the name of one of :func:`captum_ext.registry.metrics`, where a spec is written, as
            ``package.module:METRIC``, or a spec.
        name: in tables; None: that of the metric.
        settings: arguments of the metric.

    Raises:
        ValueError: an unknown metric or setting.

    Example:
        >>> MetricEntry("srg", settings={"n_step": 5})
        Traceback (most recent call last):
        ...
        ValueError: unknown setting of srg 'n_step'; did you mean 'n_steps'? (...)
    """

    metric: str | MetricSpec
    name: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = self.known
        object.__setattr__(self, "name", self.name or known.name)
        if known.settings is not None:
            for setting in self.settings:
                check_choice(setting, f"setting of {known.name}", sorted(known.settings))
        for setting, word in known.words.items():
            if isinstance(self.settings.get(setting), str):
                word(self.settings[setting])
        if MetricNeed.OUTPUT in known.needs and "output" in self.settings:
            check_choice(self.settings["output"], "output", METRIC_OUTPUTS)

    @property
    def known(self) -> MetricSpec:
        return as_metric(self.metric)

    @property
    def draws(self) -> bool:
        """Whether it depends on the seed."""
        perturbs = any(isinstance(value, Perturber) for value in self.settings.values())
        return perturbs or MetricNeed.SEED in self.known.needs

    @property
    def facts(self) -> MetricFacts:
        known = self.known
        title = known.title if self.name == known.name else self.name
        return MetricFacts(self.name, title, known.direction, known.about)

    def as_dict(self) -> dict[str, Any]:
        """All that it depends on, as plain values."""
        known = self.known
        code = [known.function, known.inner, known.summary, known.defaults]
        return {
            "metric": known.name,
            "measure": plain(code),
            "settings": plain(self.settings),
        }
