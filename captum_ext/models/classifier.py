"""A classifier of pictures: what it is called, how it sees them, what its classes are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan

import torch
from torch import Tensor, nn

from captum_ext.checks import check_int, one_line, unknown
from captum_ext.forward import Preprocessed
from captum_ext.models.framing import Framing

#: By how much the sum of probabilities may miss one.
ROUNDING = 1e-4
#: How much of the luminance red, green and blue are (ITU-R BT.601, as in Pillow).
LUMINANCE = (0.299, 0.587, 0.114)


def luminance(image: Tensor) -> Tensor:
    """The gray of RGB ``[3, H, W]``, as ``[1, H, W]``.

    Example:
        >>> luminance(torch.ones(3, 1, 1))
        tensor([[[1.]]])
    """
    return (image * image.new_tensor(LUMINANCE).reshape(3, 1, 1)).sum(0, keepdim=True)


@dataclass(frozen=True)
class TopClass:
    """A class that a model finds in a picture.

    Attributes:
        index: its place among the outputs.
        label: its name, or its index where the model has no names.
        logit: the output; NaN where the model gives probabilities.
        probability: by softmax, where the outputs are logits.
    """

    index: int
    label: str
    logit: float
    probability: float

    @property
    def has_logit(self) -> bool:
        """Whether the model gives logits."""
        return not isnan(self.logit)


@dataclass(frozen=True)
class Preprocessing:
    """What a model wants of a picture.

    Args:
        mean, std: per channel, of RGB in [0, 1].
        view: how the picture is resized and cut.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    view: Framing


class Classifier(Preprocessed):
    """A classifier that takes RGB in [0, 1], and knows its classes' names.

    Args:
        model: takes normalized images ``[B, 3, H, W]``, gives ``[B, classes]``.
        preprocessing: what it wants of a picture.
        class_names: one for each output; None: the outputs are called by their numbers.
        name: of the model.

    Attributes:
        view: how it sees a picture; give a model with a fixed size no other.

    Example:
        >>> view = Framing(size=(4, 4), resize=4)
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
        >>> preprocessing = Preprocessing((0.5,) * 3, (0.25,) * 3, view)
        >>> model = Classifier(network, preprocessing, ["cat", "dog"])
        >>> model.index_of("dog"), model.label_of(0)
        (1, 'cat')
    """

    def __init__(
        self,
        model: nn.Module,
        preprocessing: Preprocessing,
        class_names: Sequence[str] | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(model, preprocessing.mean, preprocessing.std)
        self.view = preprocessing.view
        self.class_names = None if class_names is None else tuple(map(str, class_names))
        self.name = name or type(model).__name__

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.normalize.mean.device

    def see(self, image: Tensor) -> Tensor:
        """A picture as the model sees it.

        Args:
            image: ``[3, H, W]`` in [0, 1].

        Returns:
            ``[1, 3, height, width]`` in [0, 1], on the model's device; ``[1, 1, height, width]``
            of its luminance for a model of gray images, which has one ``mean``.
        """
        seen = self.view(image)
        if len(self.normalize.mean) == 1:
            seen = luminance(seen)
        return seen[None].to(self.device)

    def label_of(self, index: int) -> str:
        """The name of a class, or its number where there are no names."""
        if self.class_names is None or index >= len(self.class_names):
            return str(index)
        return self.class_names[index]

    def index_of(self, target: int | str) -> int:
        """A class by its number or its name; case does not matter, one of several names does.

        Raises:
            ValueError: no such class; the message suggests the nearest names.

        Example:
            >>> view = Framing(size=(1, 1), resize=1)
            >>> names = ["tabby, tabby cat", "tiger cat"]
            >>> Classifier(nn.Flatten(), Preprocessing((0.5,), (1,), view), names).index_of("Tabby")
            0
        """
        text = str(target).strip()
        if text.isdecimal():
            return self._check_index(int(text))
        if self.class_names is None:
            raise ValueError(f"target must be a number: {self.name} has no names; got {target!r}")
        labels = list(enumerate(self.class_names))
        names = [(index, name) for index, label in labels for name in label.split(",")]
        # The first way of reading that finds any counts.
        for exact, known in ((True, labels), (False, labels), (True, names), (False, names)):
            found = {index for index, name in known if _same(name, text, exact=exact)}
            if len(found) == 1:
                return found.pop()
            if found:
                raise ValueError(
                    f"target {target!r} is the name of several classes; give a number of "
                    f"{', '.join(map(str, sorted(found)))}"
                )
        raise unknown(text, "target", dict.fromkeys(name.strip() for _, name in names))

    def _check_index(self, index: int) -> int:
        if self.class_names is not None and index >= len(self.class_names):
            raise ValueError(f"target must be below {len(self.class_names)}; got {index}")
        return index

    @torch.no_grad()
    def top(self, seen: Tensor, count: int = 3) -> list[TopClass]:
        """The classes that the model finds in one picture, the highest first.

        Args:
            seen: ``[1, 3, H, W]`` in [0, 1]; see :meth:`see`.
            count: how many; all, where there are fewer.

        Raises:
            ValueError: the model gives no ``[1, classes]`` of finite numbers, or as many classes
                as it has no names.
        """
        check_int(count, "top", minimum=1)
        outputs, probabilities = self._answers(seen)
        order = outputs.argsort(descending=True, stable=True)[:count]
        return [self._top_class(int(index), outputs, probabilities) for index in order]

    @torch.no_grad()
    def describe(self, seen: Tensor, targets: Sequence[int]) -> list[TopClass]:
        """What the model says of given classes in one picture. Arguments as in :meth:`top`.

        Raises:
            ValueError: as :meth:`top`, and a class that the model does not have.
        """
        outputs, probabilities = self._answers(seen)
        for index in targets:
            if not 0 <= index < len(outputs):
                raise ValueError(f"target must be from 0 to {len(outputs) - 1}; got {index}")
        return [self._top_class(index, outputs, probabilities) for index in targets]

    def _answers(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """The outputs of one picture, and its probabilities: ``[classes]`` each, or one tensor."""
        try:
            outputs = self(seen)
        except RuntimeError as error:
            raise ValueError(
                f"{self.name} cannot take images of {seen.shape[2]} x {seen.shape[3]} pixels: "
                f"{one_line(error)}"
            ) from error
        if not isinstance(outputs, Tensor) or outputs.dim() != 2 or len(outputs) != 1:
            got = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
            raise ValueError(f"model must give [B, classes]; {self.name} gives {got}")
        if not bool(torch.isfinite(outputs).all()):
            raise ValueError(f"model must give finite outputs; those of {self.name} are not")
        n_classes = outputs.shape[1]
        if n_classes < 2:
            raise ValueError(f"model must tell classes apart; {self.name} gives one output")
        if self.class_names is not None and len(self.class_names) != n_classes:
            raise ValueError(
                f"class_names must be as many as the {n_classes} outputs of {self.name}; got "
                f"{len(self.class_names)}"
            )
        own = outputs[0]
        return own, own if gives_probabilities(outputs) else own.softmax(0)

    def _top_class(self, index: int, outputs: Tensor, probabilities: Tensor) -> TopClass:
        logit = float("nan") if outputs is probabilities else float(outputs[index])
        return TopClass(index, self.label_of(index), logit, float(probabilities[index]))


def _same(name: str, text: str, *, exact: bool) -> bool:
    name = name.strip()
    return name == text if exact else name.lower() == text.lower()


def gives_probabilities(outputs: Tensor) -> bool:
    """Whether outputs ``[B, classes]`` look like probabilities, which sum to one.

    Example:
        >>> gives_probabilities(torch.tensor([[0.2, 0.8]])), gives_probabilities(torch.ones(1, 2))
        (True, False)
    """
    return bool((outputs >= 0).all()) and bool(((outputs.sum(1) - 1).abs() < ROUNDING).all())
