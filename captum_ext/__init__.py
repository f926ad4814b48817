"""captum_ext: attribution methods that Captum and PAIR saliency lack, and an exam for all of them.

>>> import captum_ext
>>> "saliency" in [spec.name for spec in captum_ext.methods()]
True
"""

import time
from typing import TYPE_CHECKING

from captum_ext.lazy import lazy_names

if TYPE_CHECKING:
    from captum_ext.examination import examine
    from captum_ext.explanation import explain
    from captum_ext.models import load_model
    from captum_ext.registry import (
        MethodSpec,
        Need,
        get_method,
        methods,
        register,
        unregister,
    )
    from captum_ext.request import Answer
    from captum_ext.value_checks import AttributionWarning
else:
    __getattr__, __dir__ = lazy_names(__name__)

__version__ = "0.1.0"
#: When this process imported it: a file that has changed since may not be what runs.
IMPORTED = time.time()

__all__ = [
    "Answer",
    "AttributionWarning",
    "MethodSpec",
    "Need",
    "examine",
    "explain",
    "get_method",
    "load_model",
    "methods",
    "register",
    "unregister",
]
