"""One call for any method, with settings that suit images."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from captum.attr import Attribution
from torch import Tensor, nn

from captum_ext.checks import as_tuple, check_choice, check_inputs
from captum_ext.coerce import (
    baselines_of,
    inputs_of,
    layer_of,
    model_of,
    references_of,
    target_of,
)
from captum_ext.forward import Evaluator, default_batch_size
from captum_ext.randomness import GeneratorLike, global_seed, seed_of
from captum_ext.registry import as_spec
from captum_ext.spec import MethodSpec, Resolution
from captum_ext.targets import check_target, clear_target_errors, plain_target

#: What is taken for images where no method is asked for, and for other inputs.
DEFAULT_METHOD = "segment_lime"
DEFAULT_FOR_OTHERS = "integrated_gradients"


def explain(
    model: str | Callable[..., Any],
    inputs: Any,
    target: Any = None,
    method: str | MethodSpec | type[Attribution] | None = None,
    *,
    layer: nn.Module | str | None = None,
    references: Any = None,
    device: str | torch.device | None = None,
    resolution: Resolution = "image",
    passes: int | None = None,
    generator: GeneratorLike = None,
    arguments: Mapping[str, Any] | None = None,
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
        device: where to compute, as of :func:`captum_ext.models.choose_device`; moves the model.
            None: where the model is, or, where it is given by name, the best there is.
        resolution: ``"pixel"`` treats each pixel as a feature of its own, ``"image"`` takes
            windows and segments as is usual on photographs; for methods that have the choice.
        passes: that the method may take at most for each example, forward and backward, see
            :meth:`captum_ext.MethodSpec.within`; None: as many as its arguments take. What finds
            the target is not counted.
        generator: seed (or torch.Generator) of a stochastic method; None is seed 0. The global
            random state is left as it was.
        arguments: arguments of the method's ``attribute()``, in place of the defaults; needed for
            those whose name this function uses itself (``{"method": "riemann_trapezoid"}``).
        **kwargs: more such arguments. ``baselines`` may also be a name of
            :data:`captum_ext.baselines.BASELINES`, for RGB in [0, 1].

    Returns:
        Attributions of the shape, dtype and device of ``inputs``, without autograd graph (and
        whatever else ``attribute()`` was asked to return).

    Raises:
        ValueError: unknown model, method, class, layer or baseline, with the nearest name; inputs
            that are empty, misaligned, not finite or no picture; a target that does not fit; a
            method that does not work on the model, or takes more passes at the least.
        TypeError: an argument that the method does not take, or a function where a module is
            needed.

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(12, 4))
        >>> explain(model, torch.rand(2, 3, 2, 2), target=1, method="saliency").shape
        torch.Size([2, 3, 2, 2])
    """
    model = model_of(model, device)
    inputs, references = inputs_of(model, inputs), references_of(model, references)
    target = target_of(model, target)
    if method is None:
        images = all(isinstance(x, Tensor) and x.dim() == 4 for x in as_tuple(inputs))
        method = DEFAULT_METHOD if images else DEFAULT_FOR_OTHERS
    spec = as_spec(method)
    chosen = dict(arguments or {}) | kwargs
    target = plain_target(target)
    check_choice(resolution, "resolution", ("pixel", "image"))
    tensors = check_inputs(inputs)
    check_target(target, tensors[0].shape[0])
    seed = seed_of(generator)
    attribution = spec.make(model, layer_of(model, layer))
    accepted, takes_any = accepted_arguments(attribution)
    unknown = sorted(set(chosen) - accepted)
    if unknown and not takes_any:
        raise TypeError(
            f"{spec.name} does not take {', '.join(unknown)}; it takes "
            f"{', '.join(sorted(accepted - {'inputs', 'target'}))}"
        )
    # Copies, so that no method can leave a mark on the caller's tensors.
    where = _device_of(model, tensors[0].device)
    copies = tuple(tensor.detach().clone().to(where) for tensor in tensors)
    seen = copies if isinstance(inputs, tuple) else copies[0]
    settings, compared = spec.arguments(seen, resolution, seed), dict[str, Any]()
    if references is not None:
        examples = check_inputs(references, "references")
        if [part.shape[1:] for part in examples] != [x.shape[1:] for x in copies]:
            raise ValueError(
                f"references must be like inputs, {[tuple(x.shape[1:]) for x in copies]} each; got "
                f"{[tuple(part.shape[1:]) for part in examples]}"
            )
        moved = tuple(part.to(x) for part, x in zip(examples, copies, strict=True))
        compared = spec.reference_arguments(moved if isinstance(inputs, tuple) else moved[0])
    if isinstance(chosen.get("baselines"), str):
        named = baselines_of(chosen["baselines"], spec, model, copies, seed)
        chosen["baselines"] = named if isinstance(inputs, tuple) else named[0]
    settings |= compared
    if passes is not None:
        settings |= spec.within(passes, seen, resolution, compared | chosen)
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
        result = attribution.attribute(seen, **settings)
    return _like_inputs(result, inputs)


_ROUTINE_WARNINGS = (
    r"\s*(Input Tensor \d+ did not already require gradients|Setting (forward, )?backward hooks"
    r"|You are providing multiple inputs for Lime|Converting a tensor with requires_grad)"
)


def _device_of(model: Callable[..., Any], inputs: torch.device) -> torch.device:
    """Where a module's parameters are; where the inputs are, if there are none."""
    parameters = model.parameters() if isinstance(model, nn.Module) else iter(())
    return next((parameter.device for parameter in parameters), inputs)


def accepted_arguments(attribution: Attribution) -> tuple[set[str], bool]:
    """The names of the arguments of ``attribute()``, and whether it takes any other too.

    What it hands on to the method that it inherits from, or is made of, counts.

    Example:
        >>> from captum.attr import NoiseTunnel, Saliency
        >>> "abs" in accepted_arguments(NoiseTunnel(Saliency(lambda x: x)))[0]
        True
    """
    names: set[str] = set()
    takes_any = False
    for kind in type(attribution).__mro__:
        if not callable(kind.__dict__.get("attribute")):
            continue
        parameters = inspect.signature(kind.__dict__["attribute"]).parameters.values()
        names |= {p.name for p in parameters if p.kind is not p.VAR_KEYWORD} - {"self"}
        takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
        if not takes_any:
            break
    inner = getattr(attribution, "attribution_method", None)
    if takes_any and isinstance(inner, Attribution):
        more, takes_any = accepted_arguments(inner)
        names |= more
    return names, takes_any


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
    """Detached, in its input's dtype and on its device; what comes beside attributions as it is."""
    if isinstance(inputs, tuple) and isinstance(result, tuple) and len(result) == len(inputs):
        pairs = zip(result, inputs, strict=True)
        return tuple(_like_inputs(part, tensor) for part, tensor in pairs)
    if isinstance(result, tuple):
        return tuple(_like_inputs(part, inputs) for part in result)
    if not isinstance(result, Tensor):
        return result
    like = inputs if isinstance(inputs, Tensor) else inputs[0]
    dtype = like.dtype if like.is_floating_point() else result.dtype
    return result.detach().to(like.device, dtype)
