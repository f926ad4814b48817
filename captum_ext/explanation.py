"""One call for any method, with settings that suit images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from captum.attr import Attribution
from torch import Tensor, nn

from captum_ext.asking import run_method, warn_of
from captum_ext.checks import as_tuple
from captum_ext.choices import DEFAULT_METHOD, OUTPUTS
from captum_ext.coerce import inputs_of, model_of, outputs_of, references_of, target_of
from captum_ext.randomness import GeneratorLike, seed_of
from captum_ext.registry import as_spec
from captum_ext.request import Request
from captum_ext.spec import MethodSpec, Resolution

#: The method for inputs that are no images, where none is given.
DEFAULT_FOR_OTHERS = "integrated_gradients"


def explain(
    model: str | Callable[..., Any],
    inputs: Any,
    target: Any = None,
    method: str | MethodSpec | type[Attribution] | None = None,
    *,
    layer: nn.Module | str | None = None,
    references: Any = None,
    outputs: str | None = None,
    device: str | torch.device | None = None,
    resolution: Resolution = "image",
    passes: int | None = None,
    generator: GeneratorLike = None,
    arguments: Mapping[str, Any] | None = None,
    output: int | str | None = None,
    full: bool = False,
    checks: bool = True,
    strict: bool = False,
    **kwargs: Any,
) -> Any:
    """Explains ``model`` at ``inputs`` by any registered method, with defaults that suit images.

    Args:
        model: a module, or a function where the method needs no module. Its mode is not changed:
            call ``model.eval()`` first. Or a name, as of :func:`captum_ext.load_model`, which then
            loads it with its own weights.
        inputs: a tensor ``[B, ...]`` or a tuple of them. For a model of
            :func:`captum_ext.load_model` also a picture: the path of an image file, a photograph
            of scikit-image by its name, a ``PIL.Image`` or an array ``[H, W, 3]``; what the model
            sees of it, ``[1, 3, h, w]``, is explained.
        target: which output to explain, in Captum's forms; None takes, where the model returns
            ``[B, classes]``, each example's highest output. For a model of
            :func:`captum_ext.load_model` also a class's name.
        method: its name, its class or its spec. None takes :data:`DEFAULT_METHOD` for images, which
            the README's table has chosen, and :data:`DEFAULT_FOR_OTHERS` for other inputs.
        layer: for methods that look into a layer, itself or its name in the model; None takes the
            last convolution (IG2: the input of the last linear layer or convolution).
        references: examples of other images, ``[R, ...]`` (or a tuple of such), for methods that
            compare with these; for a model of :func:`captum_ext.load_model` also a folder.
        outputs: what the model gives, one of :data:`captum_ext.choices.OUTPUT_KINDS`, as of
            :func:`captum_ext.load_model`. Of logits (``"softmax"``, ``"sigmoid"``) a method that
            only runs the model explains the probability, and one that uses gradients the logit.
            None or ``"auto"``: the outputs are explained as they are; a method that needs
            probabilities takes those of a model that :func:`captum_ext.load_model` has been told
            of, else it finds them by the outputs' values, or refuses these.
        device: where to compute, as of :func:`captum_ext.models.choose_device`; moves the model.
            None: where the model is, or, where it is given by name, the best there is.
        resolution: ``"pixel"`` treats each pixel as a feature of its own, ``"image"`` takes
            windows and segments as is usual on photographs; for methods that have the choice.
        passes: the most passes, forward and backward together, that the method may take for each
            example, see :meth:`captum_ext.MethodSpec.within`; None: its default settings. The pass
            that finds the target is not counted.
        generator: seed (or torch.Generator) of a stochastic method; None is seed 0. The global
            random state is left as it was.
        arguments: arguments of the method's ``attribute()``, in place of the defaults; needed for
            those whose name this function uses itself (``{"method": "riemann_trapezoid"}``).
        output: which part of the model's output counts, by its key, attribute or place; None takes
            the only tensor, or the one called ``logits``.
        full: return the :class:`captum_ext.Answer`: the attribution with its checks, cost and
            remarks.
        checks: check what the method promises of its answer, as completeness, where this takes
            passes. They count as :attr:`captum_ext.Answer.check_passes`, not as the method's.
        strict: a check that fails is an error.
        **kwargs: more such arguments. ``baselines`` may also be a name of
            :data:`captum_ext.baselines.BASELINES`, for RGB in [0, 1].

    Returns:
        Attributions of the shape, dtype and device of ``inputs``, without autograd graph (and
        whatever else ``attribute()`` was asked to return). Inputs of whole numbers beside others
        get zeros. With ``full`` an :class:`captum_ext.Answer`.

    Warns:
        AttributionWarning: the answer breaks what its method promises, with the numbers; the model
            is in training mode.

    Raises:
        ValueError: unknown model, method, class, layer or baseline, with the nearest name; inputs
            that are empty, misaligned, not finite or no picture; a target that does not fit; a
            method that does not work on the model or such outputs, or takes more passes at the
            least; with ``strict`` a check that fails.
        TypeError: an argument that the method does not take, or a function where a module is
            needed.

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(12, 4))
        >>> explain(model, torch.rand(2, 3, 2, 2), target=1, method="saliency").shape
        torch.Size([2, 3, 2, 2])
    """
    model = model_of(model, device)
    inputs = inputs_of(model, inputs)
    references = references_of(model, references)
    target = target_of(model, target)
    if method is None:
        images = all(isinstance(x, Tensor) and x.dim() == 4 for x in as_tuple(inputs))
        method = DEFAULT_METHOD if images else DEFAULT_FOR_OTHERS
    spec = as_spec(method)
    settings = dict(arguments or {}) | kwargs
    kind = outputs_of(model, spec, outputs, settings)
    request = Request(
        target=target,
        output=None if kind is None else OUTPUTS[0],
        outputs=kind or "softmax",
        references=references,
        layer=layer,
        settings=settings,
        passes=passes,
        seed=seed_of(generator),
        resolution=resolution,
        part=output,
        checks=checks,
        strict=strict,
    )
    answer = run_method(spec, model, inputs, request)
    warn_of(spec, answer)
    if full:
        return answer
    return (answer.heat, *answer.beside) if answer.beside else answer.heat
