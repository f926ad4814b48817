"""The only place that runs a model many times: batching, layout, counting, progress.

Perturbation methods spend most of their time in the model. :class:`Evaluator` makes their perturbed
inputs batch by batch to save memory, in the model's fastest layout. If a model begins with
(Flatten,) Linear, inputs given as :class:`LazyRows` are never computed in full (the first-layer
shortcut). :class:`Preprocessed` makes a model for normalized inputs take RGB in [0, 1].
"""

from captum_ext.forward.batches import (
    as_channels_last,
    batch_size_or_default,
    default_batch_size,
    in_standard_layout,
    rows_per_call,
)
from captum_ext.forward.evaluator import Evaluator, Perturb, Rows
from captum_ext.forward.normalization import Normalize, Preprocessed
from captum_ext.forward.output_cache import Remembered
from captum_ext.forward.prediction import predicted_target
from captum_ext.forward.shortcut.lazy_rows import Example, LazyRows, Once, PatchedRows, join
from captum_ext.passes import Passes, count_passes

__all__ = [
    "Evaluator",
    "Example",
    "LazyRows",
    "Normalize",
    "Once",
    "Passes",
    "PatchedRows",
    "Perturb",
    "Preprocessed",
    "Remembered",
    "Rows",
    "as_channels_last",
    "batch_size_or_default",
    "count_passes",
    "default_batch_size",
    "in_standard_layout",
    "join",
    "predicted_target",
    "rows_per_call",
]
