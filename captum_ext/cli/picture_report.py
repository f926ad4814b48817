"""What ``captum-ext explain`` prints of a picture, and which folder its files go to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from captum_ext.results import aligned
from captum_ext.value_checks import printable

if TYPE_CHECKING:
    from captum_ext.models import TopClass
    from captum_ext.pictures import ExplainedPicture

#: Of a folder's name, which file systems limit to 255 bytes, with a number after it.
_LONGEST = 60


def safe_name(name: str) -> str:
    """A name for a file, on every system: without control characters and signs that mean a path.

    Example:
        >>> safe_name("cat\\n\\x1b[31m:1"), safe_name("..")
        ('cat__[31m_1', 'picture')
    """
    signs = "".join(sign if sign.isprintable() else "_" for sign in name)
    return re.sub(r'[<>:"/\\\\|?*]', "_", signs)[:_LONGEST].strip(". ") or "picture"


class PictureFolders:
    """A folder for each picture, also where two have the same name.

    Args:
        out: the folder of all.

    Example:
        >>> folders = PictureFolders(Path("out"))
        >>> [folders.of(image).name for image in ("a.png", "b/a.jpg", "c\\n.png")]
        ['a', 'a_2', 'c_']
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self._taken: set[str] = set()

    def of(self, image: str | Path) -> Path:
        """The folder of a picture."""
        stem = name = safe_name(Path(image).stem)
        number = 2
        while name.lower() in self._taken:
            name, number = f"{stem}_{number}", number + 1
        self._taken.add(name.lower())
        return self.out / name


def report_of(explained: ExplainedPicture, folder: Path) -> str:
    """What is printed of a picture: its classes, and what each map has cost.

    Args:
        explained: the picture.
        folder: that its files are in.
    """
    height, width = explained.picture.shape[1:]
    classes = [
        (
            f"{about.index}",
            printable(about.label),
            *(
                (f"{about.logit:.2f}" if about.has_logit else "-", f"{about.probability:.4f}")
                if about.has_probability
                else (f"{about.score:.4g}",)
            ),
        )
        for about in explained.classes
    ]
    answers = [
        (
            answer.method.title,
            printable(answer.about.label),
            answer.output,
            f"{answer.passes.forward}",
            f"{answer.passes.backward}",
            f"{answer.seconds:.1f}",
        )
        for answer in explained.answers
        if answer.attribution is not None
    ]
    odd: dict[tuple[str, str], list[str]] = {}
    for answer in explained.answers:
        if answer.remark:
            labels = odd.setdefault((answer.method.title, answer.remark), [])
            labels.append(printable(answer.about.label))
    remarks = []
    for (title, remark), labels in odd.items():
        which = f" ({', '.join(labels)})" if len(labels) < len(classes) else ""
        remarks.append(printable(f"{title}{which}: {remark}"))
    lines = [
        f"{printable(explained.name)} ({width} x {height})",
        *aligned(("class", "label", *_columns(explained.classes[0])), classes, left=(1,)),
        "",
        *aligned(
            ("method", "label", "explains", "forward", "backward", "seconds"),
            answers,
            left=(0, 1, 2),
        ),
        *remarks,
        f"written to {printable(folder)}",
        "",
    ]
    return "\n".join(lines)


def _columns(about: TopClass) -> tuple[str, ...]:
    """What is told of each class of a picture, all of one kind of outputs."""
    if not about.has_probability:
        return ("score",)
    return "logit", f"probability ({about.outputs})" if about.has_logit else "probability"
