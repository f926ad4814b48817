"""Small models that the tests of soundness share."""

import warnings

import torch
from torch import nn

from captum_ext.value_checks import AttributionWarning


def pictures(*shape, seed=0):
    return torch.rand(*(shape or (1, 3, 8, 8)), generator=torch.Generator().manual_seed(seed))


def conv_net(*layers, n_classes=3, seed=0):
    """A sequential classifier of RGB images of any size, with ``layers`` after its convolution."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        *(layers or (nn.ReLU(),)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, n_classes),
    ).eval()


def dense_net(*layers, n_features=192, n_classes=3, seed=0):
    """A classifier of flattened inputs."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(n_features, 8),
        *(layers or (nn.ReLU(),)),
        nn.Linear(8, n_classes),
    ).eval()


class Calls(nn.Module):
    """Runs a function on its inputs; the modules that it uses are its children."""

    def __init__(self, function, **modules):
        super().__init__()
        self.function = function
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, *inputs):
        return self.function(self, *inputs)


def calls(function, seed=0, **modules):
    """A :class:`Calls` in eval mode; ``modules`` are makers of modules, called after seeding."""
    torch.manual_seed(seed)
    return Calls(function, **{name: make() for name, make in modules.items()}).eval()


def told(run):
    """The result of a call and the warnings, or the error, that say what is wrong with it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = run()
        except (TypeError, ValueError) as error:
            return None, [str(error)]
    return result, [str(w.message) for w in caught if w.category is AttributionWarning]


def is_near(value, expected, part=0.01):
    scale = torch.as_tensor(expected).abs().max()
    return bool((torch.as_tensor(value) - expected).abs().max() <= part * scale + 1e-6)
