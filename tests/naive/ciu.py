"""Contextual importance and utility (Främling, 1996 and 2020, arXiv 2009.13996).

    importance = (max - min) / (highest - lowest)     how far the segment moves the output
    utility    = (f(x) - min) / (max - min)           how good its present value is
    influence  = importance * (utility - 0.5)

``lowest`` and ``highest`` are those of all samples; ``min`` and ``max``

    original:    of the sample that perturbs this segment only, and of the whole image
    inverse:     of 1 - f of the sample that keeps this segment only, and of f of the whole image
    contextual:  of all samples that perturb no segment outside of a combination of segments
"""

from tests.naive.segment_perturbation import whole_image

#: As in the published code: a quotient of outputs that do not differ is 0.
EPSILON = 1e-12


def original_ciu(outputs, samples, inverse=False):
    """For each segment ``(importance, utility, influence)``."""
    whole, results = whole_image(outputs, samples), []
    for segment in range(len(samples[0])):
        alone = [(s == segment) == inverse for s in range(len(samples[0]))]
        seen = [whole]
        for f, sample in zip(outputs, samples, strict=True):
            if [bool(kept) for kept in sample] == alone:
                seen.append(1 - f if inverse else f)
        results.append(_ciu(seen, whole, outputs))
    return results


def contextual_ciu(outputs, samples, combinations):
    """Likewise, for each combination: a sample that perturbs the segments that belong to it."""
    whole, results = whole_image(outputs, samples), []
    for combination in combinations:
        seen = []
        for f, sample in zip(outputs, samples, strict=True):
            outside = [kept for kept, other in zip(sample, combination, strict=True) if other]
            if all(outside):
                seen.append(f)
        results.append(_ciu(seen, whole, outputs))
    return results


def _ciu(seen, whole, outputs):
    reach = max(seen) - min(seen)
    importance = reach / (max(outputs) - min(outputs) + EPSILON)
    utility = (whole - min(seen)) / (reach + EPSILON)
    return importance, utility, importance * (utility - 0.5)
