"""Write results: package versions, JSON and aligned tables."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Collection, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

#: Whether more of a metric is better, less of it, or neither.
Direction = Literal["higher", "lower", "none"]
PACKAGES = (
    *("captum_ext", "captum", "saliency", "torch", "torchvision", "timm", "transformers"),
    *("numpy", "scikit-image", "pillow"),
)


def versions() -> dict[str, str]:
    """The versions that a result depends on.

    Example:
        >>> sorted(versions())[:2]
        ['captum', 'captum_ext']
    """
    installed = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            installed[package] = version(package)
        except PackageNotFoundError:
            installed[package] = "not installed"
    return installed


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write plain values as JSON: NaN becomes null, an unsupported type its ``repr``.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_json(Path(folder) / "result.json", {"rank": math.nan})
        ...     print((Path(folder) / "result.json").read_text())
        {
         "rank": null
        }
    """
    text = json.dumps(_without_nan(content), indent=1, ensure_ascii=False, default=repr)
    # A path may hold bytes that are not UTF-8.
    path.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")


def aligned(
    header: Sequence[str], rows: Sequence[Sequence[str]], left: Collection[int] = (0,)
) -> list[str]:
    """The lines of a table.

    Args:
        header: of the columns.
        rows: a cell for each column.
        left: columns that begin at the left; the others end at the right.

    Example:
        >>> aligned(("method", "hits"), [("LIME", "5/5")])
        ['method  hits', '------  ----', 'LIME     5/5']
    """
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    return [
        "  ".join(
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [header, tuple("-" * width for width in widths), *rows]
    ]


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(element) for key, element in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(element) for element in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
