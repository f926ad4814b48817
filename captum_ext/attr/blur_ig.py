"""Blur IG: integrated gradients in scale space (Xu et al., CVPR 2020), as PAIR implements it.

The path ``x(sigma)`` leads from a blurred image to the sharp one, with no baseline to choose:

    attribution = - integral from 0 to max_sigma of df(x(sigma))/dx * dx(sigma)/dsigma

Paper: arXiv 2004.03383.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import saliency.core as pair
import torch
from saliency.core.blur_ig import gaussian_blur
from torch import Tensor

from captum_ext._captum import log_usage
from captum_ext.attr.pair import FromSaliency
from captum_ext.baselines import MOST_SIGMA
from captum_ext.budgets import Knob
from captum_ext.checks import MOST_STEPS, as_tuple, check_int, check_number, precise
from captum_ext.forward import Evaluator, batch_size_or_default
from captum_ext.passes import checking
from captum_ext.soundness.evidence import is_evidence_wanted, note
from captum_ext.soundness.identities import PATH_TOLERANCE, Completeness
from captum_ext.spec import MethodSpec, Need
from captum_ext.targets import check_images


class BlurIG(FromSaliency):
    """Blur IG: integrated gradients from a blurred image to the sharp one.

    PAIR's implementation, with Captum's arguments. With ``sqrt`` PAIR weights all steps of a
    batch like its last one; here they then go one by one, which weights each by its own.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(48, 4))
        >>> BlurIG(model).attribute(torch.rand(2, 3, 4, 4), target=1, n_steps=10).shape
        torch.Size([2, 3, 4, 4])
    """

    _multiply_by_inputs = True

    def __init__(self, forward_func: Callable[..., Any]) -> None:
        super().__init__(pair.BlurIG(), forward_func)

    @log_usage(part_of_slo=True)
    def attribute(
        self,
        inputs: Any,
        target: Any = None,
        additional_forward_args: Any = None,
        n_steps: int = 100,
        max_sigma: float = 50.0,
        grad_step: float = 0.01,
        sqrt: bool = False,
        internal_batch_size: int | None = None,
    ) -> Any:
        """Takes Captum's arguments; the others are:

        Args:
            inputs: images ``[B, C, H, W]``, or a tuple of such tensors.
            n_steps: steps of the path.
            max_sigma: standard deviation of the strongest blur, in pixels.
            grad_step: in pixels, the difference of sigma that the path's direction is taken from.
            sqrt: sigma grows with the square root of the step.
            internal_batch_size: steps per call of the model; None chooses by device and size.

        Returns:
            Attributions of the shape and dtype of ``inputs``.

        Raises:
            TypeError: inputs of a wrong type.
            ValueError: inputs that are no images or not finite; an argument out of its range.
        """
        tensors = check_images(inputs, target, additional_forward_args)
        batch_size = batch_size_or_default(internal_batch_size, tensors, self.forward_func)
        settings = {
            "steps": check_int(n_steps, "n_steps", minimum=1, maximum=MOST_STEPS),
            "max_sigma": check_number(max_sigma, "max_sigma", low=0, high=MOST_SIGMA, above=True),
            "grad_step": check_number(grad_step, "grad_step", low=0, high=MOST_SIGMA, above=True),
            "sqrt": sqrt,
            "batch_size": 1 if sqrt else batch_size,
        }
        result = self.masks(inputs, target, additional_forward_args, lambda *_: settings)
        if is_evidence_wanted() and len(tensors) == 1:
            self._note_completeness(tensors[0], result, target, additional_forward_args, max_sigma)
        return result

    def _note_completeness(
        self, x: Tensor, result: Any, target: Any, additional_forward_args: Any, max_sigma: float
    ) -> None:
        """Notes what the attributions sum to, and by how much the output differs when blurred."""
        evaluator = Evaluator(self.forward_func, target, additional_forward_args)
        array = x.detach().movedim(1, -1).to(precise(x)).cpu().numpy()
        blurred = [gaussian_blur(image, max_sigma) for image in array]
        start = torch.from_numpy(np.stack(blurred)).movedim(-1, 1).to(x)
        examples = torch.arange(len(x), device=x.device)
        with checking(), torch.no_grad():
            ends = [evaluator.one_score_each((each,), examples).double() for each in (start, x)]
        (attributions,) = as_tuple(result)
        note("completeness", (attributions.double().flatten(1).sum(1), ends[1] - ends[0]))


SPEC = MethodSpec(
    "blur_ig",
    "Blur IG",
    "path",
    "Xu et al., CVPR 2020",
    BlurIG,
    frozenset({Need.GRADIENTS}),
    budget=Knob("n_steps", each=2),
    promises=(Completeness(PATH_TOLERANCE, "take more n_steps", 0.05, noted=True),),
    promises_dummy=True,
    origin="saliency",
)
