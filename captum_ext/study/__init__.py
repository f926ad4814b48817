"""Studies: a grid of models, images, methods and metrics, computed once and for all.

A study is computed cell by cell into a folder, and goes on after whatever has stopped it; its
results are a table, and what statistics say of it.
"""

from typing import TYPE_CHECKING

from captum_ext.lazy import lazy_names

if TYPE_CHECKING:
    from captum_ext.analysis.leaderboard import Analysis, analyze
    from captum_ext.analysis.results import COLUMNS, MetricFacts, StudyResults
    from captum_ext.analysis.table import FORMATS, export
    from captum_ext.analysis.text import format_leaderboard
    from captum_ext.study.define.cache import MismatchError
    from captum_ext.study.define.entries import MethodEntry, MetricEntry, ModelEntry
    from captum_ext.study.define.images import (
        ArrayImage,
        CropImage,
        EmbeddedImage,
        FileImage,
        StudyImage,
        TensorImage,
    )
    from captum_ext.study.define.models import Aim, StudyModel
    from captum_ext.study.define.sources import study_images
    from captum_ext.study.define.study import Study
    from captum_ext.study.define.study_file import read_study
    from captum_ext.study.plan.planner import plan_of
    from captum_ext.study.plan.tasks import Plan
    from captum_ext.study.run.engines import (
        Cluster,
        Engine,
        InProcess,
        joined_cluster,
        local_cluster,
    )
    from captum_ext.study.run.metric_context import MetricContext
    from captum_ext.study.run.runner import run_study
    from captum_ext.study.store.cells import CellResult
    from captum_ext.study.store.read import attribution_files, read_results
    from captum_ext.study.store.sqlite import StoreError
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "COLUMNS",
    "FORMATS",
    "Aim",
    "Analysis",
    "ArrayImage",
    "CellResult",
    "Cluster",
    "CropImage",
    "EmbeddedImage",
    "Engine",
    "FileImage",
    "InProcess",
    "MethodEntry",
    "MetricContext",
    "MetricEntry",
    "MetricFacts",
    "MismatchError",
    "ModelEntry",
    "Plan",
    "StoreError",
    "Study",
    "StudyImage",
    "StudyModel",
    "StudyResults",
    "TensorImage",
    "analyze",
    "attribution_files",
    "export",
    "format_leaderboard",
    "joined_cluster",
    "local_cluster",
    "plan_of",
    "read_results",
    "read_study",
    "run_study",
    "study_images",
]
