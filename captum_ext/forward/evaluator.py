"""The evaluator: streams perturbed inputs through a model and collects the scores."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from captum_ext._captum import _run_forward
from captum_ext.checks import as_tuple, check_int, described
from captum_ext.forward.batches import (
    as_channels_last,
    default_batch_size,
    in_standard_layout,
    may_begin_linear,
    wider_batch_size,
)
from captum_ext.forward.shortcut.first_layer import LazyBatch
from captum_ext.forward.shortcut.lazy_rows import LazyRows, dense
from captum_ext.layers import gradients_of
from captum_ext.targets import select_target

#: Rows of a batch: tensors ``[b, ...]``, or what describes them.
Rows = Tensor | LazyRows | tuple[Tensor | LazyRows, ...]
#: Perturbed inputs for the given examples and samples: ``(examples [b], samples [b])`` -> a tensor
#: (or a tuple of tensors) with ``b`` rows.
Perturb = Callable[[Tensor, Tensor], Rows]
#: What is kept of given rows: ``(rows, examples [b])`` -> ``[b, ...]``.
Score = Callable[[Rows, Tensor], Tensor]


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
        channels_last: memory layout of 4-d batches; given up where the model cannot do with it.
        autocast: a lower precision to compute in (``torch.bfloat16``), or None.
        shortcut: where the model begins with (Flatten,) Linear, rows that are
            :class:`~captum_ext.forward.LazyRows` go through that layer without being made. Given
            up where the model wants the rows themselves, and under ``autocast``.
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
        shortcut: bool = True,
        show_progress: bool = False,
        description: str = "passes",
        name: str = "forward_func",
    ) -> None:
        if batch_size is not None:
            check_int(batch_size, "batch_size", minimum=1)
        self.forward_func = forward_func
        self.target = target
        self.additional_forward_args = additional_forward_args
        self.batch_size = batch_size
        self.channels_last = channels_last
        self.autocast = autocast
        self.shortcut = shortcut and autocast is None and may_begin_linear(forward_func)
        self._width: int | None = None
        self._runs_channels_last = False
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
        n_examples = as_tuple(inputs)[0].shape[0]
        counts = [n_samples] * n_examples
        return torch.stack(self._collect(inputs, perturb, counts, self.scores))

    def each(
        self,
        inputs: Tensor | tuple[Tensor, ...],
        perturb: Perturb,
        n_samples: Sequence[int],
        check: Callable[[Tensor], None] | None = None,
    ) -> list[Tensor]:
        """One number for each row, where examples differ in their number of samples.

        Args:
            inputs, perturb: see :meth:`__call__`.
            n_samples: perturbed inputs of each example.
            check: called with the scores of each batch, to stop at once if they do not do.

        Returns:
            For each example ``[n_samples]``.

        Raises:
            ValueError: as :meth:`__call__`, and where ``target`` leaves several numbers.
        """
        return self._collect(inputs, perturb, n_samples, self.one_score_each, check)

    def _collect(
        self,
        inputs: Tensor | tuple[Tensor, ...],
        perturb: Perturb,
        n_samples: Sequence[int],
        score: Score,
        check: Callable[[Tensor], None] | None = None,
    ) -> list[Tensor]:
        scores: Tensor | None = None
        done = 0
        for _, samples, chunk in self.stream(inputs, perturb, n_samples, score):
            if check is not None:
                check(chunk)
            # One tensor from the start: many small ones, kept between the passes, would scatter
            # the heap, and the C library would then return and fetch back its memory each pass.
            if scores is None:
                scores = chunk.new_empty(sum(n_samples), *chunk.shape[1:])
            scores[done : done + len(samples)] = chunk
            done += len(samples)
        if scores is None:
            raise ValueError("inputs must hold at least one example; got none")
        return list(scores.split(list(n_samples)))

    def stream(
        self,
        inputs: Tensor | tuple[Tensor, ...],
        perturb: Perturb,
        n_samples: int | Sequence[int],
        score: Score | None = None,
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yields ``(examples [b], samples [b], scores [b, ...])`` batch by batch.

        Rows come example by example, each with its samples in order. Arguments as in
        :meth:`__call__`; ``n_samples`` may also be one number for each example, and ``score``
        something else than the scores that ``target`` selects.
        """
        score = score or self.scores
        tensors = as_tuple(inputs)
        n_examples = tensors[0].shape[0]
        counts = [n_samples] * n_examples if isinstance(n_samples, int) else list(n_samples)
        total = sum(counts)
        # Among several examples some may have nothing left to ask.
        if min(counts, default=1) < 0 or total < 1:
            raise ValueError(f"n_samples must be at least 1; got {min(counts, default=0)}")
        batch_size = self.batch_size or default_batch_size(tensors, self.forward_func)
        device = tensors[0].device
        ends = torch.tensor(list(accumulate(counts)), device=device)
        starts = ends - torch.tensor(counts, device=device)
        with tqdm(
            total=total,
            desc=self.description,
            disable=not self.show_progress,
            file=sys.stderr,
        ) as bar:
            start = 0
            while start < total:
                rows = torch.arange(start, min(start + batch_size, total), device=device)
                start += len(rows)
                examples = torch.searchsorted(ends, rows, right=True)
                samples = rows - starts[examples]
                with torch.no_grad():
                    chunk = score(perturb(examples, samples), examples)
                yield examples, samples, chunk
                bar.update(len(rows))
                if self._width and self.batch_size is None:
                    batch_size = wider_batch_size(batch_size, self._width, device)

    def scores(self, rows: Rows, examples: Tensor) -> Tensor:
        """The scores of given rows, in one call of the model; differentiable.

        Args:
            rows: what the model sees, ``[b, ...]``, or what describes it.
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

    def outputs(self, rows: Rows, examples: Tensor) -> Tensor:
        """All that the model returns for given rows. Arguments as in :meth:`scores`."""
        described = [row for row in as_tuple(rows) if isinstance(row, LazyRows)]
        if described and self.shortcut:
            output = self._by_shortcut(as_tuple(rows), described, examples)
            if output is not None:
                return output
        made = tuple(dense(row) for row in as_tuple(rows))
        # A clone of a leaf, because a model may begin with work in place.
        tensors = tuple(row.clone() if row.requires_grad else row for row in made)
        if self.channels_last:
            # The first time clones, because a model that fails may have changed them.
            rows_now = tensors if self._runs_channels_last else tuple(x.clone() for x in tensors)
            try:
                output = self._run(tuple(as_channels_last(x) for x in rows_now), examples)
            except RuntimeError as error:
                if "view size is not compatible" not in str(error):
                    raise
                # It flattens by view(), which convolutions' channels_last outputs do not allow.
                self.channels_last = False
            else:
                self._runs_channels_last = True
                return output
        return self._run(tuple(in_standard_layout(x) for x in tensors), examples)

    def _by_shortcut(
        self, rows: tuple[Tensor | LazyRows, ...], described: list[LazyRows], examples: Tensor
    ) -> Tensor | None:
        """The model's output for rows that are not made; None where it cannot do without them."""
        lazy = tuple(LazyBatch(row) if isinstance(row, LazyRows) else row for row in rows)
        try:
            with torch.no_grad():
                output = self._run(lazy, examples)
        except Exception:
            # Whether the rows or the shortcut are to blame, the rows themselves will tell.
            output = None
        # Rows that a model has read may stand in its memory in two copies, of which it has
        # changed one in place: such an output is not to be trusted.
        self.shortcut = output is not None and all(row.made is None for row in described)
        for row in described:
            row.forget()
        self._width = sum(row.width for row in described) if self.shortcut else None
        return output if self.shortcut else None

    def _run(self, tensors: tuple[Tensor, ...], examples: Tensor) -> Tensor:
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

    def one_score_each(self, rows: Rows, examples: Tensor) -> Tensor:
        """As :meth:`scores`, known to be ``[b]``, one number for each row.

        Raises:
            ValueError: ``target`` leaves several.
        """
        scores = self.scores(rows, examples)
        if scores.numel() != len(examples):
            raise ValueError(
                f"target must select one output per example; {described(self.target)} leaves the "
                f"shape {tuple(scores.shape)} for a batch of {len(examples)}"
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
