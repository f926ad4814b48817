"""Segmentation, edges or method: what matters to an explanation by perturbation?"""
