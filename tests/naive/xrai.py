"""XRAI (Kapishnikov et al., ICCV 2019, arXiv 1906.02825, algorithm 1).

    a pixel's attribution = the largest of its channels' integrated gradients
    repeat: of the segments, add the one whose pixels that are new have the highest mean;
            those pixels get that mean

Integrated gradients are the mean over the baselines black and white: the image's own lowest and
highest value. Pixels that no segment brings in get the mean of those.
"""

import torch

from tests.naive.path import gradient


def integrated_gradients(score, x, baselines, n_steps):
    """The mean gradient at ``n_steps`` points from a baseline to x, both ends included."""
    total = torch.zeros_like(x)
    for baseline in baselines:
        for step in range(n_steps):
            point = baseline + step / (n_steps - 1) * (x - baseline)
            total += (x - baseline) * gradient(score, point) / n_steps / len(baselines)
    return total


def xrai(score, x, segments, n_steps, min_pixel_diff, baselines=None):
    """Of one image ``[C, H, W]`` and its segments, sets of pixels ``(row, column)``: ``[H, W]``."""
    if baselines is None:
        baselines = [torch.full_like(x, x.min()), torch.full_like(x, x.max())]
    heat = integrated_gradients(score, x, baselines, n_steps).amax(0)

    def mean(pixels):
        return sum(float(heat[pixel]) for pixel in pixels) / len(pixels)

    result = torch.zeros_like(heat)
    missing = {(row, column) for row in range(heat.shape[0]) for column in range(heat.shape[1])}
    while True:
        new = [
            segment & missing for segment in segments if len(segment & missing) >= min_pixel_diff
        ]
        if not new:
            break
        best = max(new, key=mean)
        for pixel in best:
            result[pixel] = mean(best)
        missing -= best
    for pixel in missing:
        result[pixel] = mean(missing)
    return result
