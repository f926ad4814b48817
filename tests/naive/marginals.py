"""What may stand in a window of an image, for prediction difference analysis.

    uniform:    every combination of the levels is as likely as any other
    empirical:  the same window of other images
    Gaussian:   x_h | x_s ~ N(mu_h + S_hs S_ss^-1 (x_s - mu_s),  S_hh - S_hs S_ss^-1 S_sh)

where h is the window, s what surrounds it in a patch, and mu and S are the mean and the covariance
of all patches of the data; each channel by itself.

Zintgraf et al., ICLR 2017 (arXiv 1702.04595), section 3.1.
"""

from itertools import product

import torch


def uniform(levels, channels, side):
    combinations = list(product(levels, repeat=channels * side**2))
    return torch.tensor(combinations, dtype=torch.float64).reshape(-1, channels, side, side)


def empirical(data, top, left, side):
    return torch.stack([image[:, top : top + side, left : left + side] for image in data])


def conditional_gaussian(data, regularization, x, top, left, side, padding):
    """The mean ``[k]`` and the covariance ``[k, k]`` of a window of one channel ``x [H, W]``.

    Args:
        data: that channel of other images ``[N, H, W]``.
        regularization: what is added to all variances.
        x: the image.
        top, left, side: the window.
        padding: pixels around it; at the border the patch ends there.
    """
    reach = side + 2 * padding
    patches = []
    for image in data:
        for row in range(image.shape[0] - reach + 1):
            for column in range(image.shape[1] - reach + 1):
                patches.append(image[row : row + reach, column : column + reach].flatten())
    mu = sum(patches) / len(patches)
    covariance = sum(torch.outer(patch - mu, patch - mu) for patch in patches) / (len(patches) - 1)
    covariance += regularization * torch.eye(reach**2)
    row = min(max(top - padding, 0), x.shape[0] - reach)
    column = min(max(left - padding, 0), x.shape[1] - reach)
    patch = x[row : row + reach, column : column + reach].flatten()
    inside = [(top - row + i) * reach + left - column + j for i in range(side) for j in range(side)]
    around = [i for i in range(reach**2) if i not in inside]
    gain = covariance[inside][:, around] @ covariance[around][:, around].inverse()
    mean = mu[inside] + gain @ (patch[around] - mu[around])
    return mean, covariance[inside][:, inside] - gain @ covariance[around][:, inside]


def gaussian_draws(mean, covariance, noise, low, high):
    """One draw for each row of ``noise [n, k]``, clipped to the data's range."""
    factor = torch.linalg.cholesky(covariance)
    return torch.stack([(mean + factor @ each).clamp(low, high) for each in noise])
