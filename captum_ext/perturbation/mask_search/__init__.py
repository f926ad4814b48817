"""Search for the mask that decides a score, with nothing but the score.

- :class:`SearchSettings`: what is looked for, how, and when to stop;
- :func:`search_masks`: the search, for all examples at once;
- :class:`MaskSearch`: what it has found for one example;
- :class:`Effects`, :func:`effects`: what all masks together say about each feature.
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
