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
from captum_ext.signatures import accepted_arguments
from captum_ext.soundness.identities import Identity
from captum_ext.soundness.model_facts import ModelFacts
from captum_ext.soundness.suitability import last_convolution, without_gradients, without_hooks
from captum_ext.spec_files import check_name

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


class TooFewPassesError(ValueError):
    """A method takes more passes than it may.

    Args:
        message: for the user.
        least: how many it takes at the least.
    """

    def __init__(self, message: str, least: int) -> None:
        super().__init__(message)
        self.least = least

    def __reduce__(self) -> tuple[Any, ...]:
        # A worker process hands errors on as pickles.
        return type(self), (str(self), self.least)


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
        lacks: ``lacks(facts)`` says why the method does not work on a model of which an observed
            run gave these facts, or None where it does.
        promises: what every right answer fulfils, checked after each run.
        optional_layer: looks into a layer, and finds one by itself where none is given.
        stochastic: draws random numbers.
        promises_dummy: gives zero wherever the model is blind (the dummy axiom).
        min_features: features below which it is not defined.
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
    lacks: Callable[[ModelFacts], str | None] | None = None
    promises: tuple[Identity, ...] = ()
    optional_layer: bool = False
    stochastic: bool = False
    promises_dummy: bool = False
    min_features: int = 1
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

    def make(
        self,
        forward_func: Callable[..., Any],
        layer: nn.Module | None = None,
        facts: ModelFacts | None = None,
    ) -> Attribution:
        """The attribution object for a model.

        Args:
            forward_func: the model.
            layer: the layer, where the method needs one; None takes the last convolution that ran.
            facts: of the model, from :func:`captum_ext.soundness.observe`; None: what they would
                show is not checked, and a layer that is needed must be given.

        Raises:
            TypeError: the method needs a module and was given something else.
            ValueError: the method needs a layer and none was given or found, or layers of a kind
                that did not run.
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
        reason = None if facts is None else self._reason(facts)
        if reason is not None:
            raise ValueError(f"{self.name} does not work on {_name_of(forward_func)}: {reason}")
        if layer is not None and facts is not None and facts.runs:
            _check_layer_runs(layer, facts)
        if self.optional_layer:
            return build(forward_func, layer)
        if Need.LAYER not in self.needs:
            return build(forward_func)
        if layer is None:
            if facts is None:
                raise ValueError(f"layer must be given: {self.name} looks into one")
            layer = facts.module(last_convolution(facts))
        return build(forward_func, layer)

    def _reason(self, facts: ModelFacts) -> str | None:
        """Why the method does not work on a model of these facts."""
        reason = self.lacks(facts) if self.lacks is not None else None
        if reason is None and self.needs_module:
            reason = without_hooks(facts)
        if reason is None and Need.GRADIENTS in self.needs:
            reason = without_gradients(facts)
        return reason

    def problem_with(
        self,
        forward_func: Callable[..., Any],
        facts: ModelFacts,
        layer: nn.Module | None = None,
    ) -> str | None:
        """Why the method does not work on a model, or None where it does, as far as it is known.

        Args:
            forward_func, facts, layer: as of :meth:`make`.

        Example:
            >>> import torch
            >>> from captum_ext.registry import get_method
            >>> from captum_ext.soundness import observe
            >>> model = nn.Linear(2, 1)
            >>> get_method("grad_cam").problem_with(model, observe(model, torch.ones(1, 2)))
            'layer must be given: Linear has no convolution to choose'
        """
        try:
            self.make(forward_func, layer, facts)
        except (TypeError, ValueError) as error:
            return str(error)
        return None

    def accepted(self) -> tuple[set[str], bool]:
        """The names of the arguments of ``attribute()``, and whether it takes any other too.

        Example:
            >>> from captum_ext.registry import get_method
            >>> sorted(get_method("saliency").accepted()[0])
            ['abs', 'additional_forward_args', 'inputs', 'target']
        """
        return accepted_arguments(self.specimen())

    def specimen(self) -> Attribution:
        """The attribution object of some model, to look at.

        Example:
            >>> from captum_ext.registry import get_method
            >>> type(get_method("smooth_grad").specimen().attribution_method).__name__
            'Saliency'
        """
        model = nn.Conv2d(1, 1, 1)
        build = self.build or self.attribution
        return build(model, model) if self.takes_layer else build(model)

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
            captum_ext.spec.TooFewPassesError: passes must be at least 2 for saliency; got 1
        """
        budget = self.checked_budget(passes)
        given = given or {}
        tensors = as_tuple(inputs)
        arguments = {**self.arguments(tensors, resolution), **given}
        call = Call(tensors, arguments, frozenset(given), resolution)
        try:
            chosen = budget.choose(passes, call)
            chosen = {name: value for name, value in chosen.items() if name not in given}
            least = budget.cost(replace(call, arguments=arguments | chosen))
        except ValueError:
            raise
        except Exception as error:
            # What is given is checked by the method, which has not run yet.
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(
                f"passes of {self.name} cannot be counted with its {', '.join(sorted(given))}: one "
                "of them is of a wrong kind"
            ) from error
        if least > passes:
            settings = f" with its {', '.join(sorted(given))}" if given else ""
            raise TooFewPassesError(
                f"passes must be at least {least} for {self.name}{settings}; got {passes}", least
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
    def goes_alone(self) -> bool:
        """Whether it hooks the model or draws from the global state: other threads must wait."""
        own = self.attribution.__module__.startswith("captum_ext.") and self.origin == "captum_ext"
        return not own or self.needs_module or self.optional_layer

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


def _as_given(arguments: dict[str, Any], inputs: Any) -> dict[str, Any]:
    """Arguments with tuples only where inputs is one."""
    if isinstance(inputs, tuple):
        return arguments
    return {
        name: value[0] if isinstance(value, tuple) and len(value) == 1 else value
        for name, value in arguments.items()
    }


def _check_layer_runs(layer: nn.Module, facts: ModelFacts) -> None:
    if not any(facts.module(run.name) is layer for run in facts.runs):
        raise ValueError(
            "layer must be one that the model runs; the forward pass never reaches "
            f"{layer}. To use a separate module, pass its forward method"
        )


def _name_of(model: Any) -> str:
    """What a model calls itself, or the name of its class."""
    name = getattr(model, "name", None)
    return name if isinstance(name, str) else type(model).__name__
