"""Studies: a grid of models, images, methods and metrics, computed once and for all.

A study is computed cell by cell into a folder, and goes on after whatever has stopped it; its
results are a table, and what statistics say of it.
"""

from captum_ext.study.compute import CellResult
from captum_ext.study.database import StoreError
from captum_ext.study.definition import Study
from captum_ext.study.engines import Cluster, Engine, InProcess, joined_cluster, local_cluster
from captum_ext.study.entries import MethodEntry, MetricEntry, ModelEntry
from captum_ext.study.images import (
    ArrayImage,
    CropImage,
    EmbeddedImage,
    FileImage,
    StudyImage,
    TensorImage,
    study_images,
)
from captum_ext.study.laboratory import MismatchError
from captum_ext.study.leaderboard import Analysis, analyze
from captum_ext.study.leaderboard_text import format_leaderboard
from captum_ext.study.measures import METRICS
from captum_ext.study.plan import Plan
from captum_ext.study.planner import plan_of
from captum_ext.study.question import Question, StudyMetric
from captum_ext.study.results import COLUMNS, MetricFacts, StudyResults
from captum_ext.study.run import run_study
from captum_ext.study.study_file import read_study
from captum_ext.study.subjects import Aim, Subject
from captum_ext.study.table import FORMATS, attribution_files, export, read_results

__all__ = [
    "COLUMNS",
    "FORMATS",
    "METRICS",
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
    "MetricEntry",
    "MetricFacts",
    "MismatchError",
    "ModelEntry",
    "Plan",
    "Question",
    "StoreError",
    "Study",
    "StudyImage",
    "StudyMetric",
    "StudyResults",
    "Subject",
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
