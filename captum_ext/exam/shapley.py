r"""Exact Shapley values of a model of which few features matter.

With the features N as players and :math:`v(S)` the output where the features in S have the image's
values and the others the baseline's,

.. math:: \phi_i = \sum_{S \subseteq N \setminus \{i\}} \frac{|S|!\,(|N| - |S| - 1)!}{|N|!}
    \left(v(S \cup \{i\}) - v(S)\right).

A feature that moves no output is a dummy: its value is 0, and it can be left out of N without a
change to the others. So for k features that matter, :math:`2^k` outputs give the values of all.

Source: Shapley, "A value for n-person games", 1953; for the features of a prediction: Strumbelj and
Kononenko, JMLR 2010.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from captum_ext.checks import check_baselines, check_inputs
from captum_ext.forward import Evaluator, Example, PatchedRows

#: 65 536 outputs, which a small model gives in a second.
MAX_PLAYERS = 16


def exact_shapley(
    model: Callable[..., Any],
    image: Tensor,
    target: int | None,
    baseline: float | Tensor,
    players: Tensor,
) -> Tensor:
    """Shapley values of one output, by all coalitions of the players.

    Args:
        model: a module or function of ``[B, ...]``.
        image: ``[1, ...]``.
        target: the output that is explained; None where the model returns ``[B]``.
        baseline: what stands where a player is missing, a number or ``[1, ...]``.
        players: bool, of the image's shape, true at no more than :data:`MAX_PLAYERS` features. The
            others keep the image's values and are taken for dummies: that they move no output is
            the caller's to know.

    Returns:
        Of the image's shape, in float64; 0 outside of ``players``.

    Raises:
        TypeError: something is no tensor.
        ValueError: more than one image, players of another shape or too many of them, a target or
            baseline that does not fit.

    Example:
        >>> image, players = torch.tensor([[2.0, 6.0, 9.0]]), torch.tensor([[True, True, False]])
        >>> exact_shapley(lambda x: x[:, :2].amax(1), image, None, 0.0, players)
        tensor([[1., 5., 0.]], dtype=torch.float64)
    """
    (x,) = check_inputs(image, "image")
    if len(x) != 1:
        raise ValueError(f"image must be one, [1, ...]; got shape {tuple(x.shape)}")
    if not isinstance(players, Tensor) or players.dtype != torch.bool or players.shape != x.shape:
        given = getattr(players, "shape", type(players).__name__)
        raise ValueError(f"players must be bool of the shape {tuple(x.shape)}; got {given}")
    n_players = int(players.sum())
    if n_players > MAX_PLAYERS:
        raise ValueError(
            f"players must be at most {MAX_PLAYERS}, for all of their coalitions are tried; got "
            f"{n_players}"
        )
    (base,) = check_baselines(baseline, (x,))
    values = torch.zeros(x.shape, dtype=torch.float64, device=x.device)
    if not n_players:
        return values
    positions = players.flatten().nonzero()[:, 0].to(x.device)
    present, absent = x.detach().flatten()[positions], base.flatten()[positions]
    bits = 2 ** torch.arange(n_players, device=x.device)
    example = Example(x.detach()[0])

    def coalitions(_: Tensor, which: Tensor) -> PatchedRows:
        """Coalition number c holds player i where bit i of c is set."""
        inside = (which[:, None] & bits) != 0
        return PatchedRows(example, [(positions, torch.where(inside, present, absent))])

    outputs = Evaluator(model, target, name="model")(x, coalitions, 2**n_players)[0].double()
    everyone = torch.arange(2**n_players, device=x.device)
    sizes = sum((everyone & bit) != 0 for bit in bits).long()
    without = torch.stack([everyone[(everyone & bit) == 0] for bit in bits])  # [k, 2^(k-1)]
    gains = outputs[without | bits[:, None]] - outputs[without]
    # 1 / (k choose |S|) / (k - |S|) is |S|! (k - |S| - 1)! / k!
    weights = torch.tensor(
        [1 / math.comb(n_players, size) / (n_players - size) for size in range(n_players)],
        dtype=torch.float64,
        device=x.device,
    )
    values.view(-1)[positions] = (weights[sizes[without]] * gains).sum(1)
    return values
