"""MethodSpec and ExamModelSpec: what captum_ext knows of these beside their code.

They lie below the registry, because each file in ``captum_ext/attr`` and ``captum_ext/exam``
declares its own specs and the registry only collects them. :mod:`captum_ext.metric_spec` has those
of metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from captum.attr import Attribution
from torch import Tensor, nn

from captum_ext.budgets import Budget, Call, Resolution
from captum_ext.checks import as_tuple, check_int
from captum_ext.layers import CONVOLUTIONS
from captum_ext.spec_files import check_name
from captum_ext.suitable import embeds_patches

#: The arguments of ``attribute()`` that suit these inputs: ``defaults(inputs, resolution, seed)``.
Defaults = Callable[[tuple[Tensor, ...], Resolution, int], dict[str, Any]]


class Need(str, Enum):
    """What a method needs of its user or of the model."""

    MODULE = "module"  #: a torch.nn.Module, not any function
    GRADIENTS = "gradients"  #: a differentiable model
    LAYER = "layer"  #: a layer of the model
    REFERENCES = "references"  #: examples of other classes
    BACKGROUND = "background"  #: a sample of typical inputs
    PROBABILITIES = "probabilities"  #: a model that returns probabilities
    LOGITS = "logits"  #: a model without a softmax at its end

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class MethodSpec:
    """A method and what one must know to run it on an image.

    Args:
        name: identifier, lower case with underscores, unique (``"integrated_gradients"``).
        title: name for tables and figures (``"Integrated Gradients"``).
        family: one of :data:`FAMILIES`.
        paper: authors, venue, year.
        attribution: the Captum ``Attribution`` subclass.
        needs: what it needs of the user or the model.
        build: ``build(model)``, or ``build(model, layer)`` where a layer is needed or optional,
            gives the attribution object; default: the class itself.
        defaults: arguments of ``attribute()`` for given inputs.
        references: arguments of ``attribute()`` for given examples of other images, one tensor
            ``[R, ...]`` for each input; default: they are its ``baselines``, where it needs
            references or a background.
        convert: ``convert(inputs, arguments)`` gives arguments of ``attribute()`` in the form that
            the method takes, where it is narrow about it.
        budget: what it costs in passes, and the arguments of ``attribute()`` that set that; None:
            nobody knows.
        lacks: why the method does not work on a model, or None where it does.
        optional_layer: looks into a layer, and finds one by itself where none is given.
        stochastic: draws random numbers.
        promises_dummy: gives zero wherever the model is blind (the dummy axiom).
        max_features: features beyond which its cost is out of proportion; None: scales.
        deviations: checks of the contract that it is known to fail, each with the reason.
        origin: the distribution that it comes from; default: the package of its class.

    Raises:
        ValueError: the name is not an identifier or the family is unknown.

    Example:
        >>> from captum.attr import Saliency
        >>> spec = MethodSpec("plain", "Plain gradient", "gradient", "-", Saliency)
        >>> type(spec.make(nn.Linear(2, 1))).__name__
        'Saliency'
    """

    name: str
    title: str
    family: str
    paper: str
    attribution: type[Attribution]
    needs: frozenset[Need] = frozenset()
    build: Callable[..., Attribution] | None = None
    defaults: Defaults | None = None
    references: Callable[[tuple[Tensor, ...]], dict[str, Any]] | None = None
    convert: Callable[[tuple[Tensor, ...], dict[str, Any]], dict[str, Any]] | None = None
    budget: Budget | None = None
    lacks: Callable[[Any], str | None] | None = None
    optional_layer: bool = False
    stochastic: bool = False
    promises_dummy: bool = False
    max_features: int | None = None
    deviations: Mapping[str, str] = field(default_factory=dict)
    origin: str = ""

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.family not in FAMILIES:
            raise ValueError(f"family must be one of {', '.join(FAMILIES)}; got {self.family!r}")
        if not self.origin:
            object.__setattr__(self, "origin", self.attribution.__module__.partition(".")[0])
        object.__setattr__(self, "needs", frozenset(Need(need) for need in self.needs))

    @property
    def needs_module(self) -> bool:
        """Whether it runs on a torch module only: it needs one, or a layer of one."""
        return bool(self.needs & {Need.MODULE, Need.LAYER})

    def make(self, forward_func: Callable[..., Any], layer: nn.Module | None = None) -> Attribution:
        """The attribution object for a model.

        Args:
            forward_func: the model.
            layer: the layer, where the method needs one; None takes the last convolution.

        Raises:
            TypeError: the method needs a module and was given something else.
            ValueError: the method needs a layer and none was given or found, or layers of a kind
                that the model lacks.
        """
        if layer is not None and not isinstance(layer, nn.Module):
            raise TypeError(f"layer must be a torch.nn.Module; got {type(layer).__name__}")
        if layer is not None and not self.takes_layer:
            raise TypeError(f"{self.name} takes no layer")
        build = self.build or self.attribution
        if Need.MODULE in self.needs and not isinstance(forward_func, nn.Module):
            raise TypeError(
                f"{self.name} needs model to be a torch.nn.Module; got "
                f"{type(forward_func).__name__}"
            )
        reason = self.lacks(forward_func) if self.lacks is not None else None
        if reason is not None:
            raise ValueError(f"{self.name} does not work on {_name_of(forward_func)}: {reason}")
        if self.optional_layer:
            return build(forward_func, layer)
        if Need.LAYER not in self.needs:
            return build(forward_func)
        return build(forward_func, layer if layer is not None else last_convolution(forward_func))

    def problem_with(
        self, forward_func: Callable[..., Any], layer: nn.Module | None = None
    ) -> str | None:
        """Why the method does not work on a model, or None where it does, as far as it is known.

        Args:
            forward_func, layer: as of :meth:`make`.

        Example:
            >>> from captum_ext.registry import get_method
            >>> get_method("grad_cam").problem_with(nn.Linear(2, 1))
            'layer must be given: Linear has no convolution to choose'
        """
        try:
            self.make(forward_func, layer)
        except (TypeError, ValueError) as error:
            return str(error)
        return None

    def arguments(
        self,
        inputs: Tensor | tuple[Tensor, ...],
        resolution: Resolution = "image",
        seed: int = 0,
    ) -> dict[str, Any]:
        """Default arguments of ``attribute()`` for ``inputs``; tuples only where inputs is one.

        ``seed`` decides what is random among them, as a background.
        """
        if self.defaults is None:
            return {}
        return _as_given(self.defaults(as_tuple(inputs), resolution, seed), inputs)

    def within(
        self,
        passes: int,
        inputs: Tensor | tuple[Tensor, ...],
        resolution: Resolution = "image",
        given: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Arguments of ``attribute()`` that hold the method to a number of passes, and near it.

        Args:
            passes: at most so many for each example, forward and backward together, as
                :mod:`captum_ext.budgets` counts them.
            inputs: as of ``attribute()``.
            resolution: as of :meth:`arguments`, whose other arguments are taken for granted.
            given: arguments of ``attribute()`` that stay as they are, references among them.

        Returns:
            None of those that are given; nothing for a method of fixed cost.

        Raises:
            ValueError: the method, with what is given, takes more passes at the least; or nobody
                knows how many it takes.

        Example:
            >>> import torch
            >>> from captum_ext.registry import get_method
            >>> image = torch.zeros(1, 3, 32, 32)
            >>> get_method("integrated_gradients").within(200, image)
            {'n_steps': 100}
            >>> get_method("saliency").within(1, image)
            Traceback (most recent call last):
            ...
            ValueError: passes must be at least 2 for saliency; got 1
        """
        budget = self.checked_budget(passes)
        given = given or {}
        tensors = as_tuple(inputs)
        arguments = {**self.arguments(tensors, resolution), **given}
        call = Call(tensors, arguments, frozenset(given), resolution)
        chosen = budget.choose(passes, call)
        chosen = {name: value for name, value in chosen.items() if name not in given}
        least = budget.cost(replace(call, arguments=arguments | chosen))
        if least > passes:
            settings = f" with its {', '.join(sorted(given))}" if given else ""
            raise ValueError(
                f"passes must be at least {least} for {self.name}{settings}; got {passes}"
            )
        return _as_given(chosen, inputs)

    def checked_budget(self, passes: Any) -> Budget:
        """The budget, which can hold the method to a number of passes.

        Raises:
            TypeError, ValueError: no number of passes, or nobody knows what the method costs.
        """
        check_int(passes, "passes", minimum=1)
        if self.budget is None:
            raise ValueError(f"passes cannot limit {self.name}: its spec declares no budget")
        return self.budget

    @property
    def takes_layer(self) -> bool:
        """Whether it looks into a layer of the model."""
        return self.optional_layer or Need.LAYER in self.needs

    @property
    def compares(self) -> bool:
        """Whether it compares with examples of other images, and so has no single baseline."""
        return bool(self.needs & {Need.REFERENCES, Need.BACKGROUND})

    @property
    def takes_references(self) -> bool:
        """Whether examples of other images are of use to it."""
        return self.references is not None or self.compares

    def reference_arguments(self, references: Tensor | tuple[Tensor, ...]) -> dict[str, Any]:
        """Arguments of ``attribute()`` for examples of other images.

        Args:
            references: ``[R, ...]``, or a tuple with such a tensor for each input.

        Raises:
            TypeError: the method takes none.

        Example:
            >>> import torch
            >>> from captum_ext.registry import get_method
            >>> list(get_method("gradient_shap").reference_arguments(torch.zeros(2, 3, 4, 4)))
            ['baselines']
        """
        if not self.takes_references:
            raise TypeError(f"{self.name} takes no references")
        if self.references is None:
            return {"baselines": references}
        return self.references(as_tuple(references))

    def as_dict(self) -> dict[str, Any]:
        """The spec's facts as plain values, for JSON."""
        return {
            "name": self.name,
            "title": self.title,
            "family": self.family,
            "paper": self.paper,
            "class": f"{self.attribution.__module__}.{self.attribution.__qualname__}",
            "needs": sorted(need.value for need in self.needs),
            "optional_layer": self.optional_layer,
            "stochastic": self.stochastic,
            "origin": self.origin,
        }


FAMILIES = ("gradient", "path", "propagation", "perturbation", "surrogate", "shapley", "cam")


def last_convolution(model: Any) -> nn.Module:
    """The last convolution among the model's modules: the usual layer for class activation maps.

    Raises:
        ValueError: there is none, or only that of a transformer's patches.

    Example:
        >>> last_convolution(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 4, 3))).out_channels
        4
    """
    modules = model.modules() if isinstance(model, nn.Module) else ()
    layers = [module for module in modules if isinstance(module, CONVOLUTIONS)]
    if not layers:
        raise ValueError(f"layer must be given: {_name_of(model)} has no convolution to choose")
    if embeds_patches(layers):
        raise ValueError(
            f"layer must be given: the only convolution of {_name_of(model)} cuts the image into "
            "patches; take what goes into the last attention, as a transformer's last ln_1, "
            "norm1 or layernorm_before"
        )
    return layers[-1]


def _as_given(arguments: dict[str, Any], inputs: Any) -> dict[str, Any]:
    """Arguments with tuples only where inputs is one."""
    if isinstance(inputs, tuple):
        return arguments
    return {
        name: value[0] if isinstance(value, tuple) and len(value) == 1 else value
        for name, value in arguments.items()
    }


def _name_of(model: Any) -> str:
    """What a model calls itself, or the name of its class."""
    name = getattr(model, "name", None)
    return name if isinstance(name, str) else type(model).__name__
