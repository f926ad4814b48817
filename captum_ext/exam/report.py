"""The exam's results as a table to read, and as CSV, JSON and a figure to keep."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from matplotlib.figure import Figure
from torch import Tensor

from captum_ext.exam.center_pixel import WHITE, CenterPixelModel
from captum_ext.exam.grade import Answer, Grade
from captum_ext.results import aligned, versions, write_json
from captum_ext.visualize import Panel, exam_figure

TOP_CLASSES = 5
LOGIT_NOTE = "The logit depends on every pixel: a low share of the center is no error there."


class AnswerFile:
    """Writes answers to a CSV file as they come, so that an interrupted exam keeps them.

    Args:
        path: the file; an older one is replaced.

    Raises:
        OSError: the file cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "exam.csv"
        ...     with AnswerFile(path) as file:
        ...         file.write(Answer("saliency", "Saliency", 0, 7, "logit", rank=1.0))
        ...     print(path.read_text().splitlines()[1])
        saliency,0,7,logit,ok,,1.0,nan,False,0,0,0.0
    """

    FIELDS = (
        *("method", "image", "target", "output", "status", "detail"),
        *("rank", "share", "hit", "forward", "backward", "seconds"),
    )

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", newline="", encoding="utf-8")
        self._writer = csv.DictWriter(self._file, self.FIELDS)
        self._writer.writeheader()

    def write(self, answer: Answer) -> None:
        self._writer.writerow(_row(answer))
        self._file.flush()

    def __enter__(self) -> AnswerFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()


def format_table(grades: Sequence[Grade]) -> str:
    """The grades as lines of text, best method first.

    Example:
        >>> print(format_table([]).splitlines()[0].split()[0])
        method
    """
    header = (
        "method",
        "hits",
        "center rank",
        "center share",
        "95 % interval",
        "forward",
        "backward",
        "seconds",
        "explains",
    )
    rows = [_cells(grade) for grade in grades if grade.n_images]
    lines = aligned(header, rows, left=(0, len(header) - 1))
    troubled = [grade for grade in grades if grade.status != "ok"]
    if any(grade.output == "logit" for grade in grades):
        lines += ["", LOGIT_NOTE]
    if troubled:
        lines.append("")
        lines += [f"{g.title}: {g.status}" for g in troubled]
    return "\n".join(lines)


def write_grades(
    path: Path, settings: dict[str, Any], grades: Sequence[Grade], answers: Sequence[Answer]
) -> None:
    """Settings, versions, grades and answers, as JSON.

    Example:
        >>> import json, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_grades(Path(folder) / "exam.json", {"size": 9}, [], [])
        ...     json.loads((Path(folder) / "exam.json").read_text())["settings"]
        {'size': 9}
    """
    content = {
        "settings": settings,
        "versions": versions(),
        "grades": [asdict(grade) for grade in grades],
        "answers": [_row(answer) for answer in answers],
    }
    write_json(path, content)


def figure(model: CenterPixelModel, image: Tensor, answers: Sequence[Answer]) -> Figure:
    """The figure for one image.

    Args:
        model: the model that was explained.
        image: ``[1, 1, D, D]``.
        answers: what the methods said about this image; those without attribution are left out.

    Example:
        >>> import torch
        >>> from captum_ext import get_method
        >>> from captum_ext.exam import answer
        >>> model, image = CenterPixelModel(size=5), torch.rand(1, 1, 5, 5)
        >>> figure(model, image, [answer(model, image, get_method("saliency"))])
        <Figure size ...>
    """
    shown = [a for a in answers if a.attribution is not None]
    probabilities = model.with_output("probability")(image)[0]
    top = probabilities.topk(min(TOP_CLASSES, model.n_classes))
    true_level = round(float(image[0, 0, model.size // 2, model.size // 2]) * WHITE)
    target = shown[0].target if shown else true_level
    facts = [
        f"true label: {true_level}",
        f"predicted label: {int(top.indices[0])}",
        f"explained label: {target}",
        f"its probability: {float(probabilities[target]):.4f}",
        f"output: {model.output.replace('_', '-')}",
        f"image: {model.size} x {model.size}",
    ]
    panels = [
        Panel(_figure_title(a, model), a.attribution, _is_right(a), _verdict(a))
        for a in shown
        if a.attribution is not None
    ]
    return exam_figure(
        image[0],
        panels,
        facts,
        [(f"{int(i)}", float(p)) for p, i in zip(top.values, top.indices, strict=True)],
        "Only the center pixel decides. What does each method show? "
        "(whole heat map, and its middle 5 x 5)",
    )


def _figure_title(answer: Answer, model: CenterPixelModel) -> str:
    if answer.output == model.output:
        return answer.title
    return f"{answer.title} ({answer.output})"


def _verdict(answer: Answer) -> str:
    if answer.detail:
        return f"miss: {answer.detail}"
    center = f"center has {_percent(answer.share)}"
    if answer.output == "logit":
        return center
    return f"{'hit' if answer.hit else 'miss'}: {center}"


def _is_right(answer: Answer) -> bool | None:
    return None if answer.output == "logit" else answer.hit


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.1f} %"


def _cells(grade: Grade) -> tuple[str, ...]:
    low, high = grade.share_interval
    interval = "-" if math.isnan(low) else f"{100 * max(low, 0):.1f} - {100 * min(high, 1):.1f} %"
    return (
        grade.title,
        f"{grade.hits}/{grade.n_images}",
        f"{grade.rank:.1f}",
        _percent(grade.share),
        interval,
        f"{grade.forward:.0f}",
        f"{grade.backward:.0f}",
        f"{grade.seconds:.2f}",
        grade.output.replace("_", "-"),
    )


def _row(answer: Answer) -> dict[str, Any]:
    row = {name: getattr(answer, name) for name in AnswerFile.FIELDS if hasattr(answer, name)}
    row |= {"forward": answer.passes.forward, "backward": answer.passes.backward}
    row["seconds"] = round(answer.seconds, 6)
    return {name: row[name] for name in AnswerFile.FIELDS}
