"""Segments: the parts of an image that are one feature each, with hard or soft edges."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from captum_ext.checks import check_int


class Segments:
    """The segments of one image.

    Segment ``s`` belongs to a pixel by the weight ``masks[s] / masks.sum(0)``. A sample ``Z``,
    which says of each segment whether it is kept, then keeps of each pixel the part

        Z @ masks / masks.sum(0)

    Args:
        labels: ``[H, W]``, the segment to which each pixel belongs (most): 0, 1, ..., S - 1.
        masks: ``[S, H, W]`` of a floating-point dtype, not negative; they are kept divided by
            their sum. None where the edges are hard, so that labels say it all.

    Raises:
        TypeError: labels that are not whole numbers, masks that are not of a floating-point dtype.
        ValueError: labels that are negative or miss a number; masks of another shape, negative,
            not finite, or with a hole, where no segment lies.

    Example:
        >>> segments = Segments(torch.tensor([[0, 0, 1]]))
        >>> segments.cover(torch.tensor([[1.0, 0.0]]))
        tensor([[[1., 1., 0.]]])
    """

    def __init__(self, labels: Tensor, masks: Tensor | None = None) -> None:
        self.labels = _check_labels(labels)
        self.n_segments = int(self.labels.max()) + 1
        self._weights = None if masks is None else _weights(masks, self)

    def __len__(self) -> int:
        return self.n_segments

    @property
    def hard(self) -> bool:
        """Whether each pixel belongs to one segment only."""
        return self._weights is None

    @cached_property
    def masks(self) -> Tensor:
        """``[S, H, W]``, one in sum at each pixel; of hard edges 0 and 1."""
        if self._weights is not None:
            return self._weights.reshape(-1, *self.labels.shape)
        numbers = torch.arange(self.n_segments, device=self.labels.device)
        return (self.labels == numbers[:, None, None]).to(torch.get_default_dtype())

    def cover(self, samples: Tensor) -> Tensor:
        """What the segments' values come to at each pixel: the weighted mean of those there.

        Args:
            samples: ``[N, S]``, a value for each segment: 1 and 0 (or True and False) for kept and
                removed, or scores.

        Returns:
            ``[N, H, W]`` of the dtype of ``samples``, or of the default dtype, if they are whole
            numbers.

        Raises:
            ValueError: another number of segments.

        Example:
            >>> masks = torch.tensor([[[0.75, 0.0]], [[0.25, 1.0]]])
            >>> soft = Segments(torch.tensor([[0, 1]]), masks)
            >>> soft.cover(torch.tensor([[1.0, 0.0]]))
            tensor([[[0.7500, 0.0000]]])
        """
        if samples.dim() != 2 or samples.shape[1] != self.n_segments:
            raise ValueError(
                f"samples must have the shape [N, {self.n_segments}], a value for each segment; "
                f"got shape {tuple(samples.shape)}"
            )
        if not samples.is_floating_point():
            samples = samples.to(torch.get_default_dtype())
        if self._weights is None:
            return samples[:, self.labels]
        flat = samples @ self._weights.to(samples.dtype)
        return flat.reshape(len(samples), *self.labels.shape)

    def per_pixel(self, scores: Tensor) -> Tensor:
        """Scores ``[S]`` as a map ``[H, W]``, blended where segments overlap."""
        return self.cover(scores[None])[0]

    def per_segment(self, scores: Tensor) -> Tensor:
        """Scores ``[S]`` as a map ``[H, W]`` that gives each pixel the score of its segment."""
        if scores.shape != (self.n_segments,):
            raise ValueError(
                f"scores must have the shape ({self.n_segments},); got {tuple(scores.shape)}"
            )
        return scores[self.labels]

    def same_as(self, other: Segments | None) -> bool:
        """Whether they are equal in every pixel."""
        if other is None or not torch.equal(self.labels, other.labels):
            return False
        if self._weights is None or other._weights is None:
            return self._weights is other._weights
        return torch.equal(self._weights, other._weights)


def _check_labels(labels: Tensor) -> Tensor:
    if not isinstance(labels, Tensor) or labels.is_floating_point() or labels.is_complex():
        kind = labels.dtype if isinstance(labels, Tensor) else type(labels).__name__
        raise TypeError(f"labels of segments must be a tensor of whole numbers; got {kind}")
    if labels.dim() != 2 or labels.numel() == 0:
        raise ValueError(
            f"labels of segments must have the shape [H, W]; got {tuple(labels.shape)}"
        )
    numbers = labels.unique()
    lowest, highest = int(numbers[0]), int(numbers[-1])
    if lowest < 0:
        raise ValueError(f"labels of segments must not be negative; got {lowest}")
    if lowest != 0 or highest != len(numbers) - 1:
        raise ValueError(
            f"labels of segments must be 0, 1, ..., S - 1 without a gap; got {len(numbers)} labels "
            f"from {lowest} to {highest}"
        )
    return labels.long().clone()


def _weights(masks: Tensor, segments: Segments) -> Tensor:
    """``[S, H * W]``, one at each pixel in sum."""
    if not isinstance(masks, Tensor) or not masks.is_floating_point():
        kind = masks.dtype if isinstance(masks, Tensor) else type(masks).__name__
        raise TypeError(f"masks of segments must be of a floating-point dtype; got {kind}")
    expected = (segments.n_segments, *segments.labels.shape)
    if tuple(masks.shape) != expected:
        raise ValueError(
            f"masks of segments must have the shape {expected}; got {tuple(masks.shape)}"
        )
    total = masks.sum(0)
    if not torch.isfinite(total).all() or (masks < 0).any():
        raise ValueError("masks of segments must be finite and not negative")
    holes = int((total == 0).sum())
    if holes:
        raise ValueError(f"masks of segments must leave no hole; got {holes} pixels without any")
    return (masks / total).flatten(1).detach()


def check_segments(segments: object, image: Tensor, name: str = "segmenter") -> Segments:
    """Known to be segments of this image ``[C, H, W]``, on its device.

    Raises:
        TypeError: something else.
        ValueError: of another size.
    """
    if not isinstance(segments, Segments):
        raise TypeError(f"{name} must return Segments; got {type(segments).__name__}")
    if segments.labels.shape != image.shape[-2:]:
        raise ValueError(
            f"{name} must return segments of the image's size {tuple(image.shape[-2:])}; got "
            f"{tuple(segments.labels.shape)}"
        )
    if segments.labels.device != image.device:
        raise ValueError(
            f"{name} must return segments on the image's device {image.device}; got "
            f"{segments.labels.device}"
        )
    return segments


def check_cells(value: int, name: str, side: int) -> int:
    """A number of cells along a side of ``side`` pixels."""
    cells = check_int(value, name, minimum=1)
    if cells > side:
        raise ValueError(f"{name} must be at most the image's {side} pixels; got {cells}")
    return cells
