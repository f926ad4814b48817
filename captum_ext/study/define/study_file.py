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

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from captum_ext.checks import check_choice, one_line
from captum_ext.choices import OUTPUT_KINDS
from captum_ext.image_files import SUFFIXES
from captum_ext.registry import get_exam_model
from captum_ext.study.define.entries import MethodEntry, MetricEntry, ModelEntry
from captum_ext.study.define.images import StudyImage
from captum_ext.study.define.models import PREDICTED
from captum_ext.study.define.sources import study_images
from captum_ext.study.define.study import OTHERS, Study
from captum_ext.study.define.toml_values import Problems, check_kind, check_table, read_toml
from captum_ext.study.plan.canonical import plain

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
#: The largest side of an exam model's images: its weights take 2 GiB.
_MOST_OF_EXAM = 1024


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
            unknown key, method, metric or setting which is the nearest. Of several errors, it
            names all.

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
    content = read_toml(path)
    with _at(str(path)):
        return _study(content, path, images, weights)


def _study(
    content: Mapping[str, Any], path: Path, images: Sequence[str] | None, weights: str | None
) -> Study:
    given = dict(content)
    if images is not None:
        given["images"] = list(images)
    check_table(given, _KEYS, _NEEDED)
    if weights is not None:
        given["models"] = _with_weights(given["models"], weights)
    problems = Problems()
    # What the command line says starts from where one is.
    folder = path.parent
    start = Path() if images is not None else folder
    found: Sequence[StudyImage] = ()
    with problems.at("images"):
        found = _images(given["images"], start)
    references = given.get("references")
    if references is not None and references != OTHERS:
        with problems.at("references"):
            references = _images(references, folder)
    models = _each(problems, given["models"], "models", lambda entry: _model(entry, folder))
    methods = _each(problems, given["methods"], "methods", _method)
    metrics = _each(problems, given["metrics"], "metrics", _metric)
    masks = {}
    if found and "masks" in given:
        with problems.at():
            masks = _masks(folder / given["masks"], found)
    problems.check()
    return Study(
        title=given.get("title", path.stem),
        models=models,
        images=found,
        methods=methods,
        metrics=metrics,
        seeds=given.get("seeds", [0]),
        passes=given.get("passes"),
        target=given.get("target", PREDICTED),
        references=references,
        masks=masks,
        keep_attributions=given.get("keep_attributions", False),
        gallery=given.get("gallery", 24),
        settings=plain(given),
    )


def _images(sources: Any, folder: Path) -> list[StudyImage]:
    listed = [sources] if isinstance(sources, str) else sources
    problems = Problems()
    for source in listed:
        with problems.at():
            check_kind(source, (str,), "a source")
    problems.check()
    return study_images(listed, folder)


def _with_weights(models: list[Any], weights: str) -> list[dict[str, Any]]:
    tables = [{"model": entry} if isinstance(entry, str) else entry for entry in models]
    if len(tables) != 1 or not isinstance(tables[0], dict) or "exam" in tables[0]:
        raise ValueError("weights can be given for a study of one model, which is no exam's")
    return [tables[0] | {"weights": str(Path(weights).absolute())}]


def _model(entry: Any, folder: Path) -> ModelEntry:
    if isinstance(entry, str):
        entry = {"model": entry}
    check_kind(entry, (dict,), "a model")
    if "exam" in entry:
        for key in ("exam", "name"):
            check_kind(entry.get(key, ""), (str,), key)
        get_exam_model(entry["exam"], "exam")
        # Whatever else there is, the model itself checks.
        settings = {key: value for key, value in entry.items() if key not in ("exam", "name")}
        for key, value in settings.items():
            check_kind(value, (int, float, str), key)
        if isinstance(settings.get("size"), int) and settings["size"] > _MOST_OF_EXAM:
            raise ValueError(f"size must be at most {_MOST_OF_EXAM}; got {settings['size']}")
        return ModelEntry.exam(entry["exam"], entry.get("name"), **settings)
    check_table(entry, _MODEL_KEYS, ("model",))
    settings = {key: value for key, value in entry.items() if key not in ("model", "name")}
    for name in ("weights", "class_names"):
        value = settings.get(name)
        if isinstance(value, str) and os.path.isfile(folder / value):
            settings[name] = str((folder / value).absolute())
    if "outputs" in settings:
        check_choice(settings["outputs"], "outputs", OUTPUT_KINDS)
    if isinstance(settings.get("size"), list):
        settings["size"] = tuple(settings["size"])
    return ModelEntry.classifier(entry["model"], entry.get("name"), **settings)


def _method(entry: Any) -> MethodEntry:
    if isinstance(entry, str):
        entry = {"method": entry}
    check_kind(entry, (dict,), "a method")
    check_table(entry, _METHOD_KEYS, ("method",))
    return MethodEntry(**entry)


def _metric(entry: Any) -> MetricEntry:
    if isinstance(entry, str):
        entry = {"metric": entry}
    check_kind(entry, (dict,), "a metric")
    check_table(entry, _METRIC_KEYS, ("metric",))
    return MetricEntry(**entry)


def _masks(folder: Path, images: Sequence[StudyImage]) -> dict[str, Path]:
    """The files of a folder that are called as the images are.

    Raises:
        ValueError: no folder, or none of an image.
    """
    if not os.path.isdir(folder):
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


def _each(problems: Problems, entries: Any, place: str, make: Callable[[Any], T]) -> list[T]:
    made = []
    for number, entry in enumerate([entries] if isinstance(entries, str) else entries, start=1):
        with problems.at(f"{place}[{number}]"):
            made.append(make(entry))
    return made


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
