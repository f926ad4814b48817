"""Robustness: infidelity, and how much an explanation moves when its image hardly does.

Both are of Yeh et al., NeurIPS 2019 (arXiv 1901.09392), as Captum has them (``captum.metrics``),
with what images need; lower is better. The call is that of all metrics, see
:mod:`captum_ext.metrics.localization`.

Each example is examined alone, with the same random numbers as any other: what it gets does not
depend on its batch mates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import captum.metrics
import torch
from torch import Tensor

from captum_ext.checks import (
    as_tuple,
    check_baselines,
    check_choice,
    check_int,
    check_number,
    precise,
)
from captum_ext.forward import Evaluator, default_batch_size
from captum_ext.metric_spec import MetricNeed, MetricSpec
from captum_ext.metrics.measurement import NotFiniteError, finite_or_nan, metric, remark
from captum_ext.metrics.method_runs import Method, check_method, explanation, is_function
from captum_ext.metrics.perturbations import Perturbation, noise, perturbed_by, squares
from captum_ext.metrics.relevance import check_model_call, of_example, target_or_predicted
from captum_ext.randomness import GeneratorLike, example_generator, global_seed, seed_of


@metric
def infidelity(
    forward_func: Callable[..., Any],
    inputs: Tensor,
    attributions: Tensor,
    target: Any = None,
    additional_forward_args: Any = None,
    *,
    perturbation: str | Perturbation = "square",
    baselines: Any = None,
    noise_std: float = 0.2,
    n_perturb_samples: int = 100,
    normalize: bool = True,
    generator: GeneratorLike = None,
) -> Tensor:
    """How badly the attributions foretell what a perturbation does to the output.

    ``E_I (I . Phi - (f(x) - f(x - I)))^2``, as Captum's ``infidelity`` has it. The two
    perturbations are those that Yeh et al. take for images: which one fits depends on what the
    attributions mean.

    * ``"square"``: a square, of a side of 1 pixel to 10/28 of the image's, takes the baseline's
      values, and ``I`` is 1 inside. For attributions that share out the output, as Integrated
      Gradients or Occlusion: those of the square should add up to what its removal costs. The
      default, because noise on every pixel at once leaves little that tells maps apart.
    * ``"noise"``: ``I`` is Gaussian noise. For attributions that are slopes, as gradients are.

    Args:
        forward_func: the model.
        inputs: images ``[B, C, H, W]``.
        attributions: ``[B, C, H, W]``, or ``[B, 1, H, W]``, which is shared out evenly between the
            channels.
        target: in Captum's forms; None: the predicted class.
        additional_forward_args: in Captum's form.
        perturbation: one of these, or a function in Captum's form (``perturb_func``): from one
            example's copies ``[n, C, H, W]`` the perturbations ``I`` and the perturbed images.
        baselines: what squares are filled with, in any of Captum's forms; None is zero.
        noise_std: standard deviation of the noise in units of ``inputs``; 0.2 of the range of RGB
            in [0, 1], as in the paper's code.
        n_perturb_samples: perturbations of each image.
        normalize: scale each map as suits it best before it is judged, as Yeh et al. do: most maps
            have no unit. The score then lies between 0 and ``E (f(x) - f(x - I))^2``, which a map
            of zeros gets.
        generator: seed or torch.Generator.

    Returns:
        ``[B]``, in squared units of the output, at least 0; NaN, with a warning, where the model
        gives NaN or infinite outputs.

    Raises:
        TypeError, ValueError: an argument of a wrong type, shape or range.

    Example:
        >>> images = torch.rand(2, 1, 8, 8)
        >>> model = torch.nn.Flatten()
        >>> attributions = torch.zeros(2, 1, 8, 8)
        >>> attributions[:, :, 0, 5] = images[:, :, 0, 5]
        >>> infidelity(model, images, attributions, target=5, normalize=False).round(decimals=6)
        tensor([0., 0.])
    """
    images = check_model_call(forward_func, inputs, attributions, target, additional_forward_args)
    count = check_int(n_perturb_samples, "n_perturb_samples", minimum=1)
    check_number(noise_std, "noise_std", low=0, above=True)
    if not callable(perturbation):
        check_choice(perturbation, "perturbation", ("square", "noise"))
    # Sums over an image would lose their small terms in half precision, which the model may want.
    wide = images.to(precise(images))
    (starts,) = check_baselines(baselines, (wide,))
    # The channels of a pixel add up to its relevance, also where it is given as one number.
    share = attributions.detach().to(wide)
    share = share.expand_as(wide) * (share.shape[1] / wide.shape[1])
    seed = seed_of(generator)
    target = target_or_predicted(forward_func, images, target, additional_forward_args)
    batch_size = min(count, default_batch_size((images,), forward_func))

    def of(example: int) -> Tensor:
        chosen, additional = of_example(example, target, additional_forward_args)
        evaluator = Evaluator(forward_func, chosen, additional)
        row = slice(example, example + 1)
        if callable(perturbation):
            perturb = perturbation
        elif perturbation == "square":
            perturb = squares(starts[row], count, seed)
        else:
            perturb = noise(noise_std, seed)

        def scores_of(rows: Tensor) -> Tensor:
            only = torch.zeros(len(rows), dtype=torch.int64, device=rows.device)
            scores = evaluator.one_score_each((rows.to(images),), only)
            return finite_or_nan(scores).cpu().double()

        # Relative to the largest, sums of the largest and smallest values neither over- nor
        # underflow.
        size = share[row].abs().amax()
        unit = share[row] / size if size > 0 else share[row]
        foretold, happened = [], []
        with torch.no_grad(), global_seed(seed):
            before = scores_of(wide[row])
            for start in range(0, count, batch_size):
                copies = wide[row].repeat_interleave(min(batch_size, count - start), dim=0)
                change, perturbed = perturbed_by(perturb, copies)
                foretold.append((unit * change).flatten(1).sum(1).cpu().double())
                happened.append(before - scores_of(perturbed))
        shares, costs = torch.cat(foretold), torch.cat(happened)
        shares = _best_multiple(shares, costs) if normalize else shares * size.cpu()
        return (shares - costs).square().mean()

    scores = torch.stack([of(example) for example in range(len(images))])
    return scores.to(attributions.device, precise(attributions))


@metric
def max_sensitivity(
    forward_func: Callable[..., Any],
    inputs: Tensor,
    attributions: Tensor,
    target: Any = None,
    additional_forward_args: Any = None,
    *,
    method: Method,
    perturb_radius: float = 0.02,
    n_perturb_samples: int = 10,
    arguments: Mapping[str, Any] | None = None,
    generator: GeneratorLike = None,
) -> Tensor:
    """The largest relative change of the explanation within a small distance from the image.

    ``max_{|d|_inf <= r} ||Phi(x + d) - Phi(x)||_2 / ||Phi(x)||_2``, by Captum's
    ``sensitivity_max``. It judges a method rather than one map: ``method`` explains the image anew,
    with the same random numbers as its neighbors, so that only the image makes a difference.

    Args:
        forward_func: the model.
        inputs: images ``[B, C, H, W]``.
        attributions: ``[B, C, H, W]`` or ``[B, 1, H, W]``; they are checked, and say in which dtype
            and where the result is wanted.
        target: in Captum's forms; None: the class predicted for the unchanged image.
        additional_forward_args: in Captum's form; a function as ``method`` has to know its own.
        method: a registered method's name, its class or spec, or a function that is called as
            ``method(inputs, target)`` with one image ``[1, C, H, W]``.
        perturb_radius: r, in units of ``inputs``: 0.02 is 5 of 255 levels of RGB in [0, 1].
        n_perturb_samples: neighbors of each image, drawn uniformly.
        arguments: for the method's ``attribute()``, in place of those of
            :func:`captum_ext.explanation.explain`; each image's call gets them as they are.
        generator: seed or torch.Generator.

    Returns:
        ``[B]``: 0 where the explanation stays; the change itself where it is zero at the image;
        NaN, with a warning, where a map, or an output of the model, is not finite.

    Raises:
        TypeError, ValueError: an argument of a wrong type, shape or range; an unknown method.

    Example:
        >>> images, model = torch.rand(2, 1, 4, 4), torch.nn.Flatten()
        >>> attributions = torch.zeros_like(images)
        >>> max_sensitivity(model, images, attributions, target=3, method="saliency")
        tensor([0., 0.])
    """
    images = check_model_call(forward_func, inputs, attributions, target, additional_forward_args)
    check_method(method, forward_func)
    count = check_int(n_perturb_samples, "n_perturb_samples", minimum=1)
    radius = check_number(perturb_radius, "perturb_radius", low=0, above=True)
    seed = seed_of(generator)
    target = target_or_predicted(forward_func, images, target, additional_forward_args)
    explained_by = (lambda _, *asked: method(*asked)) if is_function(method) else method

    lost: dict[int, str] = {}

    def of(example: int) -> Tensor:
        try:
            return sensitivity(example)
        except NotFiniteError as error:
            lost[example] = str(error)
            return torch.full((1,), math.nan, dtype=torch.float64)

    def sensitivity(example: int) -> Tensor:
        own = of_example(example, target, additional_forward_args)
        stream = example_generator(seed)

        def explain_one(given: Any) -> tuple[Tensor]:
            (image,) = as_tuple(given)
            result = explanation(explained_by, forward_func, image, *own, seed, arguments)
            # Of small maps the norm, a sum of squares, would vanish in single precision.
            return (result.cpu().double().contiguous(),)

        def neighbors(image: Tensor) -> Tensor:
            shift = torch.rand(image.shape, generator=stream, dtype=torch.float64) * 2 - 1
            return image + (radius * shift).to(image)

        # One neighbor at a time: in a batch, some methods would give each its own noise.
        return captum.metrics.sensitivity_max(
            explain_one,
            images[example : example + 1],
            neighbors,
            n_perturb_samples=count,
            max_examples_per_batch=1,
        )

    scores = torch.cat([of(example) for example in range(len(images))])
    if lost:
        remark(f"no sensitivity (NaN) for examples {sorted(lost)}: {lost}")
    return scores.to(attributions.device, precise(attributions))


def _best_multiple(shares: Tensor, costs: Tensor) -> Tensor:
    """``shares`` times the number that brings them nearest to ``costs``."""
    largest = shares.abs().amax()
    if largest == 0:
        return shares
    unit = shares / largest
    return unit * ((unit * costs).sum() / unit.square().sum())


METRICS = (
    # Infidelity is of the output that all are compared on, which need not be the one explained.
    MetricSpec(
        "infidelity",
        "Infidelity",
        "lower",
        "how badly the map foretells what the removal of squares does to the output",
        infidelity,
        range=(0, None),
        needs={MetricNeed.OUTPUT, MetricNeed.SEED},
        source="Yeh et al., NeurIPS 2019",
    ),
    MetricSpec(
        "max_sensitivity",
        "Max-sensitivity",
        "lower",
        "largest relative change of the map when the image hardly changes",
        max_sensitivity,
        range=(0, None),
        needs={MetricNeed.METHOD, MetricNeed.SEED},
        source="Yeh et al., NeurIPS 2019",
    ),
)
