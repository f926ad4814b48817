"""A small study, for the examples in this package's documentation."""

from __future__ import annotations

import pandas as pd

from captum_ext.analysis.results import COLUMNS, MetricFacts, StudyResults


def tiny_results() -> StudyResults:
    """Two methods over three images, by one metric; the last cell is missing.

    Example:
        >>> tiny_results().cells[["image", "method", "value"]].head(2)
          image method  value
        0     a   good    0.7
        1     a    bad    0.2
    """
    values = {("a", "good"): 0.7, ("a", "bad"): 0.2, ("b", "good"): 0.8, ("b", "bad"): 0.3}
    cells = pd.DataFrame(
        [
            {
                **dict.fromkeys(COLUMNS, ""),
                **{"model": "net", "image": image, "method": method, "metric": "srg", "seed": 0},
                **{"status": "ok" if (image, method) in values else "missing"},
                **{"value": values.get((image, method), float("nan")), "target": 1},
                **{"forward": 10.0, "backward": 0.0, "seconds": 0.5},
                **{"metric_forward": 10.0, "metric_seconds": 0.1},
            }
            for image in ("a", "b", "c")
            for method in ("good", "bad")
        ][:-1],
        columns=list(COLUMNS),
    )
    return StudyResults(
        title="A tiny study",
        cells=cells,
        models=["net"],
        images=["a", "b", "c"],
        methods={"good": "Good", "bad": "Bad"},
        metrics={"srg": MetricFacts("srg", "SRG", "higher")},
    )
