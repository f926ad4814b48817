"""Masks that are learned by gradient descent: their view of an image, references, loss, steps."""
