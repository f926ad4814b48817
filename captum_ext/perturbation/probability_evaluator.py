"""Evaluators of probabilities, and of the activations of a layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from captum_ext.forward import Evaluator, Rows
from captum_ext.layers import Tap
from captum_ext.perturbation.probabilities import Probabilities


class ProbabilityEvaluator(Evaluator):
    """Makes probabilities of the model's outputs, and the target selects one of these.

    Takes the arguments of :class:`captum_ext.forward.Evaluator`.

    Attributes:
        probabilities: how; None takes the outputs as they are.
        trusted: the outputs have been seen to give probabilities; further ones are not looked at
            as a whole.
        n_classes: that the model tells of.

    Example:
        >>> evaluator = ProbabilityEvaluator(lambda x: x, target=1)
        >>> evaluator.probabilities = Probabilities("softmax")
        >>> evaluator.scores(torch.zeros(1, 4), torch.tensor([0]))
        tensor([0.2500])
    """

    probabilities: Probabilities | None = None
    trusted = False
    n_classes = 2

    def outputs(self, rows: Rows, examples: Tensor) -> Tensor:
        outputs = super().outputs(rows, examples)
        if not outputs.is_floating_point():
            outputs = outputs.to(torch.get_default_dtype())  # decisions, counts
        if self.probabilities is None:
            return outputs
        if self.trusted:
            return self.probabilities(outputs)
        probabilities = self.probabilities.check(outputs)
        self.n_classes = self.probabilities.n_classes(probabilities)
        return probabilities

    def check(self, scores: Tensor) -> None:
        """Refuses scores ``[b]`` of perturbed inputs that cannot be compared.

        Raises:
            ValueError: they are not finite, or not probabilities where these are required.
        """
        if self.probabilities is not None:
            self.probabilities.check_range(scores)
        elif not bool(torch.isfinite(scores).all()):
            raise ValueError(f"{self.what}; got NaN or infinite values")

    @property
    def what(self) -> str:
        """What must be finite, for error messages."""
        return f"{self.name} must have finite scores"


class ActivationEvaluator(ProbabilityEvaluator):
    """Gives a layer's activations, where there is a layer, in place of probabilities.

    Takes the arguments of :class:`captum_ext.forward.Evaluator`.

    Attributes:
        layer: a module that runs inside the model; None: probabilities.

    Example:
        >>> model = nn.Sequential(nn.Identity(), nn.Linear(4, 2))
        >>> evaluator = ActivationEvaluator(model, target=1)
        >>> evaluator.layer = model[0]
        >>> evaluator.scores(torch.ones(1, 4), torch.tensor([0]))
        tensor([1.])
    """

    layer: nn.Module | None = None

    def outputs(self, rows: Rows, examples: Tensor) -> Tensor:
        if self.layer is None:
            return super().outputs(rows, examples)
        with Tap(self.layer) as tap:
            super().outputs(rows, examples)
        return tap.values

    def scores(self, rows: Rows, examples: Tensor) -> Tensor:
        scores = super().scores(rows, examples)
        if self.layer is None or scores.dim() == 1:
            return scores
        return scores.flatten(1).mean(1)  # a feature map's units count alike

    @property
    def what(self) -> str:
        return super().what if self.layer is None else "layer must have finite activations"
