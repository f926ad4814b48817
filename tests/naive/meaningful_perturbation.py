"""Meaningful perturbation (Fong and Vedaldi, ICCV 2017, arXiv 1704.03296, equations 3 to 5).

    perturbed = M x + (1 - M) r,   M = m enlarged to the image and smoothed

    delete:    minimize  l1 mean|1 - m| + tv TV(m) + s
    preserve:  minimize  l1 mean|m|     + tv TV(m) - s

    s = (f(perturbed) - f(r)) / |f(x) - f(r)|
    TV(m) = sum of |difference of neighbors|^tv_beta, in sides of the image

by Adam (Kingma and Ba, ICLR 2015) from the uniform mask at which half of the score is lost, which
is found by halving an interval. To go beyond f(r) or f(x) gains nothing.
"""

import torch

from tests.naive.resampling import bilinear, gaussian


def meaningful_perturbation(
    score, x, reference, grid, sigma, shifts, mode="delete", lr=0.1, l1=1.0, tv=0.3, tv_beta=3.0
):
    """Of one image ``[C, H, W]``; a step for each of the ``shifts`` (rows, columns) of the image.

    Args:
        reference: like ``x``.
        grid: rows and columns of the mask.
        sigma: of the smoothing, in pixels.
    """
    rows, columns = (
        gaussian(side, sigma, replicate=True) @ bilinear(cells, side)
        for cells, side in zip(grid, x.shape[1:], strict=True)
    )
    nothing, everything = float(score(reference)), float(score(x))
    mask = torch.full(grid, _level(score, x, reference), dtype=x.dtype).requires_grad_()
    momentum, squares = torch.zeros(2, *grid, dtype=x.dtype)
    for step, shift in enumerate(shifts, start=1):
        whole = rows @ mask @ columns.T
        shown, instead = _moved(x, shift), _moved(reference, shift)
        s = score(whole * shown + (1 - whole) * instead)
        part = (s - nothing) / abs(everything - nothing)
        down, across = mask.diff(dim=0).abs() ** tv_beta, mask.diff(dim=1).abs() ** tv_beta
        price = tv * (down.sum() / grid[1] + across.sum() / grid[0])
        if mode == "delete":
            loss = l1 * (1 - mask).abs().mean() + price + part.clamp(min=0)
        else:
            loss = l1 * mask.abs().mean() + price - part.clamp(max=1)
        (g,) = torch.autograd.grad(loss, mask)
        momentum = 0.9 * momentum + 0.1 * g
        squares = 0.999 * squares + 0.001 * g**2
        direction = momentum / (1 - 0.9**step) / ((squares / (1 - 0.999**step)).sqrt() + 1e-8)
        mask = (mask - lr * direction).detach().clamp(0, 1).requires_grad_()
    whole = (rows @ mask @ columns.T).detach()
    return 1 - whole if mode == "delete" else whole


def _level(score, x, reference):
    """The level of the uniform mask to begin with; the last interval is divided in proportion."""
    nothing, everything = float(score(reference)), float(score(x))

    def part(level):
        found = float(score(level * x + (1 - level) * reference))
        return (found - nothing) / (everything - nothing)

    low, high = 0.0, 1.0
    for _ in range(8):
        middle = (low + high) / 2
        low, high = (low, middle) if part(middle) >= 0.5 else (middle, high)
    return low + (0.5 - part(low)) / (part(high) - part(low)) * (high - low)


def _moved(x, shift):
    """The image moved by (rows, columns), its border replicated."""
    height, width = x.shape[1:]
    moved = torch.empty_like(x)
    for row in range(height):
        for column in range(width):
            source = min(max(row + shift[0], 0), height - 1)
            moved[:, row, column] = x[:, source, min(max(column + shift[1], 0), width - 1)]
    return moved
