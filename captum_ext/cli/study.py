"""``captum-ext study``: computes a study into a folder; ``captum-ext report``: shows it."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from captum_ext.choices import FORMATS
from captum_ext.cli.common import (
    INTERRUPTED,
    bad_input,
    check_writable,
    writable,
)

if TYPE_CHECKING:
    from captum_ext.study import CellResult, Plan, Study, StudyResults
    from captum_ext.study.define.cache import StudyCache
    from captum_ext.study.run.dry_run import Estimate

#: The exit code where no cell could be computed.
ALL_FAILED = 1
# Arguments that need a study.
_OF_A_STUDY = (
    *("workers", "scheduler", "threads", "images", "weights"),
    *("extend", "retry_failed", "dry_run"),
)


def add_study(commands: Any) -> None:
    """Adds the command to the parsers of all."""
    study = commands.add_parser(
        "study", help="compare methods on many images; goes on after any interruption"
    )
    study.add_argument(
        "study", nargs="?", type=Path, metavar="STUDY.toml", help="what to compare; see the README"
    )
    study.add_argument("--out", type=Path, required=True, metavar="DIR", help="of the results")
    where = study.add_mutually_exclusive_group()
    where.add_argument("--workers", type=int, metavar="N", help="processes of this machine")
    where.add_argument(
        "--scheduler", metavar="ADDRESS", help="of a Dask cluster, as tcp://127.0.0.1:8786"
    )
    study.add_argument(
        "--threads", type=int, metavar="N", help="of torch, in each process that computes"
    )
    study.add_argument("--images", nargs="+", help="in place of those of the study file")
    study.add_argument("--weights", metavar="FILE", help="of its one model, likewise")
    study.add_argument(
        "--extend",
        action="store_true",
        help="DIR may hold another study, as one of fewer images; what both share stays",
    )
    study.add_argument("--retry-failed", action="store_true", help="try failed cells again")
    study.add_argument(
        "--dry-run",
        action="store_true",
        help="check all models, methods and images, say what it will cost, compute nothing",
    )
    study.add_argument(
        "--export",
        choices=FORMATS,
        help="write the table, as results.csv or results.parquet; without STUDY.toml, of what is "
        "there",
    )
    study.set_defaults(run=run_study_command)


def add_report(commands: Any) -> None:
    """Adds the command to the parsers of all."""
    report = commands.add_parser("report", help="show the results of a study, as one HTML file")
    report.add_argument("folder", type=Path, metavar="DIR", help="that a study has run into")
    report.add_argument(
        "--out", type=Path, metavar="FILE", help="to write (default: DIR/report.html)"
    )
    report.set_defaults(run=run_report_command)


def run_study_command(args: argparse.Namespace) -> int:
    """Computes what is missing; gives the exit code."""
    try:
        return _run_study(args)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        return INTERRUPTED


def _run_study(args: argparse.Namespace) -> int:
    if args.study is None:
        if args.export is None:
            raise ValueError("STUDY.toml must be given, or --export, which writes what is there")
        for option in _OF_A_STUDY:
            if getattr(args, option):
                raise ValueError(f"--{option.replace('_', '-')} needs a STUDY.toml")
        from captum_ext.study import read_results

        _export(read_results(args.out), args)
        return 0
    from captum_ext.study import plan_of, read_study
    from captum_ext.study.define.cache import StudyCache
    from captum_ext.study.store.sqlite import FILE

    study = read_study(args.study, images=args.images, weights=args.weights)
    if not args.dry_run:
        check_writable(args.out)
    with bad_input():
        cache = StudyCache()
        plan = plan_of(study, cache)
        _say_how_many(study, plan)
        # Before anything of it is in the folder, so that it can be mended.
        if args.dry_run:
            _rehearse(study, plan, cache)
            return 0
        if not (args.out / FILE).exists():
            _say_what_it_costs(study, plan, cache)
        return _run(study, plan, cache, args)


def _run(study: Study, plan: Plan, cache: StudyCache, args: argparse.Namespace) -> int:
    from tqdm.auto import tqdm

    from captum_ext.study import (
        InProcess,
        analyze,
        format_leaderboard,
        joined_cluster,
        local_cluster,
        run_study,
    )

    with ExitStack() as stack:
        if args.workers is not None:
            engine: Any = stack.enter_context(local_cluster(args.workers, args.threads))
        elif args.scheduler is not None:
            engine = stack.enter_context(joined_cluster(args.scheduler, args.threads))
        else:
            engine = InProcess(cache, args.threads)
        bars: list[Any] = []

        def on_start(there: int) -> None:
            # Not before: a folder that is refused is one line.
            bar = tqdm(total=study.n_cells, initial=there, unit="cell", file=sys.stderr)
            bars.append(stack.enter_context(bar))

        def on_cell(result: CellResult) -> None:
            bars[0].update()
            if result.error:
                bars[0].set_postfix_str(f"failed: {result.error[:60]}")

        results = run_study(
            study,
            args.out,
            engine=engine,
            retry_failed=args.retry_failed,
            extend=args.extend,
            plan=plan,
            on_start=on_start,
            on_cell=on_cell,
        )
        # Others may have computed some, and equal cells are computed once.
        bars[0].update(study.n_cells - bars[0].n)
    print(format_leaderboard(analyze(results)))
    print(f"\nwritten to {args.out}: study.sqlite. To look at it: captum-ext report {args.out}")
    if args.export is not None:
        _export(results, args)
    failed = int((results.cells["status"] == "failed").sum())
    if failed:
        print(
            f"{failed:,} of {study.n_cells:,} cells failed; --retry-failed tries them again",
            file=sys.stderr,
        )
    return ALL_FAILED if failed == study.n_cells else 0


def _say_how_many(study: Study, plan: Plan) -> None:
    parts = {
        "model": study.models,
        "image": study.images,
        "method": study.methods,
        "metric": study.metrics,
        "seed": study.seeds,
    }
    grid = " x ".join(
        f"{len(each)} {name}{'s' if len(each) > 1 else ''}" for name, each in parts.items()
    )
    print(f"{study.title}: {study.n_cells:,} cells ({grid})")
    for note in plan.notes:
        print(f"note: {note}", file=sys.stderr)


def _say_what_it_costs(study: Study, plan: Plan, cache: StudyCache) -> None:
    """Before the first run into a folder.

    Raises:
        ValueError: what the study would compute fails by its settings, or on every image.
    """
    from captum_ext.study.run.dry_run import dry_run

    estimate = dry_run(study, plan, cache)
    _say_passes(estimate)
    if estimate.refused:
        raise ValueError("; ".join(estimate.refused))
    _say_problems(estimate.problems)


def _rehearse(study: Study, plan: Plan, cache: StudyCache) -> None:
    """Says what a study will cost, and all that is wrong with it.

    Raises:
        ValueError: something is.
    """
    from captum_ext.study.run.dry_run import dry_run
    from captum_ext.study.run.unreadable import unreadable_images

    estimate = dry_run(study, plan, cache)
    _say_passes(estimate)
    wrong = [*unreadable_images(study, plan, cache), *estimate.refused, *estimate.failed]
    _say_problems([problem for problem in estimate.problems if problem not in wrong])
    if wrong:
        raise ValueError("; ".join(dict.fromkeys(wrong)))


def _say_passes(estimate: Estimate) -> None:
    print(f"about {estimate.forward:,} passes forward and {estimate.backward:,} backward in all")


def _say_problems(problems: list[str]) -> None:
    for problem in problems:
        print(f"note: in a rehearsal, {problem}", file=sys.stderr)


def _export(results: StudyResults, args: argparse.Namespace) -> None:
    from captum_ext.study import export

    path = args.out / f"results.{args.export}"
    with writable(args.out):
        export(results, path, args.export)
    print(f"written: {path}, {len(results.cells):,} rows")


def run_report_command(args: argparse.Namespace) -> int:
    """Writes the report; gives the exit code."""
    from captum_ext.analysis.report import write_report
    from captum_ext.study import read_results

    path = args.out or args.folder / "report.html"
    results = read_results(args.folder)
    with writable(path.parent):
        write_report(results, path)
    print(f"written: {path}")
    return 0
