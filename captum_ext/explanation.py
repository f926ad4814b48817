"""One call for any method, with settings that suit images."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from captum.attr import Attribution
from torch import Tensor, nn

from captum_ext.checks import check_choice, check_inputs
from captum_ext.forward import Evaluator, default_batch_size
from captum_ext.randomness import GeneratorLike, global_seed, seed_of
from captum_ext.registry import as_spec
from captum_ext.spec import MethodSpec, Resolution
from captum_ext.targets import check_target, clear_target_errors, plain_target


def explain(
    model: Callable[..., Any],
    inputs: Any,
    target: Any = None,
    method: str | MethodSpec | type[Attribution] = "integrated_gradients",
    *,
    layer: nn.Module | None = None,
    resolution: Resolution = "image",
    generator: GeneratorLike = None,
    arguments: Mapping[str, Any] | None = None,
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
        arguments: arguments of the method's ``attribute()``, in place of the defaults; needed for
            those whose name this function uses itself (``{"method": "riemann_trapezoid"}``).
        **kwargs: more such arguments.

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
    chosen = dict(arguments or {}) | kwargs
    target = plain_target(target)
    check_choice(resolution, "resolution", ("pixel", "image"))
    tensors = check_inputs(inputs)
    check_target(target, tensors[0].shape[0])
    seed = seed_of(generator)
    attribution = spec.make(model, layer)
    accepted, takes_any = accepted_arguments(attribution)
    unknown = sorted(set(chosen) - accepted)
    if unknown and not takes_any:
        raise TypeError(
            f"{spec.name} does not take {', '.join(unknown)}; it takes "
            f"{', '.join(sorted(accepted - {'inputs', 'target'}))}"
        )
    # Copies, so that no method can leave a mark on the caller's tensors.
    copies = tuple(tensor.detach().clone() for tensor in tensors)
    settings = spec.arguments(copies if isinstance(inputs, tuple) else copies[0], resolution, seed)
    general = {"generator": seed}
    if _is_captums(attribution):
        # Left to itself, it takes one row at a time, or all at once.
        batch_size = default_batch_size(copies, model)
        general["perturbations_per_eval"] = max(1, batch_size // copies[0].shape[0])
        general["internal_batch_size"] = max(batch_size, copies[0].shape[0])
    settings |= {name: value for name, value in general.items() if name in accepted} | chosen
    additional = settings.get("additional_forward_args")
    if target is None:
        target = predicted_target(model, copies, additional)
    if "target" in accepted or takes_any:
        settings["target"] = target
    with (
        clear_target_errors(model, copies, target, additional),
        global_seed(seed),
        warnings.catch_warnings(),
    ):
        # Captum warns that it does what this function asked it to do.
        warnings.filterwarnings("ignore", message=_ROUTINE_WARNINGS, category=UserWarning)
        result = attribution.attribute(
            copies if isinstance(inputs, tuple) else copies[0], **settings
        )
    return _like_inputs(result, inputs)


_ROUTINE_WARNINGS = (
    r"\s*(Input Tensor \d+ did not already require gradients|Setting (forward, )?backward hooks"
    r"|You are providing multiple inputs for Lime|Converting a tensor with requires_grad)"
)


def accepted_arguments(attribution: Attribution) -> tuple[set[str], bool]:
    """The names of the arguments of ``attribute()``, and whether it takes any other too."""
    parameters = inspect.signature(attribution.attribute).parameters.values()
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    return {parameter.name for parameter in parameters}, takes_any


def _is_captums(attribution: Attribution) -> bool:
    """Whether ``attribute()`` is Captum's own, also in a class that inherits it."""
    return attribution.attribute.__module__.startswith("captum.")


def predicted_target(
    model: Callable[..., Any], inputs: tuple[Tensor, ...], additional_forward_args: Any = None
) -> Any:
    """The target where none is given: each example's highest output ``[B]``.

    Returns:
        None where the model returns one score for each example.

    Raises:
        ValueError: outputs of more than two dimensions.

    Example:
        >>> import torch
        >>> predicted_target(nn.Identity(), (torch.tensor([[0.2, 0.8]]),))
        tensor([1])
    """
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
