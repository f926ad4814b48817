"""LIF, MIF and SRG (Blücher et al., TMLR 2024, arXiv 2401.06654).

    curve_j = f(x without the first round(j P / (K - 1)) of its P pixels),  j = 0, ..., K - 1
    LIF = mean of the curve that removes the least relevant first
    MIF = mean of the curve that removes the most relevant first
    SRG = LIF - MIF

A pixel's relevance is the sum over its channels; of equals the first goes first, either way.
"""


def removal_curve(score, x, attribution, fill, n_steps, most_relevant_first):
    """The scores as pixels of ``x [C, H, W]`` turn into those of ``fill``."""
    width = x.shape[2]
    relevance = attribution.sum(0).flatten().tolist()
    sign = -1 if most_relevant_first else 1
    order = sorted(range(len(relevance)), key=lambda pixel: sign * relevance[pixel])
    curve = []
    for j in range(n_steps):
        shown = x.clone()
        for pixel in order[: round(j * len(order) / (n_steps - 1))]:
            row, column = divmod(pixel, width)
            shown[:, row, column] = fill[:, row, column]
        curve.append(float(score(shown)))
    return curve


def lif(*settings):
    curve = removal_curve(*settings, most_relevant_first=False)
    return sum(curve) / len(curve)


def mif(*settings):
    curve = removal_curve(*settings, most_relevant_first=True)
    return sum(curve) / len(curve)


def srg(*settings):
    return lif(*settings) - mif(*settings)
