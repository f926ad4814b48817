"""The results of a study of :mod:`benchmarks.growing_patch`, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from benchmarks.growing_patch.cases import model_name
from captum_ext.results import aligned
from captum_ext.study import StudyResults


class PatchFinding(NamedTuple):
    """What came out for a method and a patch, over the images whose score stays.

    Attributes:
        n: images with a map, or two empty ones.
        n_seen: those of them on which either map shows something.
        ssim: mean over these; NaN without any.
        error: why there is no map of an image; empty where there are all.
    """

    n: int
    n_seen: int
    ssim: float
    error: str


class Findings(NamedTuple):
    """What came out.

    Attributes:
        methods: titles by name.
        cells: by method and area.
        moved: the largest change of the score over images, by area.
        stays: on how many images the score stays, by area.
    """

    methods: dict[str, str]
    cells: dict[tuple[str, float], PatchFinding]
    moved: dict[float, float]
    stays: dict[float, int]

    def of(self, method: str) -> list[PatchFinding]:
        """A method's cells, by area."""
        return [self.cells[method, area] for area in self.moved]

    def mean(self, method: str) -> float:
        """SSIM over areas; NaN where nothing is to be seen."""
        values = [found.ssim for found in self.of(method)]
        return float(np.nanmean(values)) if not np.isnan(values).all() else np.nan

    def empty(self, method: str) -> bool:
        """Whether the method shows nothing, with any patch."""
        own = self.of(method)
        return any(found.n for found in own) and not any(found.n_seen for found in own)

    def fooled(self, below: float) -> list[str]:
        """Methods whose SSIM is less with any patch."""
        return [name for name in self.methods if any(found.ssim < below for found in self.of(name))]

    def ordered(self) -> list[str]:
        """Methods, the steadiest first; that show nothing, then those without values, last."""

        def badness(method: str) -> tuple[bool, bool, float]:
            mean = self.mean(method)
            # What differs by rounding is as steady.
            return bool(np.isnan(mean)), not self.empty(method), -round(mean, 3)

        return sorted(self.methods, key=badness)


def findings_of(results: StudyResults, areas: Sequence[float], tolerance: float) -> Findings:
    """The cells of a study, over images."""
    findings = Findings(results.methods, {}, {}, {})
    for area in areas:
        cells = results.cells[results.cells["model"] == model_name(area)]
        values = cells.pivot(index="image", columns=["method", "metric"], values="value")
        moved = values.xs("score_moved", axis=1, level="metric").max(axis=1)
        stays = moved.index[moved < tolerance]
        findings.moved[area], findings.stays[area] = float(moved.max()), len(stays)
        for method in results.methods:
            own = values.loc[stays, method].dropna()
            errors = cells.loc[(cells["method"] == method) & (cells["error"] != ""), "error"]
            seen = own.loc[own["visible"] > 0, "ssim"]
            findings.cells[method, area] = PatchFinding(
                len(own), len(seen), float(seen.mean()), str(next(iter(errors), ""))
            )
    return findings


def format_findings(findings: Findings, fooled_below: float) -> str:
    """SSIM by method and patch."""
    rows: list[list[str]] = []
    errors: dict[str, None] = {}
    for method in findings.ordered():
        title, own = findings.methods[method], findings.of(method)
        errors |= dict.fromkeys(f"{title}: {each.error}" for each in own if each.error)
        n_seen = max(each.n_seen for each in own)
        rows.append([title, f"{n_seen}", *(_cell(each, fooled_below) for each in own)])
    moved, stays = findings.moved, findings.stays
    rows.append(["score moved, at most", "", *(f"{each:.2g} " for each in moved.values())])
    rows.append(["images whose score stays", "", *(f"{each} " for each in stays.values())])
    lines = aligned(["SSIM", "images", *(f"{area:g} % " for area in moved)], rows)
    lines.insert(-2, "")
    lines += [
        "",
        f"* fooled: below {fooled_below:g} while the score stays "
        f"({len(findings.fooled(fooled_below))} of {len(findings.methods)})",
        "images: on which there is something to be seen; on others maps are empty",
    ]
    return "\n".join([*lines, *errors])


def _cell(found: PatchFinding, fooled_below: float) -> str:
    if not found.n:
        return "- "
    if not found.n_seen:
        return "empty "
    return f"{found.ssim:.2f}{'*' if found.ssim < fooled_below else ' '}"
