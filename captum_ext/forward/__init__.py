"""The only place that runs a model many times: batching, layout, counting, progress.

Perturbation methods spend their life in the model. :class:`Evaluator` makes their perturbed inputs
batch by batch, so that they never exist all at once, and hands them over in the layout that the
model is fastest with. :class:`Preprocessed` lets a model that wants normalized input take RGB in
[0, 1].
"""

from captum_ext.forward.batches import (
    as_channels_last,
    batch_size_or_default,
    default_batch_size,
    rows_per_call,
)
from captum_ext.forward.evaluator import Evaluator, Perturb
from captum_ext.forward.preprocessed import Normalize, Preprocessed
from captum_ext.passes import Passes, count_passes

__all__ = [
    "Evaluator",
    "Normalize",
    "Passes",
    "Perturb",
    "Preprocessed",
    "as_channels_last",
    "batch_size_or_default",
    "count_passes",
    "default_batch_size",
    "rows_per_call",
]
