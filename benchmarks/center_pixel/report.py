"""The results of a study of :mod:`benchmarks.center_pixel`, as tables."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchmarks.center_pixel.cases import model_name
from captum_ext.results import aligned
from captum_ext.study import StudyResults

if TYPE_CHECKING:
    import pandas as pd

#: Of this part of the images a method must find the center, to be said to find it.
MOST = 0.5


class CenterFinding(NamedTuple):
    """What came out for a method, an output and a size.

    Attributes:
        n: images that it explained; 0: none.
        hits: of these.
        share: the center's, on average.
        passes: forward and backward, on average.
        agreement: with the exact Shapley values, on average; NaN where these are not known.
        error: why it explained none.
    """

    n: int = 0
    hits: int = 0
    share: float = np.nan
    passes: float = np.nan
    agreement: float = np.nan
    error: str = ""


#: By method, output and size. What a method explains another output for is not among them.
Table = dict[tuple[str, str, int], CenterFinding]


def table_of(results: StudyResults, sizes: Sequence[int], outputs: Sequence[str]) -> Table:
    """The cells of a study, over images."""
    table: Table = {}
    groups = results.cells.groupby(["model", "method"], observed=True)
    for output, size, method in product(outputs, sizes, results.methods):
        cells = groups.get_group((model_name(size, output), method))
        if set(cells["output"]) <= {output, ""}:
            table[method, output, size] = _found(cells)
    return table


def _found(cells: pd.DataFrame) -> CenterFinding:
    good = cells[cells["status"] == "ok"]
    hits = good[good["metric"] == "hit"]
    if hits.empty:
        return CenterFinding(error=str(cells["error"].iloc[0]))
    means = good.groupby("metric", observed=False)["value"].mean()
    return CenterFinding(
        len(hits),
        int(hits["value"].sum()),
        float(means["share"]),
        float((hits["forward"] + hits["backward"]).mean()),
        float(means["shapley_agreement"]),
    )


def ordered(methods: Sequence[str], table: Table) -> list[str]:
    """Methods, those that find the center most often first."""

    def badness(method: str) -> tuple[bool, float, float]:
        own = [found for (name, *_), found in table.items() if name == method and found.n]
        rates = [found.hits / found.n for found in own]
        shares = [found.share for found in own]
        return not own, -sum(rates) / max(1, len(own)), -sum(shares) / max(1, len(own))

    return sorted(methods, key=badness)


def format_output(results: StudyResults, table: Table, output: str, sizes: Sequence[int]) -> str:
    """Hits, passes and agreement with Shapley of all methods that explain an output."""
    own = {key: found for key, found in table.items() if key[1] == output}
    rows: list[list[str]] = []
    errors: dict[str, None] = {}
    for name in ordered([name for name in results.methods if (name, output, sizes[0]) in own], own):
        row, cells = [results.methods[name]], [own[name, output, size] for size in sizes]
        for found in cells:
            row += [f"{found.hits}/{found.n}", f"{found.passes:,.0f}"] if found.n else ["-", "-"]
        errors |= dict.fromkeys(found.error for found in cells if found.error)
        known = [found.agreement for found in cells if not np.isnan(found.agreement)]
        rows.append([*row, f"{np.mean(known):.2f}" if known else "-"])
    header = [_shown(output)]
    for size in sizes:
        header += [f"{size} x {size}", "passes"]
    return "\n".join([*aligned([*header, "Shapley"], rows), *(f"- {error}" for error in errors)])


def format_findings(
    results: StudyResults, table: Table, sizes: Sequence[int], outputs: Sequence[str]
) -> str:
    """For which outputs methods find the center: on most images, at every size they can take."""
    groups: dict[tuple[str, ...], list[str]] = {}
    fading: list[str] = []
    silent: list[str] = []
    for name, title in results.methods.items():
        right, answers = [], False
        for output in outputs:
            cells = {size: table.get((name, output, size), CenterFinding()) for size in sizes}
            finds = {size: each.hits / each.n > MOST for size, each in cells.items() if each.n}
            answers |= bool(finds)
            if finds and all(finds.values()):
                right.append(_shown(output))
            elif any(finds.values()):
                at = ", ".join(f"{size}" for size, is_found in finds.items() if is_found)
                fading.append(f"{title} ({_shown(output)}: at {at})")
        if answers:
            groups.setdefault(tuple(right), []).append(title)
        else:
            silent.append(title)
    lines = ["CenterFinding on most images at every size, by what is explained:"]
    for found in sorted(groups, key=len, reverse=True):
        lines.append(f"  {', '.join(found) or 'none of these'}: {', '.join(groups[found])}")
    if fading:
        lines.append(f"CenterFinding at some sizes only: {', '.join(fading)}")
    if silent:
        lines.append(f"No answer about any of these outputs: {', '.join(silent)}")
    return "\n".join(lines)


def _shown(output: str) -> str:
    return output.replace("_", "-")
