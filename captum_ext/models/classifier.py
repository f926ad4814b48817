"""A classifier of pictures: what it is called, how it sees them, what its classes are."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from captum_ext.checks import check_choice, check_int, one_line, unknown
from captum_ext.choices import OUTPUT_KINDS
from captum_ext.forward import Preprocessed
from captum_ext.models.framing import Framing
from captum_ext.models.output_kind import check_kind, output_kind
from captum_ext.models.top_class import TopClass, top_classes

#: Kinds that the one output of a binary model can be.
BINARY = ("sigmoid", "probabilities")
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
        model: takes normalized images ``[B, 3, H, W]``, gives ``[B, classes]``; or ``[B]``, which
            becomes ``[B, 1]``.
        preprocessing: what it wants of a picture.
        class_names: one for each output; None: the outputs are called by their numbers. Two for the
            one output of a binary model: the output is that of the second.
        name: of the model.
        outputs: what they are, one of :data:`captum_ext.choices.OUTPUT_KINDS`, see
            :mod:`captum_ext.models.output_kind`. ``"auto"``: each picture's outputs show it; a
            model of one output must be told.

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
        outputs: str = OUTPUT_KINDS[0],
    ) -> None:
        super().__init__(model, preprocessing.mean, preprocessing.std)
        self.outputs = check_choice(outputs, "outputs", OUTPUT_KINDS)
        self.view = preprocessing.view
        self.class_names = None if class_names is None else tuple(map(str, class_names))
        self.name = name or type(model).__name__

    def forward(self, x: Tensor, *args: Any) -> Any:
        normalized = self.normalize(x)
        # A picture is float32; weights may be of another precision.
        weights = (each for each in self.model.parameters() if each.is_floating_point())
        first = next(weights, normalized)
        outputs = self.model(normalized.to(first.dtype), *args)
        one_number = isinstance(outputs, Tensor) and outputs.dim() == 1
        return outputs[:, None] if one_number else outputs

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
        return _label(index, self._names())

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
        known_names = self._names()
        if known_names is None:
            raise ValueError(f"target must be a number: {self.name} has no names; got {target!r}")
        labels = list(enumerate(known_names))
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
        opposite = set(self.class_names or ()) - set(known_names)
        if any(_same(name, text, exact=False) for name in opposite):
            raise ValueError(
                f"target must be {known_names[0]!r}, the one output of {self.name}; got "
                f"{target!r}, its opposite: what speaks for the one speaks against the other"
            )
        raise unknown(text, "target", dict.fromkeys(name.strip() for _, name in names))

    def _check_index(self, index: int) -> int:
        names = self._names()
        if names is not None and index >= len(names):
            raise ValueError(f"target must be below {len(names)}; got {index}")
        return index

    def _names(self, n_outputs: int | None = None) -> tuple[str, ...] | None:
        """A name for each output: of two names, the one output of a binary model has the second.

        To tell a binary model from one of two labels, it must run.
        """
        names = self.class_names
        if names is None or len(names) != 2 or self.outputs not in BINARY:
            return names
        if n_outputs is None:
            n_channels = len(self.normalize.mean)
            image = self.normalize.mean.new_zeros(1, n_channels, *self.view.size)
            with torch.no_grad():
                n_outputs = self._outputs(image).shape[1]
        return names[1:] if n_outputs == 1 else names

    @torch.no_grad()
    def top(self, seen: Tensor, count: int = 3) -> list[TopClass]:
        """The classes that the model finds in one picture, the highest first.

        Args:
            seen: ``[1, 3, H, W]`` in [0, 1]; see :meth:`see`.
            count: how many; all, where there are fewer.

        Raises:
            ValueError: the model gives no ``[1, classes]`` of finite numbers, or as many classes
                as it has no names; one output whose kind is not given; "probabilities" outside
                [0, 1].
        """
        check_int(count, "top", minimum=1)
        outputs, kind, names = self._answers(seen)
        order = outputs[0].argsort(descending=True, stable=True)[:count]
        return top_classes(outputs, kind, order.tolist(), partial(_label, names=names))

    @torch.no_grad()
    def describe(self, seen: Tensor, targets: Sequence[int]) -> list[TopClass]:
        """What the model says of given classes in one picture. Arguments as in :meth:`top`.

        Raises:
            ValueError: as :meth:`top`, and a class that the model does not have.
        """
        outputs, kind, names = self._answers(seen)
        for index in targets:
            if not 0 <= index < outputs.shape[1]:
                raise ValueError(f"target must be from 0 to {outputs.shape[1] - 1}; got {index}")
        return top_classes(outputs, kind, targets, partial(_label, names=names))

    def _answers(self, seen: Tensor) -> tuple[Tensor, str, tuple[str, ...] | None]:
        """The outputs of one picture, ``[1, classes]``, their kind and names."""
        outputs = self._outputs(seen)
        if not bool(torch.isfinite(outputs).all()):
            raise ValueError(f"model must give finite outputs; those of {self.name} are not")
        kind, names = self._kind_of(outputs, seen), self._names(outputs.shape[1])
        if names is not None and len(names) != outputs.shape[1]:
            raise ValueError(
                f"class_names must be as many as the {outputs.shape[1]} outputs of {self.name}; "
                f"got {len(names)}"
            )
        return outputs, kind, names

    def _outputs(self, seen: Tensor) -> Tensor:
        """``[1, classes]`` of one picture."""
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
        return outputs

    def _kind_of(self, outputs: Tensor, seen: Tensor) -> str:
        if self.outputs != "auto" or outputs.shape[1] < 2:
            return check_kind(outputs, self.outputs, self.name)

        def differentiable() -> Tensor:
            # A model that works in place, or by other means than torch, has no graph.
            with suppress(RuntimeError), torch.enable_grad():
                again: Tensor = self(seen.detach().requires_grad_())
                return again
            return outputs

        return output_kind(outputs, differentiable)


def _label(index: int, names: tuple[str, ...] | None) -> str:
    return str(index) if names is None or index >= len(names) else names[index]


def _same(name: str, text: str, *, exact: bool) -> bool:
    name = name.strip()
    return name == text if exact else name.lower() == text.lower()
