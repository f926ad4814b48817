"""The methods and the image in the figure of :mod:`benchmarks.growing_patch`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch

from benchmarks.growing_patch.cases import CONTROL, PatchedAim
from benchmarks.growing_patch.report import Findings
from captum_ext.study import MethodEntry, Study, StudyImage, StudyResults, attribution_files
from captum_ext.study.define.models import PREDICTED

#: Whose heat maps are drawn, where they are steady, before others'.
TYPICAL = ("occlusion", "guided_backprop", "grad_cam")


class FigureColumn(NamedTuple):
    """An image with a patch.

    Attributes:
        picture: what the model sees, ``[h, w]`` or ``[h, w, 3]``.
        moved: by how much the patch moves the score.
        maps: heat maps of methods, ``[h, w]`` from 0 to 1; None where a method failed.
        ssim: of each to that without patch; NaN where nothing is to be seen.
    """

    picture: np.ndarray
    moved: float
    maps: list[np.ndarray | None]
    ssim: list[float]


def shown_by_default(findings: Findings) -> list[str]:
    """Two steady methods, the two that change most, and the control."""
    seen = [
        name
        for name in findings.ordered()
        if not np.isnan(findings.mean(name)) and name != CONTROL.name
    ]
    steady = sorted(seen[:-2], key=lambda name: name not in TYPICAL)[:2]
    return [*steady, *seen[-2:], CONTROL.name]


def most_telling(results: StudyResults, methods: Sequence[MethodEntry], tolerance: float) -> int:
    """The number of the image to draw.

    Its score stays with most patches; of such, most methods show something; of such, most change.
    """
    cells = results.cells[results.cells["method"].isin([entry.name for entry in methods])]
    values = cells.pivot(index=["image", "model", "method"], columns="metric", values="value")
    seen = values["visible"] > 0
    changes = (1 - values["ssim"]).where(seen).groupby("image", observed=True).mean()
    stays = (values["score_moved"] < tolerance).groupby("image", observed=True).sum()
    shown = seen.groupby("image", observed=True).sum()
    telling = len(seen) * stays + shown + changes.fillna(0)
    return results.images.index(str(telling.idxmax()))


def columns_of(
    results: StudyResults,
    study: Study,
    folder: Path,
    image: StudyImage,
    methods: Sequence[MethodEntry],
) -> list[FigureColumn]:
    """An image without patch and with each, and what the study kept of it."""
    files = {place[:3]: file for place, file in attribution_files(folder).items()}
    cells = results.cells[results.cells["image"] == image.name]
    values = cells.pivot(index=["model", "method"], columns="metric", values="value")
    columns = []
    for model in study.models:
        subject, own = model.load(), values.loc[model.name]
        aim = cast(PatchedAim, subject.aim(subject.see(image.read()), PREDICTED))
        maps: list[np.ndarray | None] = []
        for entry in methods:
            file = files.get((model.name, image.name, entry.name))
            if file is None:
                maps.append(None)
                continue
            attribution = torch.from_numpy(np.load(file)["attribution"])[None]
            asked, _ = subject.explained(entry.spec, aim, entry.output)
            maps.append(aim.heat(attribution, asked))
        ssim = own["ssim"].where(own["visible"] > 0)
        columns.append(
            FigureColumn(
                aim.seen[0].movedim(0, -1).squeeze(-1).cpu().numpy(),
                float(own["score_moved"].max()),
                maps,
                [float(ssim[entry.name]) for entry in methods],
            )
        )
    return columns
