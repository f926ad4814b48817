"""ExamModelSpec: what is known of a model of the exam beside its code."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from captum_ext.spec_files import check_name


@dataclass(frozen=True)
class ExamModelSpec:
    """A model whose right answer is known.

    Args:
        name: identifier, lower case with underscores, unique.
        title: for people.
        about: one line of what decides.
        model: a :class:`captum_ext.exam.KnownModel`, which takes ``size``, ``seed`` and ``output``.
        origin: the distribution that it comes from; None: the package of the model.

    Raises:
        ValueError: the name is not an identifier.
    """

    name: str
    title: str
    about: str
    model: type[nn.Module]
    origin: str | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.origin is None:
            object.__setattr__(self, "origin", self.model.__module__.partition(".")[0])
