"""LIME with a linear surrogate (Ribeiro et al., KDD 2016, arXiv 1602.04938).

    min_{w, b}  sum_n (f_n - b - w . Z_n)^2

The score of a segment is its coefficient. The minimum is where X^T X (w, b) = X^T f, X = (Z, 1).
"""

import torch


def segment_lime(outputs, samples):
    rows = [[float(kept) for kept in sample] + [1.0] for sample in samples]
    x, f = torch.tensor(rows, dtype=torch.float64), torch.tensor(outputs, dtype=torch.float64)
    return torch.linalg.solve(x.T @ x, x.T @ f)[:-1].tolist()
