"""The table of results as a file."""

from __future__ import annotations

from pathlib import Path

from captum_ext.analysis.results import StudyResults
from captum_ext.choices import FORMATS
from captum_ext.value_checks import check_choice


def export(results: StudyResults, path: str | Path, kind: str = "csv") -> None:
    """Writes the table of a study.

    Args:
        results: of :func:`read_results`.
        path: of the file.
        kind: one of :data:`FORMATS`; ``pandas.read_csv`` and ``pandas.read_parquet`` read them.

    Raises:
        ValueError: another kind, or Parquet without the package ``pyarrow``.
        OSError: the file cannot be written.
    """
    check_choice(kind, "export", FORMATS)
    if kind == "csv":
        results.cells.to_csv(path, index=False)
        return
    try:
        results.cells.to_parquet(path, index=False)
    except ImportError as error:
        raise ValueError(
            "export to parquet needs pyarrow: pip install 'captum_ext[parquet]'"
        ) from error
