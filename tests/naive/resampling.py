"""Rows of an image enlarged and blurred: one weight for each pair of places along a side."""

import math

import torch


def bilinear(cells, pixels):
    """``[pixels, cells]``: a pixel lies between the centers of two cells; none beyond the outer."""
    weights = torch.zeros(pixels, cells, dtype=torch.float64)
    for pixel in range(pixels):
        place = (pixel + 0.5) * cells / pixels - 0.5
        place = min(max(place, 0), cells - 1)
        left = min(math.floor(place), cells - 1)
        right = min(left + 1, cells - 1)
        weights[pixel, left] += 1 - (place - left)
        weights[pixel, right] += place - left
    return weights


def gaussian(pixels, sigma, replicate):
    """``[pixels, pixels]``, cut off at 4 sigma; beyond the border lies its pixel, or 0."""
    radius = round(4 * sigma)
    steps = range(-radius, radius + 1)
    total = sum(math.exp(-0.5 * (step / sigma) ** 2) for step in steps)
    weights = torch.zeros(pixels, pixels, dtype=torch.float64)
    for pixel in range(pixels):
        for step in steps:
            other = pixel + step
            if replicate:
                other = min(max(other, 0), pixels - 1)
            if 0 <= other < pixels:
                weights[pixel, other] += math.exp(-0.5 * (step / sigma) ** 2) / total
    return weights


def blur(x, sigma, replicate):
    """An image ``[C, H, W]``, each channel by itself."""
    rows, columns = (gaussian(side, sigma, replicate) for side in x.shape[1:])
    return torch.stack([rows @ channel @ columns.T for channel in x])
