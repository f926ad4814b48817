"""A classifier of photographs that nobody trained: it names a picture's color.

A convolutional network made by hand. For a color c and a pixel p,

    near(c, p) = ReLU((has(c, p) - FROM[c]) / (TO[c] - FROM[c]))
    clear(c, p) = near(c, p) - RIVALRY * (near(left of c, p) + near(right of c, p))
    evidence(c, p) = SCALE * ReLU(mean of clear(c, .) around p - FAINT)
    logit(c) = mean over p of evidence(c, p)

``has`` is the mean of the channels that the color has, minus the mean of those that it lacks: red's
is R - (G + B) / 2, white's the mean of all three, black's minus that. So a pixel counts where it is
near the color (near: 0 to 1, and above where it is even purer than TO), its two neighbors on the
color wheel, left and right, count against it, and what is faint all around does not count.

So the right answer is known: a pixel has a part in a logit only where there is evidence around it,
see :meth:`ColorNet.evidence`. Skin, wood and orange are a faint red.

    captum-ext explain astronaut --model examples.color_model:color_model
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from captum_ext.models import Classifier, Framing, Preprocessing

#: The corners of the RGB cube: first the color wheel, in its order.
COLORS = {
    "red": (1, 0, 0),
    "yellow": (1, 1, 0),
    "green": (0, 1, 0),
    "cyan": (0, 1, 1),
    "blue": (0, 0, 1),
    "magenta": (1, 0, 1),
    "white": (1, 1, 1),
    "black": (0, 0, 0),
}
WHEEL = 6
# Where nearness is 0, and where it is 1: photographs are less colorful than the wheel.
FROM = (*(0.08,) * WHEEL, 0.7, -0.2)
TO = (*(0.36,) * WHEEL, 1.0, 0.0)
RIVALRY, FAINT = 0.6, 0.1
AROUND = 3  # pixels of a neighborhood's side
SCALE = 16.0  # softmax is neither flat nor saturated on the photographs of scikit-image
SIDE = 160


class ColorNet(nn.Module):
    """Takes RGB in [0, 1], ``[B, 3, H, W]``; gives a logit for each of the :data:`COLORS`.

    Example:
        >>> pure_blue = torch.tensor([0.0, 0.0, 1.0]).reshape(1, 3, 1, 1).expand(1, 3, 32, 32)
        >>> list(COLORS)[ColorNet()(pure_blue).argmax()]
        'blue'
    """

    def __init__(self) -> None:
        super().__init__()
        count = len(COLORS)
        self.near = nn.Conv2d(3, count, kernel_size=1)
        self.near_relu = nn.ReLU()
        self.around = nn.Conv2d(count, count, AROUND, padding=AROUND // 2)
        self.around_relu = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self._set_parameters()

    def _set_parameters(self) -> None:
        start, end = torch.tensor(FROM), torch.tensor(TO)
        has = torch.tensor(list(COLORS.values()), dtype=torch.float32)
        lacks = 1 - has
        # A color that has no channel (black), or lacks none (white), has no such mean.
        contrast = has / has.sum(1, keepdim=True).clamp(min=1)
        contrast -= lacks / lacks.sum(1, keepdim=True).clamp(min=1)
        rivals = torch.eye(len(COLORS))
        for color in range(WHEEL):
            for neighbor in (color - 1, color + 1):
                rivals[color, neighbor % WHEEL] = -RIVALRY
        blur = torch.full((AROUND, AROUND), 1 / AROUND**2)
        self.near.weight = nn.Parameter((contrast / (end - start)[:, None])[:, :, None, None])
        self.near.bias = nn.Parameter(-start / (end - start))
        self.around.weight = nn.Parameter(SCALE * rivals[:, :, None, None] * blur)
        self.around.bias = nn.Parameter(torch.full((len(COLORS),), -SCALE * FAINT))
        self.requires_grad_(False)

    def evidence(self, images: Tensor) -> Tensor:
        """What each pixel adds to each logit, which is their mean: ``[B, colors, H, W]``.

        Example:
            >>> images = torch.rand(1, 3, 16, 16)
            >>> net = ColorNet()
            >>> torch.allclose(net.evidence(images).mean((2, 3)), net(images))
            True
        """
        near = self.near_relu(self.near(images))
        result: Tensor = self.around_relu(self.around(near))
        return result

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.flatten(self.pool(self.evidence(images)))
        return result


def color_model() -> Classifier:
    """The classifier: it sees all of a picture, squashed to a square.

    Example:
        >>> from captum_ext.image_files import read_image
        >>> model = color_model()
        >>> [top.label for top in model.top(model.see(read_image("coffee")), 2)]
        ['red', 'black']
    """
    preprocessing = Preprocessing((0.0,) * 3, (1.0,) * 3, Framing.squashed((SIDE, SIDE)))
    return Classifier(ColorNet(), preprocessing, list(COLORS), "color model").eval()
