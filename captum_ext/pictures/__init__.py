"""Pictures explained: heat maps for the top classes, by any methods, and files of them.

:func:`explain_picture` explains, :func:`save_explanation` writes; ``captum-ext explain`` is both on
the command line.
"""

from captum_ext.choices import OUTPUTS
from captum_ext.pictures.explained_picture import (
    ClassExplanation,
    ExplainedPicture,
    PictureInterrupt,
    explain_picture,
)
from captum_ext.pictures.files import save_explanation
from captum_ext.pictures.requests import check_request

__all__ = [
    "OUTPUTS",
    "ClassExplanation",
    "ExplainedPicture",
    "PictureInterrupt",
    "check_request",
    "explain_picture",
    "save_explanation",
]
