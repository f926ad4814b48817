"""Perturbation by segments: segmenter, sampler, perturber, model, attributer."""
