"""Torch models and PAIR's ``call_model_function``, in both directions.

PAIR saliency asks a model for named values through one function (see ``saliency.core.base``):

    call_model_function(x_value_batch, call_model_args=None, expected_keys=None) -> {key: array}

:func:`call_model_function` makes that function from a torch model; :func:`forward_func` makes a
torch function, which Captum's methods can run on, from any framework's ``call_model_function``.
"""

from captum_ext.call_model.from_torch import TorchCallModel, call_model_function
from captum_ext.call_model.keys import (
    KEYS,
    LAYER_BASELINE,
    REP_DISTANCE_GRADIENTS,
    REP_LAYER_VALUES,
    CallModelFunction,
    as_example,
    as_mask,
    as_numbers,
)
from captum_ext.call_model.to_torch import (
    answer_of,
    ask,
    check_finite,
    check_function,
    forward_func,
)

__all__ = [
    "KEYS",
    "LAYER_BASELINE",
    "REP_DISTANCE_GRADIENTS",
    "REP_LAYER_VALUES",
    "CallModelFunction",
    "TorchCallModel",
    "answer_of",
    "as_example",
    "as_mask",
    "as_numbers",
    "ask",
    "call_model_function",
    "check_finite",
    "check_function",
    "forward_func",
]
