"""The report as one page that needs nothing besides itself."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from captum_ext.analysis.leaderboard import ALPHA, analyze
from captum_ext.analysis.report import cost
from captum_ext.analysis.report.agreement import agreements_of
from captum_ext.analysis.report.board import board_of
from captum_ext.analysis.report.comparisons import matrices_of
from captum_ext.analysis.report.distributions import MOST_POINTS, distributions_of
from captum_ext.analysis.report.failures import failures_of
from captum_ext.analysis.report.gallery import gallery_of
from captum_ext.analysis.report.summary import summary_of

if TYPE_CHECKING:
    from captum_ext.analysis.results import StudyResults

HERE = Path(__file__).parent
#: Of a list in the settings.
MOST_ENTRIES = 200
#: Shows what only a script would choose to show.
WITHOUT_SCRIPT = ".panel[hidden] { display: block !important; } .controls { display: none; }"


def write_report(results: StudyResults, path: Path | str) -> None:
    """Writes the report of a study, complete or not, as one HTML file.

    Args:
        results: of the study.
        path: of the file, in a folder that there is.

    Raises:
        OSError: the file cannot be written.

    Example:
        >>> import tempfile
        >>> from captum_ext.analysis.report.tiny import tiny_results
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_report(tiny_results(), Path(folder) / "report.html")
        ...     (Path(folder) / "report.html").read_text()[:15]
        '<!DOCTYPE html>'
    """
    # Names may come from paths, which may hold bytes that are no UTF-8.
    content = render(results).encode("utf-8", errors="backslashreplace")
    Path(path).write_bytes(content)


def render(results: StudyResults) -> str:
    """The report of a study as HTML.

    It refers to nothing outside itself, and its policy lets nothing run or load but what is in it.

    Args:
        results: of the study.

    Example:
        >>> from captum_ext.analysis.report.tiny import tiny_results
        >>> page = render(tiny_results())
        >>> "A tiny study" in page, "This study is incomplete" in page
        (True, True)
    """
    analysis = analyze(results)
    environment = Environment(
        autoescape=True,
        loader=FileSystemLoader(HERE),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = (f"\n{_own(name)}" for name in ("report.css", "report.js"))
    return environment.get_template("page.html.j2").render(
        title=results.title,
        policy=_policy([style, WITHOUT_SCRIPT], [script]),
        # These are files of this package; all else is escaped.
        style=Markup(style),
        script=Markup(script),
        without_script=Markup(WITHOUT_SCRIPT),
        models=results.models,
        metrics=list(results.metrics.values()),
        summary=summary_of(results, analysis),
        board=board_of(results, analysis),
        matrices=matrices_of(results, analysis),
        scatters=cost.scatters_of(results, analysis),
        chart=cost,
        distributions=distributions_of(results),
        agreements=agreements_of(results, analysis),
        gallery=gallery_of(results),
        failures=failures_of(results),
        settings=results.settings,
        versions=results.versions,
        most_points=MOST_POINTS,
        most_entries=MOST_ENTRIES,
        significant=ALPHA,
        confidence=analysis.confidence,
    )


def _own(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _policy(styles: list[str], scripts: list[str]) -> str:
    return "; ".join(
        (
            "default-src 'none'",
            "img-src data:",
            f"style-src {' '.join(map(_digest, styles))}",
            f"script-src {' '.join(map(_digest, scripts))}",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
