"""IG2 (Zhuo and Ge, TPAMI 2024, arXiv 2406.10852).

With the representation f~, a reference x_r and steps of length eta:

    x_0     = x
    x_{j+1} = clip(x_j - eta g_j / ||g_j||),   g_j = d ||f~(x_j) - f~(x_r)||^2 / dx_j

    IG2     = mean over r of sum_j (x_j - x_{j+1}) df(x_j)/dx_j
"""

import torch

from tests.naive.path import gradient, path_integral


def ig2(score, represent, x, references, n_steps, step_size=None, clip=None, method="riemann_left"):
    """The attribution of one example ``x``, and the points of the path to each reference."""
    total, paths = torch.zeros_like(x), []
    for reference in references:
        goal = represent(reference).detach()
        eta = (reference - x).norm() / n_steps if step_size is None else step_size
        points = [x]
        for _ in range(n_steps):
            g = gradient(
                lambda point, goal=goal: ((represent(point) - goal) ** 2).sum(), points[-1]
            )
            following = points[-1] - eta * g / g.norm()
            if clip is not None:
                following = following.clamp(*clip)
            points.append(following)
        # The path leads away from x: the sum counts backwards.
        total -= path_integral(score, points, method)
        paths.append(torch.stack(points))
    return total / len(references), torch.stack(paths)
