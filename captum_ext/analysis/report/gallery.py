"""Pictures and their heat maps, with what the metrics say about each."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from captum_ext.analysis.report.numbers import NOTHING, number_format

if TYPE_CHECKING:
    from captum_ext.analysis.results import StudyResults

#: Bytes of pictures beyond which no further image is shown.
MOST_BYTES = 6_000_000
#: Letters of an error in the place of a map.
MOST_OF_ERROR = 160


@dataclass(frozen=True)
class Map:
    """A method's heat map, or why there is none.

    Attributes:
        title: of the method.
        seed: as text; empty, where it makes no difference.
        source: the map as a ``data:`` address; empty, where there is none.
        reason: why there is no map; empty, where there is one.
        remark: what is odd about it.
        values: titles of metrics, and their values as text.
    """

    title: str
    seed: str
    source: str
    reason: str
    remark: str
    values: list[tuple[str, str]]


@dataclass(frozen=True)
class Plate:
    """An image as a model sees it, and all maps over it.

    Attributes:
        model, image: names.
        source: the picture as a ``data:`` address; empty, where there is none.
        explained: what was explained, in words.
        maps: method by method, seed by seed.
    """

    model: str
    image: str
    source: str
    explained: str
    maps: list[Map]


@dataclass(frozen=True)
class Gallery:
    """The plates that are shown.

    Attributes:
        plates: image by image, model by model.
        seeds: of the maps, as text.
        shown, total: how many of the images.
    """

    plates: list[Plate]
    seeds: list[str]
    shown: int
    total: int


def gallery_of(results: StudyResults, most_bytes: int = MOST_BYTES) -> Gallery:
    """The gallery, as many images as there is room for; the first one in any case.

    Args:
        results: of the study.
        most_bytes: of pictures and maps, beyond the first image.

    Example:
        >>> from captum_ext.analysis.report.tiny import tiny_results
        >>> results = tiny_results()
        >>> results.maps["net", "a", "good", 0] = b"a JPEG"
        >>> gallery = gallery_of(results)
        >>> gallery.shown, gallery.total, [each.reason for each in gallery.plates[0].maps]
        (1, 3, ['', 'no map was kept'])
    """
    sizes: dict[str, int] = {}
    for (_, image), content in results.pictures.items():
        sizes[image] = sizes.get(image, 0) + len(content or b"")
    for (_, image, _, _), content in results.maps.items():
        sizes[image] = sizes.get(image, 0) + len(content or b"")
    images: list[str] = []
    room = most_bytes
    for image in (image for image in results.images if image in sizes):
        room -= sizes[image]
        if images and room < 0:
            break
        images.append(image)
    known = set(images)
    seeds = sorted({seed for _, image, _, seed in results.maps if image in known}) or [0]
    cells = _cells(results, images)
    writers = {
        metric: number_format(group["value"].astype(float))
        for metric, group in results.cells.groupby("metric", sort=False, observed=True)
    }
    there = {(model, image) for model, image, *_ in [*results.pictures, *results.maps]}
    plates = [
        _plate(model, image, seeds, cells, writers, results)
        for image in images
        for model in results.models
        if (model, image) in there
    ]
    return Gallery(plates, [str(seed) for seed in seeds], len(images), len(results.images))


_Key = tuple[str, str, str, int]


def _cells(results: StudyResults, images: list[str]) -> dict[_Key, list[dict[str, Any]]]:
    rows: dict[_Key, list[dict[str, Any]]] = {}
    shown = results.cells[results.cells["image"].isin(images)]
    for row in shown.to_dict("records"):
        key = (row["model"], row["image"], row["method"], row["seed"])
        rows.setdefault(key, []).append({str(name): value for name, value in row.items()})
    return rows


def _plate(
    model: str,
    image: str,
    seeds: list[int],
    cells: dict[_Key, list[dict[str, Any]]],
    writers: dict[str, Callable[[float], str]],
    results: StudyResults,
) -> Plate:
    maps, explained = [], ""
    for method, title in results.methods.items():
        own = []
        for seed in seeds:
            key = (model, image, method, seed)
            rows = cells.get(key, [])
            own.append(_map(title, str(seed), rows, results.maps.get(key), writers, results))
            explained = explained or next(filter(None, map(_explained, rows)), "")
        maps += _once(own)
    return Plate(model, image, _address(results.pictures.get((model, image))), explained, maps)


def _once(maps: list[Map]) -> list[Map]:
    """One of them, if they differ by their seed only: many methods draw nothing."""
    first = replace(maps[0], seed="")
    return [first] if all(replace(each, seed="") == first for each in maps) else maps


def _map(
    title: str,
    seed: str,
    rows: list[dict[str, Any]],
    content: bytes | None,
    writers: dict[str, Callable[[float], str]],
    results: StudyResults,
) -> Map:
    by_metric = {row["metric"]: row for row in rows}
    values = []
    for metric, facts in results.metrics.items():
        row = by_metric.get(metric)
        known = row is not None and row["status"] == "ok" and metric in writers
        values.append((facts.title, writers[metric](row["value"]) if row and known else NOTHING))
    texts = [text for row in rows for text in str(row["remark"] or "").split("; ") if text]
    remark = "; ".join(dict.fromkeys(texts))
    reason = "" if content else _reason(rows)
    return Map(title, seed, _address(content), reason, remark, values)


def _reason(rows: list[dict[str, Any]]) -> str:
    failed = next((row for row in rows if row["status"] == "failed"), None)
    if failed is not None:
        error = str(failed["error"])
        return f"failed: {error[:MOST_OF_ERROR]}{'…' if len(error) > MOST_OF_ERROR else ''}"
    if rows and all(row["status"] == "missing" for row in rows):
        return "not computed yet"
    return "no map was kept" if rows else "not part of the study"


def _explained(row: dict[str, Any]) -> str:
    if row["status"] != "ok":
        return ""
    label = str(row["label"] or row["target"])
    label = f"class {label}" if label.isdigit() else label
    return f"{label}, by its {row['output']}" if row["output"] else label


def _address(content: bytes | None) -> str:
    if not content:
        return ""
    return f"data:image/jpeg;base64,{base64.b64encode(content).decode('ascii')}"
