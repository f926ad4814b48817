"""Reads the results of a study from its folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from captum_ext.analysis.results import COLUMNS, MetricFacts, StudyResults
from captum_ext.study.store.cells import ATTRIBUTIONS, CellResult
from captum_ext.study.store.sqlite import reading

if TYPE_CHECKING:
    import pandas as pd

MISSING = "missing"
_QUERY = f"""
SELECT {
    ", ".join(
        f"cells.{name}"
        if name in CellResult.__dataclass_fields__ and name != "key"
        else f"plan.{name}"
        for name in COLUMNS
    )
}
FROM plan LEFT JOIN cells ON plan.key = cells.key ORDER BY plan.position
"""
_WHOLE = ("target", "forward", "backward", "metric_forward")
_NAMES = ("model", "image", "method", "metric")


def read_results(folder: str | Path) -> StudyResults:
    """The results in a study's folder, complete or not, also while it runs.

    Neither models nor images are needed.

    Args:
        folder: that a study was run into.

    Raises:
        captum_ext.study.StoreError: there is no study, or its file is damaged.
    """
    # Imported here, because it takes its time.
    frame = import_module("pandas").DataFrame
    with reading(Path(folder)) as database:
        identity, about = (
            json.loads(text)
            for text in database.execute("SELECT identity, about FROM study").fetchone()
        )
        cells = frame(database.execute(_QUERY).fetchall(), columns=list(COLUMNS))
        pictures, maps = {}, {}
        for model, image, method, seed, picture, drawn in database.execute(
            "SELECT DISTINCT model, image, method, seed, picture, drawn FROM plan JOIN kept ON "
            "plan.attribution = kept.key ORDER BY plan.position"
        ):
            pictures[model, image] = picture
            maps[model, image, method, seed] = drawn
    return StudyResults(
        title=about["title"],
        cells=_typed(cells),
        models=[each["name"] for each in identity["models"]],
        images=[each["name"] for each in identity["images"]],
        methods=about["methods"],
        metrics={facts["name"]: MetricFacts(**facts) for facts in about["metrics"]},
        settings=_settings(identity, about),
        versions=about["versions"],
        pictures=pictures,
        maps=maps,
    )


def attribution_files(folder: str | Path) -> dict[tuple[str, str, str, int], Path]:
    """The attributions that a study has kept, by model, image, method and seed.

    Args:
        folder: that a study with ``keep_attributions`` was run into.

    Returns:
        Files with an array ``attribution [C, h, w]``, for ``numpy.load``, in the order of the
        study.

    Raises:
        captum_ext.study.StoreError: as :func:`read_results`.
    """
    folder = Path(folder)
    with reading(folder) as database:
        rows = database.execute(
            "SELECT model, image, method, seed, attribution FROM plan ORDER BY position"
        ).fetchall()
    files = {tuple(place): folder / ATTRIBUTIONS / f"{key}.npz" for *place, key in rows}
    return {place: file for place, file in files.items() if file.is_file()}


def _typed(cells: pd.DataFrame) -> pd.DataFrame:
    """Columns of their own kind; names as categories, in the order of the study."""
    for name in _WHOLE:
        cells[name] = cells[name].astype("Int64")
    for name in ("value", "seconds", "metric_seconds"):
        cells[name] = cells[name].astype(float)
    cells["status"] = cells["status"].fillna(MISSING)
    for name in ("error", "traceback", "remark", "label", "output"):
        cells[name] = cells[name].fillna("")
    for name in _NAMES:
        ordered = list(cells[name].unique())
        cells[name] = cells[name].astype("category").cat.set_categories(ordered, ordered=True)
    return cells


def _settings(identity: dict[str, Any], about: dict[str, Any]) -> dict[str, Any]:
    """The study as it was defined, for its readers."""
    rest = ("seeds", "target", "references", "masks", "keep_attributions")
    models = [about["models"].get(each["name"], {}) | each for each in identity["models"]]
    return {
        "models": _records(models),
        "methods": _records(identity["methods"], without=("class", "build")),
        "metrics": _records(identity["metrics"], without=("measure",)),
        "images from": about["settings"].get("images"),
        "images": _records(identity["images"]),
        **{name: identity[name] for name in rest if identity.get(name)},
    }


def _records(entries: list[dict[str, Any]], without: Sequence[str] = ()) -> list[dict[str, str]]:
    """Entries with a text for each value, without what none of them has."""
    names = [name for name in dict.fromkeys(chain(*entries)) if name not in without]
    used = [name for name in names if any(each.get(name) for each in entries)]
    return [{name: _text(each.get(name)) for name in used} for each in entries]


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} = {_text(each)}" for name, each in value.items())
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False)
