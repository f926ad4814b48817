"""Marginals: distributions of the values of a region, for prediction difference analysis.

    p(c | x without x_i) = E[p(c | x with x_i' in place of x_i)],   x_i' drawn from a marginal

Zintgraf et al., ICLR 2017 (arXiv 1702.04595); Robnik-Šikonja and Kononenko, IEEE TKDE 2008.
"""

from captum_ext.perturbation.marginals.base import Marginal
from captum_ext.perturbation.marginals.conditional_gaussian import Conditional, ConditionalGaussian
from captum_ext.perturbation.marginals.independent import Empirical, OwnPatches, Uniform

__all__ = [
    "Conditional",
    "ConditionalGaussian",
    "Empirical",
    "Marginal",
    "OwnPatches",
    "Uniform",
]
