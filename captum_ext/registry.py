"""Which methods exist: Captum's own, ours, and those of third parties.

A method of ours is found by its file in ``captum_ext/attr``; a third party's by the entry-point
group ``captum_ext.methods``. :func:`explain` runs any of them by name, and :func:`register` puts
the new ones beside the built-in ones of ``captum.attr`` and ``saliency.core``.
"""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any

import captum.attr
from captum.attr import Attribution, GradientAttribution
from torch import Tensor, nn

from captum_ext import attr, builtins
from captum_ext.checks import check_choice, check_inputs
from captum_ext.forward import Evaluator, default_batch_size
from captum_ext.randomness import GeneratorLike, global_seed, seed_of
from captum_ext.spec import MethodSpec, Need, Resolution
from captum_ext.targets import check_target, clear_target_errors

__all__ = [
    "MethodSpec",
    "Need",
    "as_spec",
    "explain",
    "get_method",
    "methods",
    "register",
    "unregister",
]

logger = logging.getLogger(__name__)

#: Entry points here load to a MethodSpec, or to several.
METHODS_GROUP = "captum_ext.methods"
#: Entry points here load to a function without arguments that gives a library's module and the
#: classes, by name, that :func:`register` shall put into it.
NAMESPACES_GROUP = "captum_ext.namespaces"

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
    specs = list(_specs().values())
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
    specs = _specs()
    by_key = {_key(spec.title): spec for spec in specs.values()}
    by_key |= {_key(spec.name): spec for spec in specs.values()}
    found = specs.get(name) or by_key.get(_key(name))
    if found is not None:
        return found
    return specs[check_choice(name, "method", specs)]


def as_spec(method: str | MethodSpec | type[Attribution]) -> MethodSpec:
    """The spec of a method, by its name, its class or itself.

    A class that is not registered gets a spec that knows nothing of it but its name.

    Raises:
        TypeError, ValueError: something else; an unknown name.

    Example:
        >>> as_spec(captum.attr.DeepLift).name
        'deep_lift'
    """
    if isinstance(method, MethodSpec):
        return method
    if isinstance(method, str):
        return get_method(method)
    if not (isinstance(method, type) and issubclass(method, Attribution)):
        wanted = "a name, a MethodSpec or a subclass of captum.attr.Attribution"
        raise TypeError(f"method must be {wanted}; got {method!r}")
    known = [spec for spec in methods() if spec.attribution is method]
    name, needs = method.__name__, frozenset[Need]()
    if issubclass(method, GradientAttribution):
        needs = frozenset({Need.GRADIENTS})
    return known[0] if known else MethodSpec(name.lower(), name, "gradient", "-", method, needs)


def explain(
    model: Callable[..., Any],
    inputs: Any,
    target: Any = None,
    method: str | MethodSpec | type[Attribution] = "integrated_gradients",
    *,
    layer: nn.Module | None = None,
    resolution: Resolution = "image",
    generator: GeneratorLike = None,
    **kwargs: Any,
) -> Any:
    """Explains ``model`` at ``inputs`` by any registered method, with defaults that suit images.

    Args:
        model: a module, or a function where the method needs no module. Its mode is not changed:
            call ``model.eval()`` first.
        inputs: a tensor ``[B, ...]`` or a tuple of them.
        target: which output to explain, in Captum's forms; None takes, where the model returns
            ``[B, classes]``, each example's highest output.
        method: its name, its class or its spec.
        layer: for methods that look into a layer; None takes the last convolution (IG2: the input
            of the last linear layer or convolution).
        resolution: ``"pixel"`` treats each pixel as a feature of its own, ``"image"`` takes
            windows and segments as is usual on photographs; for methods that have the choice.
        generator: seed (or torch.Generator) of a stochastic method; None is seed 0. The global
            random state is left as it was.
        **kwargs: arguments of the method's ``attribute()``, in place of the defaults.

    Returns:
        Attributions of the shape and dtype of ``inputs``, without autograd graph (and whatever
        else ``attribute()`` was asked to return).

    Raises:
        ValueError: unknown method; inputs that are empty, misaligned or not finite; a target that
            does not fit.
        TypeError: an argument that the method does not take, or a function where a module is
            needed.

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(12, 4))
        >>> explain(model, torch.rand(2, 3, 2, 2), target=1, method="saliency").shape
        torch.Size([2, 3, 2, 2])
    """
    spec = as_spec(method)
    check_choice(resolution, "resolution", ("pixel", "image"))
    tensors = check_inputs(inputs)
    check_target(target, tensors[0].shape[0])
    seed = seed_of(generator)
    attribution = spec.make(model, layer)
    accepted, takes_any = accepted_arguments(attribution)
    unknown = sorted(set(kwargs) - accepted)
    if unknown and not takes_any:
        raise TypeError(
            f"{spec.name} does not take {', '.join(unknown)}; it takes "
            f"{', '.join(sorted(accepted - {'inputs', 'target'}))}"
        )
    # Copies, so that no method can leave a mark on the caller's tensors.
    copies = tuple(tensor.detach().clone() for tensor in tensors)
    arguments = spec.arguments(copies if isinstance(inputs, tuple) else copies[0], resolution, seed)
    batch_size = default_batch_size(copies, model)
    general = {
        "generator": seed,
        "perturbations_per_eval": max(1, batch_size // copies[0].shape[0]),
        "internal_batch_size": max(batch_size, copies[0].shape[0]),
    }
    arguments |= {name: value for name, value in general.items() if name in accepted} | kwargs
    additional = arguments.get("additional_forward_args")
    if target is None:
        target = _predicted(model, copies, additional)
    with (
        clear_target_errors(model, copies, target, additional),
        global_seed(seed),
        warnings.catch_warnings(),
    ):
        # Captum warns that it does what this function asked it to do.
        warnings.filterwarnings("ignore", message=_ROUTINE_WARNINGS, category=UserWarning)
        result = attribution.attribute(
            copies if isinstance(inputs, tuple) else copies[0], target=target, **arguments
        )
    return _like_inputs(result, inputs)


_ROUTINE_WARNINGS = (
    r"\s*(Input Tensor \d+ did not already require gradients|Setting (forward, )?backward hooks"
    r"|You are providing multiple inputs for Lime|Converting a tensor with requires_grad)"
)


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


@cache
def _specs() -> Mapping[str, MethodSpec]:
    specs: dict[str, MethodSpec] = {}
    taken: set[str] = set()
    for spec in (*builtins.SPECS, *attr.SPECS, *_third_party_specs()):
        keys = {_key(spec.name), _key(spec.title)}
        if keys & taken:
            logger.warning("%s: a method named %r exists; not added", spec.origin, spec.name)
        else:
            taken |= keys
            specs[spec.name] = spec
    return specs


def _third_party_specs() -> list[MethodSpec]:
    specs: list[MethodSpec] = []
    for entry_point in entry_points(group=METHODS_GROUP):
        for spec in _load(entry_point, _as_list):
            if isinstance(spec, MethodSpec):
                specs.append(spec)
            else:
                logger.warning(
                    "entry point %s of %s must give MethodSpec objects; got %s",
                    entry_point.name,
                    METHODS_GROUP,
                    type(spec).__name__,
                )
    return specs


def _namespaces() -> Iterable[tuple[ModuleType, Mapping[str, type]]]:
    classes = [getattr(attr, name) for name in attr.__all__]
    classes += [spec.attribution for spec in methods() if spec.origin != "captum"]
    attributions: dict[str, type] = {}
    for cls in classes:
        if isinstance(cls, type) and issubclass(cls, Attribution):
            attributions.setdefault(cls.__name__, cls)
    yield captum.attr, attributions
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


def accepted_arguments(attribution: Attribution) -> tuple[set[str], bool]:
    """The names of the arguments of ``attribute()``, and whether it takes any other too."""
    parameters = inspect.signature(attribution.attribute).parameters.values()
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    return {parameter.name for parameter in parameters}, takes_any


def _predicted(
    model: Callable[..., Any], inputs: tuple[Tensor, ...], additional_forward_args: Any
) -> Any:
    evaluator = Evaluator(model, additional_forward_args=additional_forward_args)
    outputs = evaluator(inputs, lambda examples, _: tuple(x[examples] for x in inputs), 1)[:, 0]
    if outputs.dim() == 1:
        return None
    if outputs.dim() == 2:
        return outputs.argmax(1)
    raise ValueError(
        "target must be given for a model whose output has more than two dimensions; its shape is "
        f"{tuple(outputs.shape)}"
    )


def _like_inputs(result: Any, inputs: Any) -> Any:
    """Detached, and each attribution in its input's dtype; what comes beside them as it is."""
    if isinstance(inputs, tuple) and isinstance(result, tuple) and len(result) == len(inputs):
        pairs = zip(result, inputs, strict=True)
        return tuple(_like_inputs(part, tensor) for part, tensor in pairs)
    if isinstance(result, tuple):
        return tuple(_like_inputs(part, inputs) for part in result)
    if not isinstance(result, Tensor):
        return result
    like = inputs if isinstance(inputs, Tensor) else inputs[0]
    return result.detach().to(like.dtype if like.is_floating_point() else result.dtype)
