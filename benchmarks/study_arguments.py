"""Arguments and the resumable run, shared by the benchmarks that run a study."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from tqdm.auto import tqdm

from benchmarks.subjects import at_least
from captum_ext.analysis.report import write_report
from captum_ext.checks import one_line
from captum_ext.cli.common import INTERRUPTED, check_writable, chosen_methods
from captum_ext.spec import MethodSpec
from captum_ext.study import (
    CellResult,
    MethodEntry,
    Study,
    StudyResults,
    local_cluster,
    run_study,
)


def add_arguments(parser: argparse.ArgumentParser, out: str) -> None:
    """Where a study goes, and where it is computed."""
    parser.add_argument("--methods", default="all", help="names, separated by commas")
    parser.add_argument("--out", type=Path, default=Path(out), metavar="DIR", help="of the results")
    parser.add_argument("--workers", type=at_least(1), metavar="N", help="processes to compute in")
    parser.add_argument("--seed", type=at_least(0), default=0, help="of all that is drawn")


def without_problems(
    names: str, problem_with: Callable[[MethodSpec], str | None]
) -> tuple[list[MethodEntry], list[str]]:
    """Methods of these names that have no problem, and a line on each that has one.

    Raises:
        ValueError: an unknown name, or none without a problem.
    """
    entries, problems = [], []
    for spec in chosen_methods(names):
        problem = problem_with(spec)
        if problem is None:
            entries.append(MethodEntry(spec))
        else:
            problems.append(f"{spec.title}: {problem}")
    if not entries:
        raise ValueError(f"methods must hold one that works here: {'; '.join(problems)}")
    return entries, problems


def run(parser: argparse.ArgumentParser, args: argparse.Namespace, study: Study) -> StudyResults:
    """The results of a study, which are in the folder then, with a report.

    An interruption, or a study that cannot be, ends the program with one line.
    """
    try:
        check_writable(args.out)
        with tqdm(total=study.n_cells, unit="cell", file=sys.stderr) as bar:

            def on_start(there: int) -> None:
                bar.update(there)

            def on_cell(_: CellResult) -> None:
                bar.update()

            results = run_study(
                study,
                args.out,
                engine=None if args.workers is None else local_cluster(args.workers),
                extend=True,
                on_start=on_start,
                on_cell=on_cell,
            )
            bar.update(study.n_cells - bar.n)
        write_report(results, args.out / "report.html")
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except (OSError, TypeError, ValueError) as error:
        parser.error(one_line(error))
    return results
