"""The models of a study, as its cells see them: a classifier, or an exam model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from captum_ext.choices import OUTPUT_KINDS
from captum_ext.coerce import layer_of
from captum_ext.exam import KnownModel, as_gray_levels
from captum_ext.forward import Preprocessed
from captum_ext.models import Classifier
from captum_ext.models.output_kind import LOGITS
from captum_ext.outputs import with_output, with_probabilities
from captum_ext.soundness import ModelFacts, observe
from captum_ext.spec import MethodSpec, Resolution
from captum_ext.study.plan.canonical import digest_of_model

#: Words that a study takes in place of a class.
PREDICTED, LABEL = "predicted", "label"


#: Side of the gray picture that a model is looked at with.
GRAY_SIDE = 64


@dataclass(frozen=True)
class Aim:
    """What is explained: an image as the model sees it, and a class.

    Attributes:
        seen: ``[1, C, h, w]``.
        target: the class's index.
        label: its name, or its index.
        outputs: what the model gives, one of :data:`captum_ext.choices.OUTPUT_KINDS`, and not
            ``"auto"``.
    """

    seen: Tensor = field(repr=False)
    target: int
    label: str
    outputs: str


class StudyModel(ABC):
    """A model of a study.

    Attributes:
        model: whose passes are counted.
        resolution: at which methods are asked, see :func:`captum_ext.explain`.
    """

    model: nn.Module
    resolution: Resolution = "image"

    @property
    def counted(self) -> nn.Module:
        """What every pass runs through once, whichever output it is for."""
        return self.model

    @property
    def outputs(self) -> str:
        """The kind of the model's outputs, one of :data:`captum_ext.choices.OUTPUT_KINDS`."""
        return str(getattr(self.model, "outputs", OUTPUT_KINDS[0]))

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Differs where anything of the model does."""

    @abstractmethod
    def see(self, image: Tensor) -> Tensor:
        """An image ``[C, H, W]`` in [0, 1] as the model sees it, ``[1, C, h, w]``."""

    @abstractmethod
    def see_mask(self, mask: Tensor) -> Tensor:
        """A mask ``[1, H, W]`` of the same picture, ``[1, 1, h, w]``, 0 and 1."""

    @abstractmethod
    def index_of(self, target: int | str) -> int:
        """A class by its number or name.

        Raises:
            ValueError: a class that the model does not have.
        """

    @abstractmethod
    def aim(self, seen: Tensor, target: int | str) -> Aim:
        """What is explained of an image: the class of a number or name, or the predicted one.

        Raises:
            ValueError: a class that the model does not have.
        """

    def fitting(self, spec: MethodSpec) -> nn.Module:
        """The model with an output that a method can explain."""
        module, _ = with_output(spec, self.model, "auto", "probabilities")
        return module

    def facts(self, spec: MethodSpec) -> ModelFacts:
        """What a run on a gray picture says of the model that a method explains."""
        return observe(self.fitting(spec), self.see(torch.full((3, GRAY_SIDE, GRAY_SIDE), 0.5)))

    def explained(self, spec: MethodSpec, aim: Aim, output: str) -> tuple[nn.Module, str]:
        """The model as a method sees it, and which output it then gives.

        Args:
            spec: the method.
            aim: what is explained.
            output: one of :data:`captum_ext.choices.OUTPUTS`.
        """
        return with_output(spec, self.model, output, aim.outputs)

    @abstractmethod
    def scored(self, aim: Aim, output: str) -> nn.Module:
        """The model as metrics see it: ``"probability"`` or ``"logit"``, where it gives one."""

    def layer(self, name: str | None) -> nn.Module | None:
        """The layer of a name."""
        return layer_of(self.model, name)

    def truth(self) -> Tensor | None:
        """Which pixels decide, ``[1, 1, h, w]`` of bool, where that is known."""
        return None

    def shapley_values(self, aim: Aim, asked: nn.Module) -> Tensor | None:
        """The exact Shapley values of an output, ``[1, 1, h, w]``, where they are known."""
        return None


class StudyClassifier(StudyModel):
    """A classifier of :func:`captum_ext.load_model`.

    Example:
        >>> from captum_ext import load_model
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
        >>> subject = StudyClassifier(load_model(network, size=4))
        >>> subject.aim(subject.see(torch.rand(3, 8, 8)), 1).label
        '1'
    """

    def __init__(self, model: Classifier) -> None:
        self.model: Classifier = model

    @property
    def fingerprint(self) -> str:
        model = self.model
        return digest_of_model(model, repr(model.view), model.class_names, model.outputs)

    def see(self, image: Tensor) -> Tensor:
        return self.model.see(image.float().expand(3, -1, -1))

    def see_mask(self, mask: Tensor) -> Tensor:
        return (self.model.view(mask)[None] >= 0.5).to(self.model.device)

    def index_of(self, target: int | str) -> int:
        return self.model.index_of(target)

    def aim(self, seen: Tensor, target: int | str) -> Aim:
        if target == PREDICTED:
            (top,) = self.model.top(seen, 1)
        else:
            (top,) = self.model.describe(seen, [self.index_of(target)])
        return Aim(seen, top.index, top.label, top.outputs)

    def scored(self, aim: Aim, output: str) -> nn.Module:
        if aim.outputs not in LOGITS or output == "logit":
            return self.model
        explained: nn.Module = with_probabilities(self.model, aim.outputs)
        return explained


class StudyExamModel(StudyModel):
    """A model whose right answer is known; methods are asked about the output that it gives.

    Example:
        >>> from captum_ext.exam import make_model
        >>> subject = StudyExamModel(make_model("center_pixel", size=5))
        >>> int(subject.truth().sum()), subject.see(torch.rand(3, 8, 8)).shape
        (1, torch.Size([1, 1, 5, 5]))
    """

    resolution: Resolution = "pixel"

    def __init__(self, model: KnownModel) -> None:
        self.model: KnownModel = model

    @property
    def counted(self) -> nn.Module:
        return self.model.flatten

    @property
    def fingerprint(self) -> str:
        return digest_of_model(self.model, self.model.output)

    def see(self, image: Tensor) -> Tensor:
        """Gray levels; an image of one channel and the model's size is as it is."""
        side = self.model.size
        if tuple(image.shape) == (1, side, side):
            return image[None]
        return as_gray_levels(image, side)

    def see_mask(self, mask: Tensor) -> Tensor:
        return self.see(mask) >= 0.5

    def index_of(self, target: int | str) -> int:
        n_classes = self.model.n_classes
        if not isinstance(target, int) or not 0 <= target < n_classes:
            raise ValueError(
                f"target must be {PREDICTED!r} or a class below {n_classes}; got {target!r}"
            )
        return target

    @torch.no_grad()
    def aim(self, seen: Tensor, target: int | str) -> Aim:
        predicted = target == PREDICTED
        index = int(self.model(seen)[0].argmax()) if predicted else self.index_of(target)
        kind = "softmax" if self.model.output == "logit" else "probabilities"
        return Aim(seen, index, str(index), kind)

    def scored(self, aim: Aim, output: str) -> nn.Module:
        return self.model.with_output(output)

    def truth(self) -> Tensor | None:
        return self.model.ground_truth()

    def shapley_values(self, aim: Aim, asked: nn.Module) -> Tensor | None:
        if not isinstance(asked, KnownModel):
            return None
        return asked.shapley_values(aim.seen, aim.target)


class StandIn(StudyClassifier):
    """A cheap classifier that sees what another subject sees: to rehearse a study.

    Args:
        subject: the other.
        seen: an image as it sees it, ``[1, C, h, w]``.
        n_classes: that it tells apart.
    """

    def __init__(self, subject: StudyModel, seen: Tensor, n_classes: int) -> None:
        self.other = subject
        channels = seen.shape[1]
        # A convolution with overlapping windows: Grad-CAM takes it for one that sees more than
        # a transformer's patches.
        network = nn.Sequential(
            nn.Conv2d(channels, 4, 9, stride=8, padding=4),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(16, n_classes),
        ).requires_grad_(False)
        with torch.no_grad():
            for number, value in enumerate(network.parameters()):
                generator = torch.Generator().manual_seed(number)
                value.copy_(torch.rand(value.shape, generator=generator) - 0.5)
        self.network = network.to(seen).eval()
        self.model: Any = Preprocessed(self.network, (0.0,) * channels, (1.0,) * channels).eval()

    @property
    def outputs(self) -> str:
        """As the other's; but its own are no probabilities, and it does not look at them."""
        kinds = {"scores": "scores", "sigmoid": "sigmoid", "probabilities": "sigmoid"}
        return kinds.get(self.other.outputs, "softmax")

    def see(self, image: Tensor) -> Tensor:
        return self.other.see(image)

    def see_mask(self, mask: Tensor) -> Tensor:
        return self.other.see_mask(mask)

    def aim(self, seen: Tensor, target: int | str) -> Aim:
        return Aim(seen, 0, "0", self.outputs)

    def layer(self, name: str | None) -> nn.Module | None:
        return None if name is None else self.network[0]
