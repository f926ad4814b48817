"""Models to explain: by name from torchvision, timm or transformers, or of your own.

:func:`load_model` gives a :class:`Classifier`, which takes RGB in [0, 1], knows its classes' names,
and how it sees a picture (:class:`Framing`).
"""

from captum_ext.models.checkpoint import read_checkpoint
from captum_ext.models.classifier import Classifier, Preprocessing
from captum_ext.models.device import DEVICES, choose_device
from captum_ext.models.framing import Framing
from captum_ext.models.loading import FITS, load_model
from captum_ext.models.top_class import TopClass

__all__ = [
    "DEVICES",
    "FITS",
    "Classifier",
    "Framing",
    "Preprocessing",
    "TopClass",
    "choose_device",
    "load_model",
    "read_checkpoint",
]
