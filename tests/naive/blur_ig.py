"""Blur IG (Xu et al., CVPR 2020, arXiv 2004.03383, equation 6).

    attribution = - integral from 0 to max_sigma of df(x(sigma))/dx * dx(sigma)/dsigma

where x(sigma) is the image under a Gaussian blur of sigma pixels, black beyond the border.
"""

from itertools import pairwise

import torch

from tests.naive.path import gradient
from tests.naive.resampling import blur


def blur_ig(score, x, n_steps, max_sigma, grad_step, sqrt=False):
    """Of one image ``[C, H, W]``; the sum takes the left end of each step."""
    sigmas = [step * max_sigma / n_steps for step in range(n_steps + 1)]
    if sqrt:
        sigmas = [sigma**0.5 for sigma in sigmas]
    total = torch.zeros_like(x)
    for here, there in pairwise(sigmas):
        blurred = x if here == 0 else blur(x, here, replicate=False)
        further = blur(x, here + grad_step, replicate=False)
        total -= gradient(score, blurred) * (further - blurred) / grad_step * (there - here)
    return total
