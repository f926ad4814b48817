"""Which methods, metrics and exam models exist: Captum's own, ours, and those of third parties.

One of ours is found by its file in ``captum_ext/attr``, ``metrics`` or ``exam``; a third party's by
the entry-point group ``captum_ext.methods``, ``captum_ext.metrics`` or ``captum_ext.exam_models``;
a user's as ``package.module:SPEC``. :func:`register` puts the new ones beside the built-in ones of
``captum.attr`` and ``saliency.core``.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any, NamedTuple

import captum.attr
from captum.attr import Attribution, GradientAttribution

from captum_ext import attr, builtins
from captum_ext.checks import check_choice
from captum_ext.exam_spec import ExamModelSpec
from captum_ext.metric_spec import MetricNeed, MetricSpec
from captum_ext.object_path import import_object, is_object_path
from captum_ext.spec import MethodSpec, Need
from captum_ext.spec_files import specs_in

__all__ = [
    "ExamModelSpec",
    "MethodSpec",
    "MetricNeed",
    "MetricSpec",
    "Need",
    "as_metric",
    "as_spec",
    "exam_models",
    "get_exam_model",
    "get_method",
    "get_metric",
    "methods",
    "metrics",
    "new_classes",
    "register",
    "unregister",
]

logger = logging.getLogger(__name__)

#: Entry points here load to a function without arguments that gives a library's module and the
#: classes, by name, that :func:`register` shall put into it.
NAMESPACES_GROUP = "captum_ext.namespaces"


class _Kind(NamedTuple):
    """What is registered: its word and spec, the entry points that give some, where ours are."""

    word: str
    spec: type
    group: str
    package: str
    constant: str


_METHODS = _Kind("method", MethodSpec, "captum_ext.methods", "captum_ext.attr", "SPEC")
_METRICS = _Kind("metric", MetricSpec, "captum_ext.metrics", "captum_ext.metrics", "METRIC")
_EXAM_MODELS = _Kind(
    "model", ExamModelSpec, "captum_ext.exam_models", "captum_ext.exam", "EXAM_MODEL"
)

_registered: list[tuple[ModuleType, str]] = []


def methods(family: str | None = None) -> list[MethodSpec]:
    """All known methods: Captum's, ours, third parties', in this order.

    Args:
        family: only those of one family (``"gradient"``, ``"path"``, ``"perturbation"``, ...).

    Raises:
        ValueError: no method is of this family.

    Example:
        >>> [spec.name for spec in methods("cam")]
        ['grad_cam', 'guided_grad_cam']
    """
    specs = list(_specs(_METHODS).values())
    if family is None:
        return specs
    check_choice(family, "family", sorted({spec.family for spec in specs}))
    return [spec for spec in specs if spec.family == family]


def get_method(name: str) -> MethodSpec:
    """The spec of one method.

    Args:
        name: its name or title; case, hyphens and blanks do not matter.

    Raises:
        ValueError: no such method; the message suggests the nearest name.

    Example:
        >>> get_method("Guided-Backprop").title
        'Guided Backprop'
        >>> get_method("salency")
        Traceback (most recent call last):
        ...
        ValueError: unknown method 'salency'; did you mean 'saliency'? ...
    """
    return _get(_METHODS, name)


def metrics() -> list[MetricSpec]:
    """All known metrics: ours, then third parties'.

    Example:
        >>> [spec.name for spec in metrics()][:2]
        ['shapley_agreement', 'gini']
    """
    return list(_specs(_METRICS).values())


def get_metric(name: str) -> MetricSpec:
    """The spec of one metric, as of :func:`get_method`.

    Raises:
        ValueError: no such metric; the message suggests the nearest name.

    Example:
        >>> get_metric("Gini index").direction
        'none'
    """
    return _get(_METRICS, name)


def exam_models() -> list[ExamModelSpec]:
    """All models whose right answer is known: ours, then third parties'.

    Example:
        >>> [spec.name for spec in exam_models()]
        ['center_pixel', 'additive', 'and_or', 'saturation']
    """
    return list(_specs(_EXAM_MODELS).values())


def get_exam_model(name: str, what: str = "model") -> ExamModelSpec:
    """The spec of one model of the exam, as of :func:`get_method`.

    Args:
        name: its name or title.
        what: the argument's name, for the error message.

    Raises:
        ValueError: no such model; the message suggests the nearest name.

    Example:
        >>> get_exam_model("saturation").model.__name__
        'SaturationModel'
    """
    return _get(_EXAM_MODELS, name, what)


def as_metric(metric: str | MetricSpec) -> MetricSpec:
    """The spec of a metric, by its name, as ``package.module:METRIC``, or itself.

    Raises:
        TypeError, ValueError: something else; an unknown name; what cannot be imported.

    Example:
        >>> as_metric("captum_ext.metrics.complexity:METRIC").name
        'gini'
    """
    if is_object_path(metric):
        metric = import_object(str(metric), "metric")
    elif isinstance(metric, str):
        return get_metric(metric)
    if not isinstance(metric, MetricSpec):
        raise TypeError(f"metric must be a name or a MetricSpec; got {metric!r}")
    return metric


def as_spec(method: str | MethodSpec | type[Attribution]) -> MethodSpec:
    """The spec of a method, by its name, its class or itself, or where one of them is written.

    ``"package.module:SPEC"`` takes a spec or class from a module, one of the working folder, too.
    A class that is not registered gets a spec made of what its constructor tells: as with Captum's
    own, one that takes a ``layer``, or calls its model ``model``, needs a module.

    Raises:
        TypeError, ValueError: something else; an unknown name; what cannot be imported.

    Example:
        >>> as_spec(captum.attr.DeepLift).name, as_spec("captum.attr:DeepLift").name
        ('deep_lift', 'deep_lift')
    """
    if is_object_path(method):
        method = import_object(str(method), "method")
    elif isinstance(method, str):
        return get_method(method)
    if isinstance(method, MethodSpec):
        return method
    if not (isinstance(method, type) and issubclass(method, Attribution)):
        wanted = "a name, a MethodSpec or a subclass of captum.attr.Attribution"
        raise TypeError(f"method must be {wanted}; got {method!r}")
    known = [spec for spec in methods() if spec.attribution is method]
    if known:
        return known[0]
    family, needs = "perturbation", set[Need]()
    if issubclass(method, GradientAttribution):
        family, needs = "gradient", {Need.GRADIENTS}
    if {"layer", "model"} & set(inspect.signature(method).parameters):
        needs.add(Need.MODULE)
    name = method.__name__
    return MethodSpec(name.lower(), name, family, "-", method, frozenset(needs))


def new_classes() -> dict[str, type[Attribution]]:
    """Ours and third parties' classes, by all names that they go by (``PDA`` is one of two).

    Example:
        >>> new_classes()["PDA"] is new_classes()["PredictionDifference"]
        True
    """
    named = [(name, getattr(attr, name)) for name in attr.__all__]
    named += [(s.attribution.__name__, s.attribution) for s in methods() if s.origin != "captum"]
    found: dict[str, type[Attribution]] = {}
    for name, cls in named:
        if isinstance(cls, type) and issubclass(cls, Attribution):
            found.setdefault(name, cls)
    return found


def register() -> list[str]:
    """Makes the new methods importable from ``captum.attr`` and ``saliency.core``.

    Ours and third parties' classes are added to ``captum.attr`` (and its ``__all__``); PAIR
    adapters are added to ``saliency.core`` by the package ``saliency_adapters``. A name that a
    library already has is never replaced. Calling it again adds only what is new.

    Returns:
        The full names of all that is registered now.

    Example:
        >>> "captum.attr.UniformLRP" in register()
        True
        >>> from captum.attr import UniformLRP
        >>> unregister()
    """
    for module, classes in _namespaces():
        for name, cls in classes.items():
            if not hasattr(module, name):
                setattr(module, name, cls)
                _registered.append((module, name))
                if hasattr(module, "__all__"):
                    module.__all__.append(name)
    return [f"{module.__name__}.{name}" for module, name in _registered]


def unregister() -> None:
    """Takes back what :func:`register` has added, and nothing else."""
    while _registered:
        module, name = _registered.pop()
        if hasattr(module, name):
            delattr(module, name)
        if name in getattr(module, "__all__", ()):
            module.__all__.remove(name)


def _get(kind: _Kind, name: str, what: str | None = None) -> Any:
    specs = _specs(kind)
    if name in specs:
        return specs[name]
    by_key = {_key(spec.title): spec for spec in specs.values()}
    by_key |= {_key(spec.name): spec for spec in specs.values()}
    found = by_key.get(_key(name))
    return found or specs[check_choice(name, what or kind.word, specs)]


@cache
def _specs(kind: _Kind) -> Mapping[str, Any]:
    specs: dict[str, Any] = {}
    taken: set[str] = set()
    for spec in (*_own_specs(kind), *_third_party_specs(kind)):
        keys = {_key(spec.name), _key(spec.title)}
        if keys & taken:
            logger.warning("%s: a %s named %r exists; not added", spec.origin, kind.word, spec.name)
        else:
            taken |= keys
            specs[spec.name] = spec
    return specs


def _own_specs(kind: _Kind) -> tuple[Any, ...]:
    # Imported here, because metrics and exam models ask this module for methods.
    own = specs_in(kind.package, kind.constant)
    return (*builtins.SPECS, *own) if kind is _METHODS else own


def _third_party_specs(kind: _Kind) -> list[Any]:
    specs: list[Any] = []
    for entry_point in entry_points(group=kind.group):
        for spec in _load(entry_point, _as_list):
            if isinstance(spec, kind.spec):
                specs.append(spec)
            else:
                logger.warning(
                    "entry point %s of %s must give %s objects; got %s",
                    entry_point.name,
                    kind.group,
                    kind.spec.__name__,
                    type(spec).__name__,
                )
    return specs


def _namespaces() -> Iterable[tuple[ModuleType, Mapping[str, type]]]:
    yield captum.attr, new_classes()
    for entry_point in entry_points(group=NAMESPACES_GROUP):
        yield from _load(entry_point, _namespace)


def _namespace(function: Callable[[], tuple[ModuleType, Mapping[str, type]]]) -> list[Any]:
    module, named = function()
    return [(module, dict(named))]


def _as_list(found: Any) -> list[Any]:
    return list(found) if isinstance(found, list | tuple) else [found]


def _load(entry_point: EntryPoint, unpack: Callable[[Any], list[Any]]) -> list[Any]:
    # A third party's broken package must not take ours down.
    try:
        return unpack(entry_point.load())
    except Exception:
        logger.warning(
            "entry point %s of %s cannot be loaded",
            entry_point.name,
            entry_point.group,
            exc_info=True,
        )
        return []


def _key(name: str) -> str:
    return "".join(letter for letter in str(name).lower() if letter.isalnum())
