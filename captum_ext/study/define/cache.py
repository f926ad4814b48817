"""What a process keeps at hand while it works on a study: models, and the last image."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress

import torch
from torch import Tensor

from captum_ext.study.define.entries import ModelEntry
from captum_ext.study.define.images import StudyImage
from captum_ext.study.define.models import Aim, StudyModel

#: Models that are kept.
MOST_MODELS = 2


class MismatchError(ValueError):
    """A process has other versions, another model or another image than the study."""


class StudyCache:
    """Loads each model once, and sees each image once, as long as it is the same one.

    Example:
        >>> entry = ModelEntry.exam("center_pixel", size=9)
        >>> cache = StudyCache()
        >>> subject, fingerprint = cache.load(entry)
        >>> cache.subject(entry, fingerprint) is subject
        True
    """

    def __init__(self) -> None:
        self._subjects: OrderedDict[str, StudyModel] = OrderedDict()
        self._aims: dict[tuple[str, str, int | str], Aim] = {}
        self._references: dict[tuple[str, ...], Tensor | None] = {}

    def load(self, entry: ModelEntry) -> tuple[StudyModel, str]:
        """The model of an entry, and its fingerprint."""
        subject = entry.load()
        fingerprint = subject.fingerprint
        self._subjects[fingerprint] = subject
        while len(self._subjects) > MOST_MODELS:
            self._subjects.popitem(last=False)
        return subject, fingerprint

    def subject(self, entry: ModelEntry, fingerprint: str) -> StudyModel:
        """The model of an entry, known to have a fingerprint.

        Raises:
            MismatchError: it has another one.
        """
        if fingerprint not in self._subjects:
            _, found = self.load(entry)
            if found != fingerprint:
                raise MismatchError(f"model {entry.name!r} is not the one of the study here")
        self._subjects.move_to_end(fingerprint)
        return self._subjects[fingerprint]

    def aim(
        self,
        subject: StudyModel,
        fingerprint: str,
        image: StudyImage,
        digest: str,
        target: int | str,
    ) -> Aim:
        """What is explained of an image.

        Raises:
            ValueError: an image that cannot be read, or a class that the model does not have.
            MismatchError: the image has another digest.
        """
        key = (fingerprint, digest, target)
        if key not in self._aims:
            self._aims = {key: subject.aim(self.see(subject, image, digest), target)}
        return self._aims[key]

    def see(self, subject: StudyModel, image: StudyImage, digest: str) -> Tensor:
        """What the model sees of an image."""
        check_unchanged(image, digest)
        return subject.see(image.read())

    def references(
        self,
        subject: StudyModel,
        fingerprint: str,
        images: Sequence[StudyImage],
        digests: Sequence[str],
    ) -> Tensor | None:
        """What the model sees of other images, ``[R, C, h, w]``; None where there are none.

        One that cannot be read is left out.

        Raises:
            MismatchError: an image has another digest.
        """
        if not images:
            return None
        key = (fingerprint, *digests)
        if key not in self._references:
            for image, digest in zip(images, digests, strict=True):
                check_unchanged(image, digest)
            seen = []
            for image in images:
                with suppress(ValueError):
                    seen.append(subject.see(image.read()))
            self._references = {key: torch.cat(seen) if seen else None}
        return self._references[key]


def check_unchanged(image: StudyImage, digest: str) -> None:
    """Refuses an image that is not the one of the study.

    Raises:
        MismatchError: it has another digest.
    """
    if image.digest() != digest:
        raise MismatchError(f"image {image.name!r} has changed, or cannot be read here")
