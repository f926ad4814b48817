"""Writes an explained picture into a folder."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from captum_ext.pictures.explained_picture import ClassExplanation, ExplainedPicture
from captum_ext.results import versions, write_json


def save_explanation(
    explained: ExplainedPicture,
    folder: str | Path,
    *,
    signed: bool = False,
    settings: dict[str, Any] | None = None,
    **drawing: Any,
) -> list[Path]:
    """Writes the heat maps over the picture, the figure of all, the attributions, and the facts.

    - ``METHOD_CLASS_LABEL.png``: the heat map over the picture, at the picture's resolution;
    - ``METHOD_CLASS_LABEL.npy``: the attribution ``[3, h, w]`` of what the model sees, float32;
    - ``figure.png``: all classes and methods;
    - ``explanation.json``: settings, versions, classes, passes and seconds, and which part of the
      picture the model sees.

    Args:
        explained: of :func:`captum_ext.pictures.explain_picture`.
        folder: made where it is not there; files of the same name are replaced.
        signed: red for the class, blue against it, in place of magnitudes.
        settings: more of them, for the JSON.
        drawing: ``alpha``, ``cmap``, ``gray``, ``outlier_perc`` of
            :func:`captum_ext.visualize.overlay`.

    Returns:
        The paths of all files.

    Raises:
        OSError: a file cannot be written.

    Example:
        >>> import tempfile
        >>> from torch import nn
        >>> from captum_ext import load_model
        >>> from captum_ext.pictures import explain_picture
        >>> model = load_model(nn.Sequential(nn.Conv2d(3, 4, 8, 8), nn.Flatten()), size=8)
        >>> explained = explain_picture(model, "coffee", "saliency", top=1)
        >>> with tempfile.TemporaryDirectory() as out:
        ...     sorted(path.suffix for path in save_explanation(explained, out))
        ['.json', '.npy', '.png', '.png']
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for answer in explained.answers:
        if answer.attribution is None:
            continue
        stem = folder / file_stem(answer)
        written += [stem.with_suffix(".png"), stem.with_suffix(".npy")]
        _write_overlay(written[-2], explained, answer, signed=signed, **drawing)
        np.save(written[-1], answer.attribution.float().numpy())
    written.append(folder / "figure.png")
    explained.figure(signed=signed, **drawing).savefig(written[-1])
    written.append(folder / "explanation.json")
    write_json(written[-1], _facts(explained, {"signed": signed} | drawing | (settings or {})))
    return written


def file_stem(answer: ClassExplanation) -> str:
    """What an answer's files are called: method, class, and the label's letters.

    Labels that differ in other signs only are told apart by the class's number.
    """
    label = re.sub(r"[^\w]+", "_", answer.about.label.split(",", maxsplit=1)[0]).strip("_")[:40]
    named = "" if label in ("", str(answer.about.index)) else f"_{label}"
    return f"{answer.method.name}_{answer.about.index}{named}"


def _write_overlay(
    path: Path, explained: ExplainedPicture, answer: ClassExplanation, **drawing: Any
) -> None:
    image = explained.overlay(answer, **drawing)
    levels = image.mul_(255).round_().byte()
    # A photograph takes a lot of memory in floats, and another copy to be written.
    del image
    Image.fromarray(levels.movedim(0, -1).contiguous().numpy()).save(path)


def _facts(explained: ExplainedPicture, settings: dict[str, Any]) -> dict[str, Any]:
    view = explained.model.view
    return {
        "picture": {
            "name": explained.name,
            "size": list(explained.picture.shape[1:]),
            "seen": dict(zip(("top", "bottom", "left", "right"), explained.seen, strict=True)),
        },
        "model": {
            "name": explained.model.name,
            "size": list(view.size),
            "resize": view.resize if isinstance(view.resize, int) else list(view.resize),
            "mean": explained.model.normalize.mean.flatten().tolist(),
            "std": explained.model.normalize.std.flatten().tolist(),
            "device": str(explained.model.device),
            "outputs": explained.model.outputs,
        },
        "settings": explained.settings | settings,
        "versions": versions(),
        "classes": [asdict(about) for about in explained.classes],
        "answers": [_fact(answer) for answer in explained.answers],
    }


def _fact(answer: ClassExplanation) -> dict[str, Any]:
    return {
        "method": answer.method.name,
        "class": answer.about.index,
        "output": answer.output,
        "files": file_stem(answer) if answer.attribution is not None else None,
        "remark": answer.remark or None,
        "checks": [check.as_dict() for check in answer.answer.checks],
        "check_forward": answer.answer.check_passes.forward,
        "check_backward": answer.answer.check_passes.backward,
        "forward": answer.passes.forward,
        "backward": answer.passes.backward,
        "seconds": round(answer.seconds, 3),
    }
