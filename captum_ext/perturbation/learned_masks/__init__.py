"""Masks that are learned by gradient descent."""
