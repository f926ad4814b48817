"""Grad-CAM (Selvaraju et al., ICCV 2017, arXiv 1610.02391, equations 1 and 2).

    weight_k = mean over places of df/dA_k
    heat     = sum_k weight_k A_k,   or what of it is positive

enlarged to the image bilinearly. A_k is channel k of a convolution's output.
"""

import torch

from tests.naive.path import gradient
from tests.naive.resampling import bilinear


def grad_cam(below, above, x, relu=False):
    """Of one image: ``below`` gives the maps ``[K, h, w]``, ``above`` makes of them the score."""
    maps = below(x).detach()
    slopes = gradient(above, maps)
    heat = torch.zeros_like(maps[0])
    for channel, slope in zip(maps, slopes, strict=True):
        heat += slope.sum() / slope.numel() * channel
    if relu:
        heat = heat.clamp(min=0)
    rows, columns = bilinear(heat.shape[0], x.shape[1]), bilinear(heat.shape[1], x.shape[2])
    return rows @ heat @ columns.T
