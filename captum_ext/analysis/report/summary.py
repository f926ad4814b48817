"""The head of the report: what was compared, what is missing, what was found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from captum_ext.analysis.report.numbers import counted, listed, probability
from captum_ext.analysis.statistics import fewest_images

if TYPE_CHECKING:
    from captum_ext.analysis.leaderboard import Analysis, Standing
    from captum_ext.analysis.results import StudyResults


@dataclass(frozen=True)
class Fact:
    """A number of the study, and what it counts."""

    count: str
    label: str


@dataclass(frozen=True)
class Finding:
    """What one metric says about the methods, for one model.

    Attributes:
        model: name of.
        metric: title of.
        verdict: ``"best"``, ``"shared"``, ``"alike"`` or ``"none"``.
        text: the finding in a sentence.
        p: of Friedman's test, as text.
    """

    model: str
    metric: str
    verdict: str
    text: str
    p: str


@dataclass(frozen=True)
class Summary:
    """The head of the report.

    Attributes:
        facts: the size of the study.
        warnings: why it is incomplete; empty, if it is complete.
        findings: for each model, metric by metric.
    """

    facts: list[Fact]
    warnings: list[str]
    findings: list[Finding]


def summary_of(results: StudyResults, analysis: Analysis) -> Summary:
    """What is to be known before anything else.

    Example:
        >>> from captum_ext.analysis.report.tiny import tiny_results
        >>> from captum_ext.analysis.leaderboard import analyze
        >>> results = tiny_results()
        >>> summary_of(results, analyze(results)).facts[2]
        Fact(count='2', label='methods')
    """
    seeds = results.cells["seed"].nunique()
    numbers = (
        (len(results.models), "model"),
        (len(results.images), "image"),
        (len(results.methods), "method"),
        (len(results.metrics), "metric"),
        (seeds, "seed"),
        (len(results.cells), "cell"),
    )
    facts = [
        Fact(count, label)
        for count, label in (counted(count, label).split(" ", 1) for count, label in numbers)
    ]
    findings = [
        _finding(model, metric, results, analysis)
        for model in results.models
        for metric in results.metrics
    ]
    return Summary(facts, _warnings(results), findings)


def _warnings(results: StudyResults) -> list[str]:
    status = results.cells["status"]
    total, missing, failed = (
        len(status),
        int((status == "missing").sum()),
        int((status == "failed").sum()),
    )
    warnings = []
    if not total:
        warnings.append("The study has no cells: there is nothing to compare.")
    if missing:
        warnings.append(
            f"This study is incomplete: {missing:,} of {counted(total, 'cell')} "
            f"{'is' if missing == 1 else 'are'} missing, not computed yet."
        )
    if failed:
        warnings.append(
            f"{failed:,} of {counted(total, 'cell')} failed, and count in no mean; "
            "the section on failures says why."
        )
    if total and missing + failed == total:
        warnings.append("There is not a single value: nothing below can be compared.")
    return warnings


def _finding(model: str, metric: str, results: StudyResults, analysis: Analysis) -> Finding:
    facts = results.metrics[metric]
    standings = [
        each for each in analysis.standings if (each.model, each.metric) == (model, metric)
    ]
    p = probability(analysis.friedman.get((model, metric), float("nan")))
    verdict, text = _verdict(facts.direction, standings)
    return Finding(model, facts.title, verdict, text, p)


def _verdict(direction: str, standings: list[Standing]) -> tuple[str, str]:
    sign = 1 if direction == "lower" else -1
    known = sorted((each for each in standings if each.n), key=lambda each: sign * each.mean)
    if not known:
        return "none", "No values."
    if direction == "none":
        return "none", "Not ranked: neither more nor less of it is better."
    if len(known) == 1:
        return "none", "Only one method has values: there is nothing to compare it with."
    best = [each.title for each in known if each.place == "best"]
    if best:
        return "best", f"{listed(best)} is best: better than each other method."
    among = [each.title for each in known if each.place == "among the best"]
    if not among:
        text = f"No winner: nothing tells the {len(known)} methods apart from the best mean."
        images, fewest = max(each.n for each in known), fewest_images(len(known))
        if images < fewest:
            text += f" {counted(images, 'image')} cannot: for so many pairs, it takes {fewest}."
        return "alike", text
    return "shared", f"No single winner. Among the best, not told apart: {listed(among)}."
