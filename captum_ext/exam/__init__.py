"""Models whose right attribution is known, and the grading of methods on them."""

from captum_ext.exam.center_pixel import CenterPixelModel
from captum_ext.exam.grade import ExamAnswer, Grade, answer, examine, grade, rounding_error
from captum_ext.exam.images import IMAGES, as_gray_levels, exam_images, gray_levels, set_center
from captum_ext.exam.known_model import OUTPUTS, KnownModel
from captum_ext.exam.models import make_model
from captum_ext.exam.score import HIT_AGREEMENT, HIT_SHARE, Score, score
from captum_ext.exam.several_pixels import AdditiveModel, AndOrModel, SaturationModel
from captum_ext.exam.shapley import MAX_PLAYERS, exact_shapley

__all__ = [
    "HIT_AGREEMENT",
    "HIT_SHARE",
    "IMAGES",
    "MAX_PLAYERS",
    "OUTPUTS",
    "AdditiveModel",
    "AndOrModel",
    "CenterPixelModel",
    "ExamAnswer",
    "Grade",
    "KnownModel",
    "SaturationModel",
    "Score",
    "answer",
    "as_gray_levels",
    "exact_shapley",
    "exam_images",
    "examine",
    "grade",
    "gray_levels",
    "make_model",
    "rounding_error",
    "score",
    "set_center",
]
