"""Perturbed segments (Pihlgren and Främling, 2024, arXiv 2409.04116).

A sample Z says of each segment whether it is kept. With masks that may overlap, a pixel is kept by
the part Z @ masks / sum(masks), and for the rest fades into a fill:

    kept = sum_s Z_s mask_s / sum_s mask_s
    x'   = kept x + (1 - kept) fill

What the scores f(x') say of the segments is for the files ``rise``, ``segment_lime``,
``segment_shap``, ``segment_pda`` and ``ciu``. They all take the samples ``[N, S]`` and the outputs
``[N]``, and give a score for each segment.
"""

import torch


def blend(values, masks):
    """Values of the segments ``[S]`` as a map ``[H, W]``, for the masks ``[S, H, W]``."""
    total = torch.zeros_like(masks[0])
    for value, mask in zip(values, masks, strict=True):
        total += value * mask
    return total / sum(masks)


def outputs_of(score, x, masks, samples, fills):
    """The scores of all samples; sample n fades ``x [C, H, W]`` into ``fills[n % len(fills)]``."""
    outputs = []
    for number, sample in enumerate(samples):
        kept = blend(sample, masks)
        outputs.append(float(score(kept * x + (1 - kept) * fills[number % len(fills)])))
    return outputs


def whole_image(outputs, samples):
    """The output of the first sample that keeps all segments."""
    return next(output for output, sample in zip(outputs, samples, strict=True) if all(sample))
