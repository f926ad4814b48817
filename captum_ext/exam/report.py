"""The exam's results as a table to read, and as CSV, JSON and a figure to keep."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from captum_ext.exam.center_pixel import WHITE, CenterPixelModel
from captum_ext.exam.grade import ExamAnswer, Grade
from captum_ext.exam.known_model import KnownModel
from captum_ext.exam.score import HIT_AGREEMENT, HIT_SHARE
from captum_ext.results import aligned, versions, write_json
from captum_ext.visualize import Panel, exam_figure

TOP_CLASSES = 5
LONGEST_TITLE = 23
CENTER_COLUMNS = ("center rank", "center share", "95 % interval")
SEVERAL_COLUMNS = ("agreement", "95 % interval", "share", "mean rank")
LOGIT_NOTE = "The logit depends on every pixel: a low share of the center is no error there."
SHAPLEY_NOTE = f"""\
agreement: cosine with the exact Shapley values against black. A hit has {HIT_AGREEMENT} or
more, and more than half of |attribution| on the relevant pixels. Gradients ask what a small change
would do, other methods compare with something else than black: what disagrees may be right about
its own question. mean rank: of the relevant pixels; a black one among them has no influence."""


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
        ...         file.write(ExamAnswer("saliency", "Saliency", 0, 7, "logit", rank=1.0))
        ...     print(path.read_text().splitlines()[1])
        saliency,0,7,logit,ok,,1.0,nan,False,0,0,0.0,nan
    """

    FIELDS = (
        *("method", "image", "target", "output", "status", "detail"),
        *("rank", "share", "hit", "forward", "backward", "seconds", "agreement"),
    )

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", newline="", encoding="utf-8")
        self._writer = csv.DictWriter(self._file, self.FIELDS)
        self._writer.writeheader()

    def write(self, answer: ExamAnswer) -> None:
        self._writer.writerow(_row(answer))
        self._file.flush()

    def __enter__(self) -> AnswerFile:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()


def format_table(grades: Sequence[Grade]) -> str:
    """The grades as lines of text, best method first.

    Example:
        >>> print(format_table([]).splitlines()[0].split()[0])
        method
    """
    several = any(grade.n_relevant > 1 for grade in grades)
    what = SEVERAL_COLUMNS if several else CENTER_COLUMNS
    header = ("method", "hits", *what, "forward", "backward", "seconds", "explains")
    rows = [_cells(grade, several) for grade in grades if grade.n_images]
    lines = aligned(header, rows, left=(0, len(header) - 1))
    troubled = [grade for grade in grades if grade.status != "ok"]
    if several:
        lines += ["", SHAPLEY_NOTE]
    elif any(grade.output == "logit" for grade in grades):
        lines += ["", LOGIT_NOTE]
    if troubled:
        lines.append("")
        lines += [f"{g.title}: {g.status}" for g in troubled]
    return "\n".join(lines)


def write_grades(
    path: Path, settings: dict[str, Any], grades: Sequence[Grade], answers: Sequence[ExamAnswer]
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


def figure(model: KnownModel, image: Tensor, answers: Sequence[ExamAnswer]) -> Figure:
    """The figure for one image.

    Where several pixels are relevant it begins with the known answer, the exact Shapley values
    against black, and sets every method's values at these pixels beside them.

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
    with torch.no_grad():
        probabilities = model.with_output("probability")(image)[0]
    top = probabilities.topk(min(TOP_CLASSES, model.n_classes))
    predicted = int(top.indices[0])
    target = shown[0].target if shown else predicted
    truth = f"true label: {round(float(image.flatten()[model.relevant[0]]) * WHITE)}"
    facts = [
        truth if isinstance(model, CenterPixelModel) else f"relevant pixels: {len(model.relevant)}",
        f"predicted label: {predicted}",
        f"explained label: {target}",
        f"its probability: {float(probabilities[target]):.4f}",
        f"output: {model.output.replace('_', '-')}",
        f"image: {model.size} x {model.size}",
    ]
    several = len(model.relevant) > 1
    # A method may explain another output than the exam's.
    outputs = {model.output, *(a.output for a in shown)} if several else set()
    exact = {o: model.with_output(o).shapley_values(image, target)[0] for o in outputs}
    panels = [
        Panel(
            _figure_title(a, model),
            a.attribution,
            _is_right(a, model),
            _verdict(a, model),
            exact.get(a.output),
        )
        for a in shown
        if a.attribution is not None
    ]
    title = f"{model.decides} decides. What does each method show?"
    classes = [(f"{int(i)}", float(p)) for p, i in zip(top.values, top.indices, strict=True)]
    if not several:
        title += " (whole heat map, and its middle 5 x 5)"
        return exam_figure(image[0], panels, facts, classes, title)
    title += "\n(these pixels framed; below, their values: bars the method's, dots the exact ones)"
    known = exact[model.output]
    panels.insert(0, Panel("exact Shapley values", known, None, "the known answer", known))
    return exam_figure(image[0], panels, facts, classes, title, model.relevant)


def _figure_title(answer: ExamAnswer, model: KnownModel) -> str:
    if answer.output == model.output:
        return answer.title
    title = f"{answer.title} ({answer.output})"
    # A longer one would run into its neighbors'.
    return title if len(title) <= LONGEST_TITLE else title.replace(" (", "\n(")


def _verdict(answer: ExamAnswer, model: KnownModel) -> str:
    if answer.blank:
        return f"miss: {answer.blank}"
    if answer.n_relevant == 1:
        found = f"center has {_percent(answer.share)}"
    elif answer.share > HIT_SHARE:
        found = f"agreement {_two_digits(answer.agreement)}"
    else:
        found = f"these have {_percent(answer.share)}"
    right = _is_right(answer, model)
    verdict = found if right is None else f"{'hit' if right else 'miss'}: {found}"
    return "\n".join([verdict, *(f"breaks {name}" for name in answer.broken)])


def _is_right(answer: ExamAnswer, model: KnownModel) -> bool | None:
    return answer.hit if model.with_output(answer.output).only_relevant_matter else None


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.1f} %"


def _two_digits(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"


def _cells(grade: Grade, several: bool) -> tuple[str, ...]:
    share, rank = _percent(grade.share), f"{grade.rank:.1f}"
    low, high = grade.agreement_interval if several else grade.share_interval
    if math.isnan(low):
        interval = "-"
    elif several:
        interval = f"{max(low, -1):.2f} to {min(high, 1):.2f}"
    else:
        interval = f"{100 * max(low, 0):.1f} - {100 * min(high, 1):.1f} %"
    found = (
        (_two_digits(grade.agreement), interval, share, rank)
        if several
        else (rank, share, interval)
    )
    return (
        grade.title,
        f"{grade.hits}/{grade.n_images}",
        *found,
        f"{grade.forward:.0f}",
        f"{grade.backward:.0f}",
        f"{grade.seconds:.2f}",
        grade.output.replace("_", "-"),
    )


def _row(answer: ExamAnswer) -> dict[str, Any]:
    row = {name: getattr(answer, name) for name in AnswerFile.FIELDS if hasattr(answer, name)}
    row |= {"forward": answer.passes.forward, "backward": answer.passes.backward}
    row["seconds"] = round(answer.seconds, 6)
    return {name: row[name] for name in AnswerFile.FIELDS}
