"""Tiny random models of many kinds, each with the shapes of its inputs and of its output."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

N_CLASSES = 3


@dataclass
class Subject:
    """A model, the shape of an example of each input, and that of an example's output.

    ``exact`` is False where examples depend on each other, or two runs differ.
    """

    name: str
    model: Any
    shapes: list[tuple[int, ...]]
    output: tuple[int, ...] = (N_CLASSES,)
    dtype: torch.dtype = torch.float32
    whole_numbers: tuple[int, ...] = ()
    exact: bool = True


class Body(nn.Module):
    """Runs ``body``, and gives its output in another form."""

    def __init__(self, body, form):
        super().__init__()
        self.body, self.form = body, form

    def forward(self, *inputs):
        return FORMS[self.form](self.body(inputs[0]))


def fail(out):
    raise KeyError("an error of the model")


FORMS = {
    "tuple": lambda out: (out, out.detach().sum()),
    "dict": lambda out: {"logits": out, "hidden": out * 2},
    "two": lambda out: (out, out * 2),
    "scalar": lambda out: out[:, 0],
    "sum": torch.sum,
    "none": lambda out: None,
    "whole numbers": lambda out: out.argmax(1, keepdim=True),
    "detached": torch.Tensor.detach,
    "softmax": lambda out: out.softmax(1),
    "raises": fail,
}


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.first, self.relu = nn.Conv2d(channels, 4, 3, padding=1), nn.ReLU()
        self.second, self.head = nn.Conv2d(4, 4, 3, padding=1), nn.Linear(4, N_CLASSES)

    def forward(self, x):
        x = self.relu(self.first(x))
        x = self.relu(x + self.second(x))
        return self.head(x.mean((2, 3)))


class FunctionalRelu(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv, self.head = nn.Conv2d(channels, 4, 3, padding=1), nn.Linear(4, N_CLASSES)

    def forward(self, x):
        return self.head(F.relu(self.conv(x)).mean((2, 3)))


class InPlace(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.head = nn.Linear(size, N_CLASSES)

    def forward(self, x):
        x -= 0.5
        x.mul_(2)
        return self.head(F.relu(x.flatten(1), inplace=False))


class ViewFlatten(nn.Module):
    def __init__(self, channels, size):
        super().__init__()
        self.conv, self.relu = nn.Conv2d(channels, 4, 1), nn.ReLU()
        self.head = nn.Linear(4 * size, N_CLASSES)

    def forward(self, x):
        x = self.relu(self.conv(x)).contiguous()
        return self.head(x.view(len(x), -1))


class TwoInputs(nn.Module):
    """Its second input counts, is of whole numbers, or is not used."""

    def __init__(self, first, second, kind):
        super().__init__()
        self.kind = kind
        self.first, self.relu = nn.Linear(first, N_CLASSES), nn.ReLU()
        self.second = nn.Linear(second, N_CLASSES)
        self.table = nn.Embedding(5, N_CLASSES)

    def forward(self, x, y):
        out = self.relu(self.first(x.flatten(1)))
        if self.kind == "floats":
            out = out + self.second(y.flatten(1))
        if self.kind == "whole numbers":
            out = out + self.table(y.flatten(1).clamp(0, 4)).sum(1)
        return out


class Segmentation(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, N_CLASSES, 3, padding=1)

    def forward(self, x):
        return self.conv(x)


def convolutions(channels, *extra):
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3, padding=1),
        *extra,
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(16, N_CLASSES),
    )


def perceptron(size, *extra):
    return nn.Sequential(
        nn.Flatten(), nn.Linear(size, 6), nn.ReLU(), *extra, nn.Linear(6, N_CLASSES)
    )


IMAGES = (
    *("convolutions", "residual", "functional relu", "in place", "view flatten", "batch norm"),
    *("training", "double", "half", "bfloat16", "scripted", "maps", "function", "in-place relu"),
    *("frozen", "gray function", "max pool"),
)
VECTORS = ("perceptron", "vector function", "dropout", "linear", "sequence", "constant")
PAIRS = ("two inputs", "second of whole numbers", "unused second", "only whole numbers")
#: Ordinary models more often: methods refuse many of the others.
KINDS = (*["convolutions"] * 6, *["perceptron"] * 3, *IMAGES, *VECTORS, *PAIRS, *FORMS)


def draw_subject(random):
    """A subject of a random kind."""
    torch.manual_seed(random.randrange(1000))
    kind = random.choice(KINDS)
    channels = random.choice((3, 1, 2, 4))
    sides = (random.choice((8, 12, 1, 2, 3, 5, 10)), random.choice((8, 12, 1, 2, 3, 5, 10)))
    shape = (channels, *sides)
    if kind in IMAGES:
        return _image_subject(kind, shape)
    if kind in VECTORS:
        return _vector_subject(kind, random.choice((4, 1, 2, 7, 12)))
    if kind in PAIRS:
        return _pair_subject(kind, shape, (random.choice((3, 1, 5)),))
    output = {"scalar": (), "sum": (), "whole numbers": (1,), "none": ()}.get(kind, (N_CLASSES,))
    # The sum of a batch depends on all of it.
    model = Body(convolutions(channels), kind).eval()
    return Subject(kind, model, [shape], output, exact=kind != "sum")


def _image_subject(kind, shape):
    channels, size = shape[0], shape[1] * shape[2]
    dtypes = {"double": torch.float64, "half": torch.float16, "bfloat16": torch.bfloat16}
    dtype = dtypes.get(kind, torch.float32)
    if kind == "maps":
        return Subject(kind, Segmentation(channels).eval(), [shape], (N_CLASSES, *shape[1:]))
    if kind == "training":
        model = convolutions(channels, nn.BatchNorm2d(4), nn.Dropout(0.3)).train()
        return Subject(kind, model, [shape], exact=False)
    net = {
        "residual": lambda: Residual(channels),
        "functional relu": lambda: FunctionalRelu(channels),
        "in place": lambda: InPlace(channels * size),
        "view flatten": lambda: ViewFlatten(channels, size),
        "batch norm": lambda: convolutions(channels, nn.BatchNorm2d(4)),
        "max pool": lambda: convolutions(channels, nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True)),
        "in-place relu": lambda: convolutions(channels, nn.ReLU(inplace=True)),
    }.get(kind, lambda: convolutions(channels))()
    net = net.eval().to(dtype)
    if kind == "frozen":
        net.requires_grad_(False)
    if kind == "scripted":
        net = torch.jit.script(net)
    if kind == "function":
        return Subject(kind, net.forward, [shape])
    if kind == "gray function":
        return Subject(kind, lambda x: x.mean((1, 2, 3))[:, None] * torch.ones(N_CLASSES), [shape])
    return Subject(kind, net, [shape], dtype=dtype)


def _vector_subject(kind, size):
    if kind == "sequence":
        body = nn.Sequential(nn.Conv1d(size, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool1d(1))
        model = nn.Sequential(body, nn.Flatten(), nn.Linear(4, N_CLASSES)).eval()
        return Subject(kind, model, [(size, 5)])
    if kind == "dropout":
        return Subject(kind, perceptron(size, nn.Dropout()).train(), [(size,)], exact=False)
    if kind == "vector function":
        return Subject(kind, lambda x: torch.stack([x.sum(1), (x * x).sum(1)], 1), [(size,)], (2,))
    if kind == "constant":
        return Subject(
            kind, lambda x: torch.ones(len(x), 2) + 0 * x.sum(1)[:, None], [(size,)], (2,)
        )
    if kind == "linear":
        return Subject(kind, nn.Linear(size, N_CLASSES), [(size,)])
    return Subject(kind, perceptron(size).eval(), [(size,)])


def _pair_subject(kind, shape, second):
    if kind == "only whole numbers":
        table = nn.Sequential(nn.Embedding(5, 4), nn.Flatten(), nn.Linear(4 * second[0], N_CLASSES))
        return Subject(kind, table.eval(), [second], whole_numbers=(0,))
    uses = {"two inputs": "floats", "second of whole numbers": "whole numbers"}.get(kind, "unused")
    size = shape[0] * shape[1] * shape[2]
    model = TwoInputs(size, second[0], uses).eval()
    whole = (1,) if uses == "whole numbers" else ()
    return Subject(kind, model, [shape, second], whole_numbers=whole)
