"""The representation of examples by a layer or a function, beside the model's scores."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from captum_ext.forward.evaluator import Evaluator
from captum_ext.layers import Tap


class Representation:
    """Scores of examples, and a layer's activations in the same pass.

    Args:
        evaluator: of the model.
        layer: a module that runs inside the model, or a function that takes what the model takes.
        of_input: represent by what goes into the module, not by what comes out.

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
        >>> represent = Representation(Evaluator(model, target=1), model[0])
        >>> scores, representations = represent((torch.ones(5, 4),), torch.arange(5))
        >>> scores.shape, representations.shape
        (torch.Size([5]), torch.Size([5, 3]))
    """

    def __init__(
        self,
        evaluator: Evaluator,
        layer: nn.Module | Callable[..., Tensor],
        of_input: bool = False,
    ) -> None:
        self.evaluator, self.layer, self.of_input = evaluator, layer, of_input

    def __call__(self, points: tuple[Tensor, ...], examples: Tensor) -> tuple[Tensor, Tensor]:
        """The scores ``[rows]`` and the representations ``[rows, features]``.

        Args:
            points: for each input ``[rows, ...]``.
            examples: ``[rows]``, the example that each row belongs to.

        Raises:
            ValueError: a representation without a row for each of them.
        """
        if isinstance(self.layer, nn.Module):
            with Tap(self.layer, of_input=self.of_input) as tap:
                scores = self.evaluator.one_score_each(points, examples)
            representation = tap.values
        else:
            scores = self.evaluator.one_score_each(points, examples)
            arguments = self.evaluator.additional_forward_args
            function = Evaluator(self.layer, additional_forward_args=arguments, name="layer")
            representation = function.outputs(points, examples)
        if representation.dim() == 0 or representation.shape[0] != len(examples):
            raise ValueError(
                f"layer must represent each example by a row; got shape "
                f"{tuple(representation.shape)} for {len(examples)} examples"
            )
        return scores, representation.reshape(len(examples), -1)
