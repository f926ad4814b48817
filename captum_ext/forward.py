"""The only place that runs a model many times: batching, layout, counting, progress.

Perturbation methods spend their life in the model. :class:`Evaluator` makes their perturbed inputs
batch by batch, so that they never exist all at once, and hands them over in the layout that the
model is fastest with. :class:`Preprocessed` lets a model that wants normalized input take RGB in
[0, 1].
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from captum._utils.common import _run_forward
from torch import Tensor, nn
from tqdm.auto import tqdm

from captum_ext.checks import as_tuple, check_int
from captum_ext.layers import CONVOLUTIONS, gradients_of
from captum_ext.passes import Passes, count_passes
from captum_ext.targets import select_target

__all__ = [
    "Evaluator",
    "Normalize",
    "Passes",
    "Preprocessed",
    "count_passes",
    "default_batch_size",
]

#: Perturbed inputs for the given examples and samples: ``(examples [b], samples [b])`` -> a tensor
#: (or a tuple of tensors) with ``b`` rows.
Perturb = Callable[[Tensor, Tensor], Tensor | tuple[Tensor, ...]]

# The largest tensor of a pass should stay below this. On a CPU, glibc maps every allocation above
# 32 MiB afresh, and the page faults of each pass then cost more than a large batch saves: a
# SqueezeNet at 224 x 224 takes 13 ms an image in batches of 5, and 23 ms in batches of 32.
LARGEST_TENSOR = {"cpu": 24 * 2**20}
ACCELERATOR_LARGEST_TENSOR = 2**30
# The first convolutions of a network make 5 to 8 times as many values as it takes in.
CONVOLUTION_GROWTH = 8
MAX_BATCH = 1024


class Normalize(nn.Module):
    """``(x - mean) / std`` per channel, for ``[B, C, H, W]`` with ``mean, std [C]``.

    Example:
        >>> Normalize([0.5], [0.25])(torch.ones(1, 1, 1, 1)).item()
        2.0
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float] | Tensor, std: Sequence[float] | Tensor) -> None:
        super().__init__()
        for name, value in (("mean", mean), ("std", std)):
            column = torch.as_tensor(value, dtype=torch.get_default_dtype()).reshape(-1, 1, 1)
            if not torch.isfinite(column).all():
                raise ValueError(f"{name} must be finite; got {value}")
            self.register_buffer(name, column.clone())
        if self.mean.shape != self.std.shape:
            raise ValueError(
                "mean and std must have one value per channel each; got "
                f"{self.mean.numel()} and {self.std.numel()}"
            )
        if not (self.std > 0).all():
            raise ValueError(f"std must be positive; got {self.std.flatten().tolist()}")

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() < 3 or x.shape[-3] != self.mean.shape[0]:
            raise ValueError(
                f"inputs must have {self.mean.shape[0]} channels ([B, C, H, W]); got shape "
                f"{tuple(x.shape)}"
            )
        return (x - self.mean.to(x.dtype)) / self.std.to(x.dtype)


class Preprocessed(nn.Module):
    """A model that wants normalized images, made to take RGB in [0, 1].

    Wrap once; then colors, baselines and segmenters all speak RGB.

    Args:
        model: takes ``[B, C, H, W]`` normalized by ``mean`` and ``std``.
        mean: one value per channel, in [0, 1] units.
        std: one positive value per channel.

    Raises:
        ValueError: ``mean`` and ``std`` of different lengths, or ``std`` not positive.

    Example:
        >>> model = Preprocessed(nn.Identity(), mean=[0.5, 0.5, 0.5], std=[0.5, 0.5, 0.5])
        >>> model(torch.zeros(1, 3, 2, 2)).unique().tolist()
        [-1.0]
    """

    def __init__(
        self, model: nn.Module, mean: Sequence[float] | Tensor, std: Sequence[float] | Tensor
    ) -> None:
        super().__init__()
        self.normalize = Normalize(mean, std)
        self.model = model
        self.training = model.training

    def forward(self, x: Tensor, *args: Any) -> Any:
        return self.model(self.normalize(x), *args)


def default_batch_size(
    inputs: tuple[Tensor, ...], forward_func: Callable[..., Any] | None = None
) -> int:
    """How many rows like those of ``inputs`` make a good batch on their device.

    Args:
        inputs: tensors ``[B, ...]``.
        forward_func: the model; a module without convolutions gets larger batches.

    Example:
        >>> images = (torch.zeros(1, 3, 224, 224),)
        >>> default_batch_size(images), default_batch_size(images, nn.Flatten())
        (5, 41)
    """
    largest = LARGEST_TENSOR.get(inputs[0].device.type, ACCELERATOR_LARGEST_TENSOR)
    per_example = sum(tensor[0].numel() * tensor.element_size() for tensor in inputs)
    growth = 1 if _has_no_convolution(forward_func) else CONVOLUTION_GROWTH
    return max(1, min(MAX_BATCH, largest // (growth * per_example)))


def batch_size_or_default(
    internal_batch_size: int | None, inputs: tuple[Tensor, ...], forward_func: Callable[..., Any]
) -> int:
    """``internal_batch_size``, checked, or what suits the inputs and the device."""
    if internal_batch_size is None:
        return default_batch_size(inputs, forward_func)
    return check_int(internal_batch_size, "internal_batch_size", minimum=1)


def as_channels_last(tensor: Tensor) -> Tensor:
    """A 4-d tensor in the memory layout that convolutions prefer; any other as it is."""
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor


def _has_no_convolution(forward_func: Callable[..., Any] | None) -> bool:
    if not isinstance(forward_func, nn.Module):
        return False
    return not any(isinstance(module, CONVOLUTIONS) for module in forward_func.modules())


class Evaluator:
    """Streams perturbed inputs through a model and collects the scores.

    Row ``(example, sample)`` of the work is made by the caller's ``perturb``, in batches of
    ``batch_size``, and forgotten as soon as it is scored: memory does not grow with the number of
    samples. 4-d batches go in as channels_last, which convolutions prefer. No gradients are kept.

    Args:
        forward_func: a module or function of one or several tensors ``[b, ...]``.
        target: which output is the score; Captum's forms, one per example where it is a list or
            a tensor. None where ``forward_func`` returns the score itself.
        additional_forward_args: passed to ``forward_func`` after the inputs; a tensor with one
            row per example follows its example.
        batch_size: rows per call of the model; None chooses by device and size of an example.
        channels_last: memory layout of 4-d batches.
        autocast: a lower precision to compute in (``torch.bfloat16``), or None.
        show_progress: a bar on stderr.
        description: the bar's label.
        name: of ``forward_func``, for error messages.

    Example:
        >>> x = torch.eye(3)
        >>> evaluator = Evaluator(lambda x: x.sum(1), batch_size=2)
        >>> evaluator(x, lambda examples, samples: x[examples] * samples[:, None], n_samples=2)
        tensor([[0., 1.],
                [0., 1.],
                [0., 1.]])
    """

    def __init__(
        self,
        forward_func: Callable[..., Any],
        target: Any = None,
        additional_forward_args: Any = None,
        *,
        batch_size: int | None = None,
        channels_last: bool = True,
        autocast: torch.dtype | None = None,
        show_progress: bool = False,
        description: str = "passes",
        name: str = "forward_func",
    ) -> None:
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"batch_size must be at least 1 or None; got {batch_size}")
        self.forward_func = forward_func
        self.target = target
        self.additional_forward_args = additional_forward_args
        self.batch_size = batch_size
        self.channels_last = channels_last
        self.autocast = autocast
        self.show_progress = show_progress
        self.description = description
        self.name = name

    def __call__(
        self, inputs: Tensor | tuple[Tensor, ...], perturb: Perturb, n_samples: int
    ) -> Tensor:
        """The scores of all rows.

        Args:
            inputs: the examples ``[B, ...]``; they say how many there are, how large, and where.
            perturb: ``perturb(examples, samples)`` gives the perturbed inputs of those rows.
            n_samples: perturbed inputs per example.

        Returns:
            ``[B, n_samples]`` (and the output's further dimensions, if any).

        Raises:
            ValueError: ``target`` does not fit the output, or there is not one score per row.
        """
        scores: Tensor | None = None
        for examples, samples, chunk in self.stream(inputs, perturb, n_samples):
            # One tensor from the start: many small ones, kept between the passes, would scatter
            # the heap, and the C library would then return and fetch back its memory each pass.
            if scores is None:
                n_examples = as_tuple(inputs)[0].shape[0]
                scores = chunk.new_empty(n_examples, n_samples, *chunk.shape[1:])
            scores[examples.to(chunk.device), samples.to(chunk.device)] = chunk
        if scores is None:
            raise ValueError("inputs must hold at least one example; got none")
        return scores

    def stream(
        self, inputs: Tensor | tuple[Tensor, ...], perturb: Perturb, n_samples: int
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yields ``(examples [b], samples [b], scores [b, ...])`` batch by batch.

        Rows come example by example, each with its samples in order. Arguments as in
        :meth:`__call__`.
        """
        if n_samples < 1:
            raise ValueError(f"n_samples must be at least 1; got {n_samples}")
        tensors = as_tuple(inputs)
        total = tensors[0].shape[0] * n_samples
        batch_size = self.batch_size or default_batch_size(tensors, self.forward_func)
        with tqdm(
            total=total,
            desc=self.description,
            disable=not self.show_progress,
            file=sys.stderr,
        ) as bar:
            for start in range(0, total, batch_size):
                rows = torch.arange(start, min(start + batch_size, total), device=tensors[0].device)
                examples, samples = rows // n_samples, rows % n_samples
                yield examples, samples, self._scores(perturb(examples, samples), examples)
                bar.update(len(rows))

    def _scores(self, rows: Tensor | tuple[Tensor, ...], examples: Tensor) -> Tensor:
        with torch.no_grad():
            return self.scores(rows, examples)

    def scores(self, rows: Tensor | tuple[Tensor, ...], examples: Tensor) -> Tensor:
        """The scores of given rows, in one call of the model; differentiable.

        Args:
            rows: what the model sees, ``[b, ...]``.
            examples: ``[b]``, the index of the example that each row belongs to, for ``target``
                and ``additional_forward_args``.

        Returns:
            ``[b]`` (and the output's further dimensions, if any).

        Raises:
            ValueError: as :meth:`__call__`.
        """
        scores = select_target(self.outputs(rows, examples), self._target_of(examples))
        if scores.dim() == 0 or scores.shape[0] != len(examples):
            raise ValueError(
                "forward_func must return one output per example, batch first; got shape "
                f"{tuple(scores.shape)} for a batch of {len(examples)}"
            )
        return scores if self.autocast is None else scores.to(as_tuple(rows)[0].dtype)

    def outputs(self, rows: Tensor | tuple[Tensor, ...], examples: Tensor) -> Tensor:
        """All that the model returns for given rows. Arguments as in :meth:`scores`."""
        # A clone of a leaf, because a model may begin with work in place.
        tensors = tuple(row.clone() if row.requires_grad else row for row in as_tuple(rows))
        if self.channels_last:
            tensors = tuple(as_channels_last(tensor) for tensor in tensors)
        precision = (
            torch.autocast(tensors[0].device.type, dtype=self.autocast)
            if self.autocast is not None
            else nullcontext()
        )
        with precision:
            output = _run_forward(
                self.forward_func, tensors, None, self._additional_args_of(examples)
            )
        if not isinstance(output, Tensor):
            raise TypeError(f"{self.name} must return a tensor; got {type(output).__name__}")
        return output

    def one_score_each(self, rows: tuple[Tensor, ...], examples: Tensor) -> Tensor:
        """As :meth:`scores`, known to be ``[b]``: gradients need one number for each row.

        Raises:
            ValueError: ``target`` leaves several.
        """
        scores = self.scores(rows, examples)
        if scores.numel() != len(examples):
            raise ValueError(
                f"target must select one output per example; {self.target!r} leaves the shape "
                f"{tuple(scores.shape)} for a batch of {len(examples)}"
            )
        return scores.flatten()

    def gradients(self, rows: tuple[Tensor, ...], examples: Tensor) -> tuple[Tensor, ...]:
        """The gradient of each row's score with respect to the row, in one call of the model.

        The parameters' gradients are neither computed nor touched. Arguments as in
        :meth:`scores`.

        Example:
            >>> Evaluator(lambda x: (x**2).sum(1)).gradients((torch.ones(1, 2),), torch.tensor([0]))
            (tensor([[2., 2.]]),)
        """
        leaves = tuple(row.detach().requires_grad_() for row in rows)
        with torch.enable_grad():
            return gradients_of(self.one_score_each(leaves, examples).sum(), leaves)

    def _target_of(self, examples: Tensor) -> Any:
        target = self.target
        if isinstance(target, list):
            return [target[index] for index in examples.tolist()]
        if isinstance(target, Tensor) and target.numel() > 1:
            return target[examples.to(target.device)]
        return target

    def _additional_args_of(self, examples: Tensor) -> Any:
        if self.additional_forward_args is None:
            return None
        args = self.additional_forward_args
        return tuple(
            arg[examples.to(arg.device)] if isinstance(arg, Tensor) and arg.dim() > 0 else arg
            for arg in as_tuple(args)
        )
