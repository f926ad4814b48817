"""The integrator that path methods share: a method defines only the next point.

For points ``x_0, x_1, ..., x_n`` on a path, and a model's output ``f``,

    attribution = sum_j (x_{j+1} - x_j) * df(x_j)/dx

(or another quadrature rule), averaged over the paths of an example. The sum telescopes to
``f(x_n) - f(x_0)`` as the steps become small.
"""

from __future__ import annotations

import math
import sys
from contextlib import nullcontext
from copy import copy
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from tqdm.auto import tqdm

from captum_ext.checks import most_of, precise
from captum_ext.forward import Evaluator, in_standard_layout
from captum_ext.passes import checking
from captum_ext.soundness.evidence import is_evidence_wanted, note

#: Points of several paths: for each input a tensor whose row ``p`` belongs to path ``p``.
Points = tuple[Tensor, ...]

#: Captum's names of the quadrature rules that need no point beside those of the path.
QUADRATURES = ("riemann_left", "riemann_right", "riemann_trapezoid")


class PathView(NamedTuple):
    """What a model says at some points.

    Attributes:
        gradients: of the explained output, like the points.
        descent: where a path shall go from there, if the model decides it; like the points.
        distance: how far it still has to go, ``[rows]``, if that is known.
    """

    gradients: Points
    descent: Points = ()
    distance: Tensor | None = None


class Path(Protocol):
    """A path method: where its paths begin, what it looks at, and where the next point lies.

    ``paths [rows]`` are the numbers of the paths that the points belong to. Those that start
    together are numbered in a row and walk together; some may leave on the way.
    """

    def start(self, paths: Tensor) -> Points:
        """The first point of each path."""

    def look(self, points: Points, paths: Tensor) -> PathView:
        """What the model says at the points."""

    def move(self, points: Points, view: PathView, paths: Tensor, step: int) -> Points:
        """The next points."""

    def finished(self, still: Tensor, paths: Tensor) -> Tensor:
        """Which paths will not move any more, ``[rows]``, of those that were ``still`` just now."""


@dataclass(frozen=True)
class Integral:
    """What came out of :func:`integrate`.

    Attributes:
        attributions: for each input ``[B, ...]``, the mean over an example's paths.
        deltas: for each example ``[B]`` by how much the sum of its attributions misses the mean
            of ``f(end) - f(start)``; None without ``evaluator``.
        points: for each input ``[B, paths_per_example, n_steps + 1, ...]``; None unless kept.
        sums, changes: ``[B]``, whose difference the deltas are; None without these, and where no
            check wants them.
    """

    attributions: Points
    deltas: Tensor | None
    points: Points | None
    sums: Tensor | None = None
    changes: Tensor | None = None

    def as_returned(self, inputs: Any, sign: int = 1) -> Any:
        """What ``attribute()`` returns: the attributions, then the deltas and points, if any.

        Args:
            inputs: tuples are returned where it is one.
            sign: -1 where the paths lead away from the inputs.
        """
        if self.sums is not None and self.changes is not None:
            note("completeness", (sign * self.sums, sign * self.changes))
        attributions = tuple(sign * each for each in self.attributions)
        returned: list[Any] = [attributions if isinstance(inputs, tuple) else attributions[0]]
        if self.deltas is not None:
            returned.append(sign * self.deltas)
        if self.points is not None:
            returned.append(self.points if isinstance(inputs, tuple) else self.points[0])
        return returned[0] if len(returned) == 1 else tuple(returned)


def integrate(
    path: Path,
    inputs: Points,
    paths_per_example: int,
    n_steps: int,
    *,
    method: str = "riemann_left",
    batch_size: int,
    multiply_by_steps: bool = True,
    evaluator: Evaluator | None = None,
    deltas: bool = False,
    keep_points: bool = False,
    show_progress: bool = False,
    description: str = "paths",
) -> Integral:
    """Walks all paths and sums what the model says on the way.

    A path that has finished is not looked at again. Memory grows with ``batch_size`` and the
    examples, not with the steps or the paths (unless the points are kept).

    Args:
        path: the method.
        inputs: the examples ``[B, ...]``; the attributions are like them.
        paths_per_example: path ``p`` belongs to example ``p // paths_per_example``.
        n_steps: steps of each path.
        method: one of :data:`QUADRATURES`.
        batch_size: paths that walk together.
        multiply_by_steps: False gives, instead of the integral, the mean gradient on the path,
            each step weighted by its length.
        evaluator: of the explained output; None gives no deltas and no check.
        deltas: give the deltas.
        keep_points: give all points back.
        show_progress: a bar on stderr.
        description: the bar's label.

    Raises:
        ValueError: a gradient or a step is not finite.
    """
    n_paths = inputs[0].shape[0] * paths_per_example
    n_chunks = -(-n_paths // batch_size)
    if not deltas and not (multiply_by_steps and is_evidence_wanted()):
        evaluator = None
    results = _Results(inputs, paths_per_example, n_steps, evaluator, keep_points, deltas)
    with tqdm(
        total=n_chunks * n_steps, desc=description, disable=not show_progress, file=sys.stderr
    ) as bar:
        # Chunks of even size: of eight paths in batches of five, the last three would walk alone.
        for paths in torch.arange(n_paths, device=inputs[0].device).tensor_split(n_chunks):
            walk = _Walk(path, paths, method, multiply_by_steps)
            results.begin(walk)
            for step in range(n_steps):
                finished = walk.take_step(step)
                results.record(walk, step + 1)
                bar.update()
                if finished is not None and bool(finished.any()):
                    results.add(walk.leave(finished), step + 1)
                    if not len(walk.paths):
                        bar.update(n_steps - step - 1)
                        break
            else:
                walk.look_back()
                results.add(walk, n_steps)
    return results.integral()


class _Walk:
    """Paths that walk together: where they are, and their sums so far."""

    def __init__(self, path: Path, paths: Tensor, method: str, multiply_by_steps: bool) -> None:
        self.path = path
        self.paths = paths
        self.method = method
        self.multiply_by_steps = multiply_by_steps
        self.points = path.start(paths)
        self.sums = tuple(torch.zeros_like(x, dtype=precise(x)) for x in self.points)
        self.length = torch.zeros_like(paths, dtype=self.sums[0].dtype)
        self.here: Points = ()
        # The step before, which all rules but the left one multiply with a gradient, too.
        self.before: Points | None = None

    def take_step(self, step: int) -> Tensor | None:
        """Moves all points by a step; gives which paths have finished ``[rows]``, if any has."""
        view = self.path.look(self.points, self.paths)
        following = self.path.move(self.points, view, self.paths, step)
        change = tuple(new - old for new, old in zip(following, self.points, strict=True))
        largest = _largest(change)
        self._add(change, view.gradients)
        self.points = following
        if bool(((largest > 0) & (largest < math.inf)).all()):
            return None
        if not bool(torch.isfinite(largest).all()):
            raise ValueError(
                f"the model or its representation has no finite gradient after {step} steps of a "
                "path; a clip to the range of the inputs, or smaller steps, may help"
            )
        return self.path.finished(largest == 0, self.paths)

    def look_back(self) -> None:
        """The last point's part of the sum."""
        if self.before is not None:
            still = tuple(torch.zeros_like(step) for step in self.before)
            self._add(still, self.path.look(self.points, self.paths).gradients)

    def leave(self, finished: Tensor) -> _Walk:
        """Splits the paths that have finished off, and gives them."""
        left = copy(self)
        left._select(finished)
        self._select(~finished)
        return left

    def result(self) -> Points:
        """For each input the integral, or the mean gradient, of each path ``[rows, ...]``."""
        if not all(bool(torch.isfinite(total).all()) for total in self.sums):
            raise ValueError("forward_func has no finite gradient on a path")
        if self.multiply_by_steps:
            return self.sums
        # A path without length has the gradient of the one place where it is.
        return tuple(
            torch.where(column(self.length > 0, total), total / column(self.length, total), here)
            for total, here in zip(self.sums, self.here, strict=True)
        )

    def _add(self, change: Points, gradients: Points) -> None:
        if not self.multiply_by_steps:
            size = norms(change)
            self.length += size
            self.here = tuple(gradient.to(self.length.dtype) for gradient in gradients)
            change = tuple(column(size, c) for c in change)
        if self.method == "riemann_left":
            weights = change
        else:
            before = self.before or tuple(torch.zeros_like(step) for step in change)
            self.before = change
            if self.method == "riemann_right":
                weights = before
            else:
                weights = tuple((old + new) / 2 for old, new in zip(before, change, strict=True))
        for total, weight, gradient in zip(self.sums, weights, gradients, strict=True):
            total.addcmul_(weight.to(total.dtype), gradient.to(total.dtype))

    def _select(self, rows: Tensor) -> None:
        self.paths, self.length = self.paths[rows], self.length[rows]
        self.points = tuple(x[rows] for x in self.points)
        self.sums = tuple(total[rows] for total in self.sums)
        self.here = tuple(gradient[rows] for gradient in self.here)
        if self.before is not None:
            self.before = tuple(step[rows] for step in self.before)


class _Results:
    """Collects what the walks bring home."""

    def __init__(
        self,
        inputs: Points,
        paths_per_example: int,
        n_steps: int,
        evaluator: Evaluator | None,
        keep_points: bool,
        deltas: bool,
    ) -> None:
        n_examples = inputs[0].shape[0]
        self.inputs = inputs
        self.paths_per_example = paths_per_example
        self.evaluator = evaluator
        self.deltas = deltas
        self.attributions = tuple(torch.zeros_like(x, dtype=precise(x)) for x in inputs)
        self.changes = self.attributions[0].new_zeros(n_examples)
        self.points: Points | None = None
        if keep_points:
            sizes = (n_examples * paths_per_example, n_steps + 1)
            most = most_of(sizes[0] * sum(x[0].numel() for x in inputs)) - 1
            if n_steps > most:
                raise ValueError(
                    f"n_steps must be at most {most} where all points are kept; got {n_steps}. "
                    "Pass return_path=False, or fewer examples"
                )
            self.points = tuple(x.new_empty(*sizes, *x.shape[1:]) for x in inputs)

    def begin(self, walk: _Walk) -> None:
        """Notes where the paths of ``walk`` start."""
        self.record(walk, 0)
        self._count_score(walk, -1)

    def record(self, walk: _Walk, step: int) -> None:
        if self.points is not None:
            for kept, points in zip(self.points, walk.points, strict=True):
                kept[walk.paths, step] = points

    def add(self, walk: _Walk, step: int) -> None:
        """Takes the paths of ``walk``, which end after ``step`` steps."""
        examples = walk.paths // self.paths_per_example
        for total, each in zip(self.attributions, walk.result(), strict=True):
            total.index_add_(0, examples, each / self.paths_per_example)
        self._count_score(walk, 1)
        if self.points is not None:
            for kept, points in zip(self.points, walk.points, strict=True):
                kept[walk.paths, step:] = points.unsqueeze(1)

    def integral(self) -> Integral:
        deltas, points, total, changes = None, None, None, None
        if self.evaluator is not None:
            wide = [_wide(each) for each in self.attributions]
            total = torch.stack([each.sum(_features(each)) for each in wide]).sum(0)
            changes = self.changes
            if self.deltas:
                deltas = (total - changes).to(self.inputs[0].dtype)
        if self.points is not None:
            points = tuple(each.unflatten(0, (-1, self.paths_per_example)) for each in self.points)
        attributions = zip(self.attributions, self.inputs, strict=True)
        return Integral(
            tuple(in_standard_layout(each.to(x.dtype)) for each, x in attributions),
            deltas,
            points,
            total,
            changes,
        )

    def _count_score(self, walk: _Walk, sign: int) -> None:
        if self.evaluator is not None:
            examples = walk.paths // self.paths_per_example
            with torch.no_grad(), nullcontext() if self.deltas else checking():
                scores = self.evaluator.one_score_each(walk.points, examples).to(self.changes)
            self.changes.index_add_(0, examples, sign * scores / self.paths_per_example)


def column(values: Tensor, like: Tensor) -> Tensor:
    """``values [rows]`` so that they broadcast against ``like [rows, ...]``.

    Example:
        >>> column(torch.ones(2), torch.zeros(2, 3, 4, 5)).shape
        torch.Size([2, 1, 1, 1])
    """
    return values.reshape(-1, *[1] * (like.dim() - 1))


def norms(points: Points) -> Tensor:
    """The Euclidean norm of each row, over all tensors together: ``[rows]``, safe from underflow.

    Example:
        >>> norms((torch.tensor([[3.0], [0.0]]), torch.tensor([[4e-30], [4e-30]])))
        tensor([3.0000e+00, 4.0000e-30])
    """
    scale = _largest(points)
    safe = torch.where(scale > 0, scale, 1)
    parts = []
    for x in points:
        unit = _wide(x / column(safe, x).to(x.dtype))
        parts.append(torch.linalg.vector_norm(unit, dim=_features(unit), dtype=safe.dtype))
    return scale * torch.linalg.vector_norm(torch.stack(parts), dim=0)


def _largest(points: Points) -> Tensor:
    """The largest magnitude in each row, over all tensors: ``[rows]``."""
    wide = [_wide(x) for x in points]
    each = [x.abs().amax(_features(x)).to(precise(x)) for x in wide]
    return torch.stack(each).amax(0)


def _wide(x: Tensor) -> Tensor:
    """With at least one dimension of features."""
    return x.unsqueeze(1) if x.dim() == 1 else x


def _features(x: Tensor) -> tuple[int, ...]:
    return tuple(range(1, x.dim()))
