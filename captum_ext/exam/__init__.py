"""Models whose right attribution is known, and the grading of methods on them."""

from captum_ext.exam.center_pixel import OUTPUTS, CenterPixelModel
from captum_ext.exam.grade import Answer, Grade, answer, examine, grade
from captum_ext.exam.images import IMAGES, exam_images, gray_levels, set_center

__all__ = [
    "IMAGES",
    "OUTPUTS",
    "Answer",
    "CenterPixelModel",
    "Grade",
    "answer",
    "exam_images",
    "examine",
    "grade",
    "gray_levels",
    "set_center",
]
