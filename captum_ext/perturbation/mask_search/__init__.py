"""Search for the mask that decides a score, without gradients.

- :class:`SearchSettings`: goal, strategy and stopping rule;
- :func:`search_masks`: the search, for all examples at once;
- :class:`MaskSearch`: the result for one example;
- :class:`Effects`, :func:`effects`: the effect of each feature, estimated from all masks.
"""

from captum_ext.perturbation.mask_search.effects import Effects, effects
from captum_ext.perturbation.mask_search.kept_example import (
    KeptExample,
    kept_examples,
    scores_of_masks,
)
from captum_ext.perturbation.mask_search.result import KINDS, MaskSearch, found
from captum_ext.perturbation.mask_search.search import search_masks
from captum_ext.perturbation.mask_search.settings import SearchSettings

__all__ = [
    "KINDS",
    "Effects",
    "KeptExample",
    "MaskSearch",
    "SearchSettings",
    "effects",
    "found",
    "kept_examples",
    "scores_of_masks",
    "search_masks",
]
