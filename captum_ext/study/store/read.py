"""Reads the results of a study from its folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from captum_ext.analysis.results import COLUMNS, MetricFacts, StudyResults
from captum_ext.study.store.cells import ATTRIBUTIONS, FAILED, OK, CellResult
from captum_ext.study.store.contents import about_in, identity_in
from captum_ext.study.store.sqlite import reading, understood
from captum_ext.value_checks import check_choice, described

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
    folder = Path(folder)
    with reading(folder) as database:
        identity, about = identity_in(database, folder), about_in(database, folder)
        with understood():
            cells = _typed(frame(database.execute(_QUERY).fetchall(), columns=list(COLUMNS)))
            names = {name: [each["name"] for each in identity[f"{name}s"]] for name in _NAMES}
            for name in _NAMES:
                _check_names(cells[name], set(names[name]))
            titled = [*about["methods"], *(facts["name"] for facts in about["metrics"])]
            if titled != [*names["method"], *names["metric"]]:
                raise ValueError("the methods and metrics of about are not those of identity")
            pictures, maps = {}, {}
            for model, image, method, seed, picture, drawn in database.execute(
                "SELECT DISTINCT model, image, method, seed, picture, drawn FROM plan JOIN kept ON "
                "plan.attribution = kept.key ORDER BY plan.position"
            ):
                pictures[model, image] = _jpeg(picture)
                maps[model, image, method, seed] = _jpeg(drawn)
            return StudyResults(
                title=about["title"],
                cells=cells,
                models=names["model"],
                images=names["image"],
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
    cells["seed"] = cells["seed"].astype("int64")
    cells["status"] = cells["status"].fillna(MISSING)
    for name in set(cells["status"]):
        check_choice(name, "status", (OK, FAILED, MISSING))
    for name in ("error", "traceback", "remark", "label", "output"):
        cells[name] = cells[name].fillna("")
        if not all(isinstance(text, str) for text in cells[name]):
            raise ValueError(f"column {name} must hold texts")
    for name in _NAMES:
        ordered = list(cells[name].unique())
        cells[name] = cells[name].astype("category").cat.set_categories(ordered, ordered=True)
    return cells


def _check_names(column: pd.Series[Any], known: set[str]) -> None:
    """Refuses a cell of what the study does not name.

    Raises:
        ValueError: it says which.
    """
    strange = [name for name in column.cat.categories if name not in known]
    if strange or column.isna().any():
        named = described(strange[0]) if strange else "nothing"
        raise ValueError(f"column {column.name} must hold names of the study; it holds {named}")


def _jpeg(content: Any) -> Any:
    if content is not None and not isinstance(content, bytes):
        raise ValueError("pictures must be bytes")
    return content


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
