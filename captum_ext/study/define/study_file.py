"""Study files: a study as TOML.

    title = "Which method for SqueezeNet?"
    images = ["astronaut", "photographs/"]
    methods = ["grad_cam", { method = "occlusion", name = "occlusion_blur", baseline = "blur" }]
    metrics = ["srg", { metric = "deletion", settings = { step_size = 448 } }]

    [[models]]
    model = "squeezenet1_0"
    weights = "squeezenet.pt"

Paths start from the file's folder. Every error says where in the file it is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from captum_ext.checks import check_choice, one_line
from captum_ext.choices import OUTPUT_KINDS
from captum_ext.image_files import SUFFIXES
from captum_ext.registry import get_exam_model
from captum_ext.study.define.entries import MethodEntry, MetricEntry, ModelEntry
from captum_ext.study.define.images import StudyImage, study_images
from captum_ext.study.define.models import PREDICTED
from captum_ext.study.define.study import OTHERS, Study
from captum_ext.study.plan.canonical import plain

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")

_KEYS: dict[str, tuple[type, ...]] = {
    "title": (str,),
    "models": (list,),
    "images": (list, str),
    "methods": (list, str),
    "metrics": (list, str),
    "seeds": (list,),
    "passes": (int,),
    "target": (str, int),
    "references": (list, str),
    "masks": (str,),
    "keep_attributions": (bool,),
    "gallery": (int,),
}
_NEEDED = ("models", "images", "methods", "metrics")
_MODEL_KEYS: dict[str, tuple[type, ...]] = {
    "model": (str,),
    "name": (str,),
    "weights": (str,),
    "mean": (list,),
    "std": (list,),
    "size": (int, list),
    "fit": (str,),
    "class_names": (str, list),
    "outputs": (str,),
    "device": (str,),
}
_METHOD_KEYS: dict[str, tuple[type, ...]] = {
    "method": (str,),
    "name": (str,),
    "title": (str,),
    "output": (str,),
    "baseline": (str,),
    "layer": (str,),
    "passes": (int,),
    "settings": (dict,),
}
_METRIC_KEYS: dict[str, tuple[type, ...]] = {
    "metric": (str,),
    "name": (str,),
    "settings": (dict,),
}
_KINDS = {
    str: "a text",
    int: "a whole number",
    bool: "true or false",
    list: "a list",
    dict: "a table",
}


def read_study(
    path: str | Path, *, images: Sequence[str] | None = None, weights: str | None = None
) -> Study:
    """The study of a file.

    Args:
        path: of the TOML file.
        images: to take in place of the file's; these paths start from the working folder.
        weights: of the one model, in place of the file's.

    Raises:
        ValueError: a file that cannot be read, or does not hold a study; it says where, and for an
            unknown key, method, metric or setting which is the nearest.

    Example:
        >>> import tempfile
        >>> text = '''
        ... images = ["coffee"]
        ... methods = ["saliency", "grad_cams"]
        ... metrics = ["srg"]
        ... models = [{ model = "squeezenet1_0", weights = "none" }]
        ... '''
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "study.toml")
        ...     _ = path.write_text(text)
        ...     read_study(path)
        Traceback (most recent call last):
        ...
        ValueError: ...study.toml: methods[2]: unknown method 'grad_cams'; did you mean 'grad_cam'?
        ...
    """
    path = Path(path)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or one_line(error)
        raise ValueError(f"study {str(path)!r} cannot be read: {why}") from error
    with _at(str(path)):
        return _study(content, path, images, weights)


def _study(
    content: Mapping[str, Any], path: Path, images: Sequence[str] | None, weights: str | None
) -> Study:
    given = dict(content)
    if images is not None:
        given["images"] = list(images)
    _check_table(given, _KEYS, _NEEDED)
    if weights is not None:
        given["models"] = _with_weights(given["models"], weights)
    # What the command line says starts from where one is.
    folder = path.parent
    with _at("images"):
        found = _images(given["images"], Path() if images is not None else folder)
    references = given.get("references")
    if references is not None and references != OTHERS:
        with _at("references"):
            references = _images(references, folder)
    return Study(
        title=given.get("title", path.stem),
        models=_each(given["models"], "models", lambda entry: _model(entry, folder)),
        images=found,
        methods=_each(given["methods"], "methods", _method),
        metrics=_each(given["metrics"], "metrics", _metric),
        seeds=given.get("seeds", [0]),
        passes=given.get("passes"),
        target=given.get("target", PREDICTED),
        references=references,
        masks=_masks(folder / given["masks"], found) if "masks" in given else {},
        keep_attributions=given.get("keep_attributions", False),
        gallery=given.get("gallery", 24),
        settings=plain(given),
    )


def _images(sources: Any, folder: Path) -> list[StudyImage]:
    listed = [sources] if isinstance(sources, str) else sources
    for source in listed:
        _check_kind(source, (str,), "a source")
    return study_images(listed, folder)


def _with_weights(models: list[Any], weights: str) -> list[dict[str, Any]]:
    tables = [{"model": entry} if isinstance(entry, str) else entry for entry in models]
    if len(tables) != 1 or not isinstance(tables[0], dict) or "exam" in tables[0]:
        raise ValueError("weights can be given for a study of one model, which is no exam's")
    return [tables[0] | {"weights": str(Path(weights).absolute())}]


def _model(entry: Any, folder: Path) -> ModelEntry:
    if isinstance(entry, str):
        entry = {"model": entry}
    _check_kind(entry, (dict,), "a model")
    if "exam" in entry:
        # Whatever else there is, the model itself checks.
        settings = {key: value for key, value in entry.items() if key not in ("exam", "name")}
        get_exam_model(entry["exam"], "exam")
        return ModelEntry.exam(entry["exam"], entry.get("name"), **settings)
    _check_table(entry, _MODEL_KEYS, ("model",))
    settings = {key: value for key, value in entry.items() if key not in ("model", "name")}
    for name in ("weights", "class_names"):
        value = settings.get(name)
        if isinstance(value, str) and (folder / value).is_file():
            settings[name] = str((folder / value).absolute())
    if "outputs" in settings:
        check_choice(settings["outputs"], "outputs", OUTPUT_KINDS)
    if isinstance(settings.get("size"), list):
        settings["size"] = tuple(settings["size"])
    return ModelEntry.classifier(entry["model"], entry.get("name"), **settings)


def _method(entry: Any) -> MethodEntry:
    if isinstance(entry, str):
        entry = {"method": entry}
    _check_kind(entry, (dict,), "a method")
    _check_table(entry, _METHOD_KEYS, ("method",))
    return MethodEntry(**entry)


def _metric(entry: Any) -> MetricEntry:
    if isinstance(entry, str):
        entry = {"metric": entry}
    _check_kind(entry, (dict,), "a metric")
    _check_table(entry, _METRIC_KEYS, ("metric",))
    return MetricEntry(**entry)


def _masks(folder: Path, images: Sequence[StudyImage]) -> dict[str, Path]:
    """The files of a folder that are called as the images are.

    Raises:
        ValueError: no folder, or none of an image.
    """
    if not folder.is_dir():
        raise ValueError(f"masks must be a folder; {str(folder)!r} is none")
    names = {image.name for image in images}
    found = {
        file.stem: file
        for file in sorted(folder.iterdir())
        if file.suffix.lower() in SUFFIXES and file.stem in names
    }
    if not found:
        raise ValueError(f"masks: {str(folder)!r} holds no image that is called as one of images")
    return found


def _each(entries: Any, place: str, make: Callable[[Any], T]) -> list[T]:
    made = []
    for number, entry in enumerate([entries] if isinstance(entries, str) else entries, start=1):
        with _at(f"{place}[{number}]"):
            made.append(make(entry))
    return made


def _check_table(
    table: Mapping[str, Any], known: Mapping[str, tuple[type, ...]], needed: Sequence[str]
) -> None:
    for key, value in table.items():
        check_choice(key, "key", known)
        _check_kind(value, known[key], key)
    missing = [key for key in needed if key not in table]
    if missing:
        raise ValueError(f"there must be {', '.join(map(repr, missing))}")


def _check_kind(value: Any, kinds: tuple[type, ...], what: str) -> None:
    # To Python, true is a whole number.
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        allowed = " or ".join(_KINDS[kind] for kind in kinds)
        raise ValueError(f"{what} must be {allowed}; got {value!r}")


@contextmanager
def _at(place: str) -> Iterator[None]:
    """Says where in the file an error is.

    Raises:
        ValueError: in place of a ValueError or TypeError.
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        raise ValueError(f"{place}: {one_line(error)}") from error
