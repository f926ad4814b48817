"""The rivals of benchmarks.speed: published path methods in NumPy, Captum, Quantus."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np
import torch
from captum.attr import KernelShap
from saliency.core import guided_ig as pairs_module
from saliency.core.base import INPUT_OUTPUT_GRADIENTS
from torch import Tensor, nn
from torch.nn import functional

from captum_ext.call_model import REP_DISTANCE_GRADIENTS, REP_LAYER_VALUES, CallModelFunction


def head_of(model: nn.Module) -> nn.Module:
    """The last convolution of a SqueezeNet; what goes into it represents an image."""
    return model.get_submodule("classifier.1")


def published_function(model: nn.Module) -> CallModelFunction:
    """A ``call_model_function`` as IG2's authors write it for torch: one key, one full backward."""
    head = head_of(model)
    dtype = next(model.parameters()).dtype

    def call(images: np.ndarray, call_model_args: Any = None, expected_keys: Any = None) -> Any:
        x = torch.tensor(np.transpose(images, (0, 3, 1, 2)), dtype=dtype)
        x = x.requires_grad_()
        seen = []
        hook = head.register_forward_hook(lambda module, args, output: seen.append(args[0]))
        output = model(x)
        hook.remove()
        (key,) = expected_keys
        if key == REP_LAYER_VALUES:
            return {key: seen[0].detach()}
        if key == REP_DISTANCE_GRADIENTS:
            loss = -functional.mse_loss(seen[0], call_model_args["layer_baseline"])
        else:
            loss = output[:, 0].sum()
        loss.backward()
        model.zero_grad()
        gradient: Any = x.grad
        return {key: gradient.movedim(1, -1).numpy()}

    return call


def ig2_loop(
    call: CallModelFunction,
    image: np.ndarray,
    references: np.ndarray,
    n_steps: int,
    step_size: float,
) -> np.ndarray:
    """IG2 in plain NumPy: first the path, then the gradients on it, a call for each."""
    goal = call(references, call_model_args={}, expected_keys=[REP_LAYER_VALUES])
    arguments = {"layer_baseline": goal[REP_LAYER_VALUES]}
    point = np.repeat(image[None], len(references), axis=0)
    path = [point]
    for _ in range(n_steps):
        keys = [REP_DISTANCE_GRADIENTS]
        gradient = call(point, call_model_args=arguments, expected_keys=keys)[keys[0]]
        norm = np.sqrt((gradient**2).sum((1, 2, 3), keepdims=True))
        point = np.clip(point + step_size * gradient / norm, 0, 1)
        path.append(point)
    total = np.zeros_like(point)
    for point, following in itertools.pairwise(path):
        keys = [INPUT_OUTPUT_GRADIENTS]
        gradient = call(point, call_model_args=arguments, expected_keys=keys)[keys[0]]
        total += (point - following) * gradient
    mean: np.ndarray = total.mean(axis=0)
    return mean


class MendedNumPy:
    """NumPy, but for the argument by which PAIR's Guided IG fails on NumPy 2."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    @staticmethod
    def quantile(values: np.ndarray, fraction: float, interpolation: Any) -> Any:
        return np.quantile(values, fraction, method=interpolation)


def pairs_guided_ig(call: CallModelFunction, image: np.ndarray, n_steps: int) -> np.ndarray:
    """PAIR's own Guided IG, made to run."""
    with mock.patch.object(pairs_module, "np", MendedNumPy()):
        mask: np.ndarray = pairs_module.GuidedIG().GetMask(image, call, x_steps=n_steps)
    return mask


class KernelShapOf(KernelShap):
    """Captum's KernelSHAP on samples that are given, in place of those that it draws.

    It draws them in proportion to the Shapley kernel; samples that are given bear it as a weight.
    """

    def __init__(self, model: nn.Module, samples: Tensor) -> None:
        super().__init__(model)
        self.samples = samples
        self.perturb_func = self._given
        self.similarity_func = self._kernel

    def _given(self, original_inp: Any, **kwargs: Any) -> Iterator[Tensor]:
        for sample in self.samples:
            yield sample[None].long()

    def _kernel(self, original: Any, perturbed: Any, sample: Tensor, **kwargs: Any) -> Tensor:
        total, kept = sample.numel(), int(sample.sum())
        if kept in (0, total):
            return torch.tensor(1e6)
        return torch.tensor((total - 1) / (math.comb(total, kept) * kept * (total - kept)))


def quantus_srg(
    model: nn.Module, images: Tensor, maps: Tensor, n_steps: int
) -> Callable[[], Tensor] | None:
    """Curves ``[B, 2, n_steps]`` of Quantus, least and most relevant first; None without it."""
    try:
        from quantus import PixelFlipping  # noqa: PLC0415
    except ImportError:
        return None
    flipping = PixelFlipping(
        features_in_step=images[0].numel() // n_steps,
        perturb_baseline="black",
        normalise=False,
        disable_warnings=True,
    )
    arrays = images.numpy(), np.zeros(len(images), dtype=int)

    def run() -> Tensor:
        both = [
            flipping(
                model=model,
                x_batch=arrays[0],
                y_batch=arrays[1],
                a_batch=relevance.numpy(),
                device="cpu",
                softmax=False,
            )
            for relevance in (-maps, maps)
        ]
        return torch.from_numpy(np.stack(both, axis=1))

    return run
