"""Sanity check: does the explanation change when the model forgets what it has learned?

The model parameter randomization test of Adebayo et al., NeurIPS 2018 (arXiv 1810.03292): layers
are initialized anew, and a map that stays the same does not depend on what they had learned. Lower
is better. The call is that of all metrics, see :mod:`captum_ext.metrics.localization`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any

import numpy as np
import torch
from scipy.stats import rankdata
from skimage.metrics import structural_similarity
from torch import Tensor, nn

from captum_ext.checks import check_choice, precise
from captum_ext.forward import Evaluator
from captum_ext.metric_spec import MetricNeed, MetricSpec
from captum_ext.metrics.measurement import NotFiniteError, metric, remark
from captum_ext.metrics.method_runs import Method, check_method, explanation
from captum_ext.metrics.relevance import (
    check_model_call,
    of_example,
    pixel_relevance,
    target_or_predicted,
)
from captum_ext.randomness import GeneratorLike, example_generator, global_seed, seed_of

# Pixels, the side of SSIM's window on images that are not smaller.
_WINDOW = 7


@metric
def parameter_randomization(
    forward_func: nn.Module,
    inputs: Tensor,
    attributions: Tensor,
    target: Any = None,
    additional_forward_args: Any = None,
    *,
    method: Method,
    mode: str = "cascading",
    similarity: str = "ssim",
    arguments: Mapping[str, Any] | None = None,
    generator: GeneratorLike = None,
    return_curves: bool = False,
) -> Any:
    """How similar explanations are before and after layers have been initialized anew.

    A layer is a module with parameters of its own. Where it has ``reset_parameters()``, that is
    what happens to it, BatchNorm's running statistics included; else each of its parameters is
    drawn from a normal distribution of its mean and standard deviation. All of this happens to a
    copy of the model.

    Args:
        forward_func: the model, a module.
        inputs: images ``[B, C, H, W]``.
        attributions: ``[B, C, H, W]`` or ``[B, 1, H, W]``; they are checked, and say in which dtype
            and where the result is wanted. ``method`` explains the model anew, with the same
            random numbers before and after, so that only the parameters make a difference.
        target: in Captum's forms; None: the class that the unchanged model predicts.
        additional_forward_args: in Captum's form; a function as ``method`` has to know its own.
        method: a registered method's name, its class or spec, or a function that is called as
            ``method(model, inputs, target)`` with one image ``[1, C, H, W]``.
        mode: ``"cascading"``, from the output downwards, each layer in addition to those before; or
            ``"independent"``, one layer at a time.
        similarity: of the maps of pixels. ``"ssim"``, the structural similarity after each map has
            been scaled to [0, 1] by its largest absolute value, with zero at 1/2; ``"spearman"``,
            the rank correlation of the absolute values; ``"spearman_signed"``, that of the values.
        arguments: for the method's ``attribute()``, in place of those of
            :func:`captum_ext.explanation.explain`; each image's call gets them as they are.
        generator: seed or torch.Generator.
        return_curves: the similarity for each layer, too.

    Returns:
        ``[B]``, the mean over the layers, at most 1. With ``return_curves`` a tuple of it, the
        similarities ``[B, n_layers]``, and the layers' names, from the output downwards.

    Raises:
        TypeError, ValueError: an argument of a wrong type, shape or range; an unknown mode,
            similarity or method; a model without parameters; for ``"ssim"`` images of less than
            3 x 3 pixels.

    Example:
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(48, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> images = torch.rand(1, 3, 4, 4)
        >>> scores, curves, layers = parameter_randomization(
        ...     model, images, images, target=0, method="saliency", return_curves=True
        ... )
        >>> curves.shape, layers
        (torch.Size([1, 2]), ['3', '1'])
    """
    images = check_model_call(forward_func, inputs, attributions, target, additional_forward_args)
    if not isinstance(forward_func, nn.Module):
        raise TypeError(
            f"forward_func must be a torch.nn.Module; got {type(forward_func).__name__}"
        )
    check_choice(mode, "mode", ("cascading", "independent"))
    compare = _SIMILARITIES[check_choice(similarity, "similarity", _SIMILARITIES)]
    if similarity == "ssim" and min(images.shape[2:]) < 3:
        raise ValueError(
            f"inputs must be at least 3 x 3 pixels for ssim; got shape {tuple(images.shape)}"
        )
    check_method(method, forward_func)
    seed = seed_of(generator)
    model = _copy(forward_func)
    rows = [slice(example, example + 1) for example in range(len(images))]
    target = target_or_predicted(model, images, target, additional_forward_args)
    own = [of_example(row.start, target, additional_forward_args) for row in rows]
    layers = _layers_from_output(model, images[rows[0]], own[0][1], seed)

    lost: set[int] = set()

    def maps() -> list[np.ndarray | None]:
        found: list[np.ndarray | None] = []
        for row, of in zip(rows, own, strict=True):
            try:
                heat = explanation(method, model, images[row], *of, seed, arguments)
            except NotFiniteError:
                lost.add(row.start)
                found.append(None)
            else:
                found.append(pixel_relevance(heat, images[row])[0].cpu().double().numpy())
        return found

    # Copied before the model has run with gradients: what it may keep of a run cannot be copied.
    fresh = _fresh(model, layers, seed)
    before, curves = maps(), []
    for _ in _randomized(model, fresh, layers, mode):
        pairs = zip(before, maps(), strict=True)
        curves.append(
            [
                math.nan if first is None or second is None else compare(first, second)
                for first, second in pairs
            ]
        )
    if lost:
        remark(
            f"no similarity (NaN) for examples {sorted(lost)}: their maps, or outputs of the "
            "model, are not always finite"
        )
    scores = torch.tensor(
        np.transpose(curves), dtype=precise(attributions), device=attributions.device
    )
    return (scores.mean(1), scores, layers) if return_curves else scores.mean(1)


def _layers_from_output(model: nn.Module, image: Tensor, additional: Any, seed: int) -> list[str]:
    """Names of the modules that hold something to randomize, the last to run first."""
    ran: list[nn.Module] = []
    names = {module: name for name, module in model.named_modules()}
    inner = {part for module in names for part in _parts(module)[1:]}
    held = [module for module in names if _has_own(module) and module not in inner]
    handles = [
        module.register_forward_hook(lambda module, args, output: ran.append(module))
        for module in held
    ]
    try:
        with torch.no_grad(), global_seed(seed):
            Evaluator(model, None, additional).outputs(image, torch.zeros(1, dtype=torch.int64))
    finally:
        for handle in handles:
            handle.remove()
    # A module that runs twice counts where it runs last: nearest to the output.
    order = list(dict.fromkeys(reversed(ran)))
    # Some modules use their parts' parameters without calling the parts, as MultiheadAttention.
    inside = [
        part for whole in order for part in whole.modules() if part in held and part not in order
    ]
    for part in inside:
        whole = next(whole for whole in order if part in set(whole.modules()))
        order.insert(order.index(whole), part)
    idle = [names[module] for module in held if module not in order]
    if not order:
        raise ValueError("forward_func must run modules that have parameters; it runs none")
    if idle:
        remark(f"layers that forward_func does not call are left as they are: {', '.join(idle)}")
    return [names[module] for module in order]


def _copy(model: nn.Module) -> nn.Module:
    """A deep copy, also of a model that keeps results of its last run."""
    memo = {
        id(value): value.detach().clone()
        for module in model.modules()
        for value in vars(module).values()
        if isinstance(value, Tensor) and not value.is_leaf
    }
    try:
        return copy.deepcopy(model, memo)
    except RuntimeError as error:
        raise ValueError(f"forward_func must be a module that can be copied: {error}") from error


def _parts(module: nn.Module) -> list[nn.Module]:
    """The module, and what computes its parameters, if it is parametrized."""
    parametrizations = getattr(module, "parametrizations", None)
    inner = parametrizations.modules() if isinstance(parametrizations, nn.Module) else ()
    return [module, *inner]


def _has_own(module: nn.Module) -> bool:
    parameters = chain(*(part.parameters(recurse=False) for part in _parts(module)))
    return any(value.is_floating_point() for value in parameters) or (
        hasattr(module, "reset_running_stats") and any(True for _ in module.buffers(recurse=False))
    )


def _fresh(model: nn.Module, layers: list[str], seed: int) -> nn.Module:
    """A copy of the model with all of these layers randomized."""
    fresh = _copy(model)
    # Not the seed itself: a model that was made under it, as many are under 0, would get the very
    # parameters again that it was made with.
    own_seed = seed_of(example_generator(seed))
    with torch.no_grad(), global_seed(own_seed):
        for name in layers:
            _reinitialize(fresh.get_submodule(name))
    return fresh


def _randomized(model: nn.Module, fresh: nn.Module, layers: list[str], mode: str) -> Iterator[str]:
    """Yields each layer's name while ``model`` is as the mode has it at this layer."""
    for name in layers:
        learned = copy.deepcopy(_own(model.get_submodule(name)))
        _load(model.get_submodule(name), _own(fresh.get_submodule(name)))
        yield name
        if mode == "independent":
            _load(model.get_submodule(name), learned)


def _reinitialize(module: nn.Module) -> None:
    own = [each for part in _parts(module) for each in part.parameters(recurse=False)]
    written = [parameter._version for parameter in own]
    reset = getattr(module, "reset_parameters", None)
    # A module with parts might reset these, too, whose turn is another.
    if callable(reset) and not any(module.children()):
        reset()
    elif hasattr(module, "reset_running_stats"):
        module.reset_running_stats()  # type: ignore[operator]
    for parameter, version in zip(own, written, strict=True):
        # Those that were not reset, as what a weight is computed from.
        if parameter.is_floating_point() and parameter._version == version:
            mean, spread = parameter.mean(), parameter.std(correction=0)
            # A constant, as a layer's scale at its start, would otherwise stay what it is.
            if spread == 0:
                spread = mean.abs() if mean != 0 else torch.ones_like(mean)
            parameter.copy_(mean + spread * torch.randn_like(parameter))


def _own(module: nn.Module) -> dict[str, Tensor]:
    return {
        f"{number}.{name}": tensor.detach()
        for number, part in enumerate(_parts(module))
        for name, tensor in chain(
            part.named_parameters(recurse=False), part.named_buffers(recurse=False)
        )
    }


def _load(module: nn.Module, values: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, tensor in _own(module).items():
            tensor.copy_(values[name])


def _ssim(first: np.ndarray, second: np.ndarray) -> float:
    side = min(_WINDOW, *first.shape)
    # Each by itself: what changes most when a layer is new is often the scale, which no one sees.
    # Above zero: of values on both sides of it SSIM, a product, takes two opposites for a likeness.
    scaled = [(each / (np.abs(each).max() or 1) + 1) / 2 for each in (first, second)]
    return min(
        1.0, float(structural_similarity(*scaled, data_range=1, win_size=side - 1 + side % 2))
    )


def _spearman(first: np.ndarray, second: np.ndarray) -> float:
    return _spearman_signed(np.abs(first), np.abs(second))


def _spearman_signed(first: np.ndarray, second: np.ndarray) -> float:
    """0 where only one of the maps is the same everywhere, 1 where both are."""
    ranks = [rankdata(each.ravel()) - (each.size + 1) / 2 for each in (first, second)]
    lengths = [float(np.linalg.norm(each)) for each in ranks]
    if 0 in lengths:
        return float(lengths[0] == lengths[1])
    # Rounding may carry it a little beyond.
    return float(np.clip(ranks[0] @ ranks[1] / (lengths[0] * lengths[1]), -1, 1))


_SIMILARITIES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "ssim": _ssim,
    "spearman": _spearman,
    "spearman_signed": _spearman_signed,
}


METRIC = MetricSpec(
    "parameter_randomization",
    "Similarity after randomization",
    "lower",
    "similarity of the maps before and after the model's layers are initialized anew",
    parameter_randomization,
    range=(-1, 1),
    needs={MetricNeed.METHOD, MetricNeed.SEED},
    source="Adebayo et al., NeurIPS 2018",
)
