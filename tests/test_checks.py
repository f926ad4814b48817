import pytest
import torch

from captum_ext.checks import check_inputs, check_int
from captum_ext.targets import check_target


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        ((), ValueError, "got an empty tuple"),
        ([torch.ones(2)], TypeError, "inputs must be a tensor or a tuple of tensors; got list"),
        ((torch.ones(2), 3), TypeError, "got int"),
        (torch.tensor(1.0), ValueError, "at least one example"),
        (torch.ones(0, 3), ValueError, r"got shape \(0, 3\)"),
        (torch.full((2, 2), float("inf")), ValueError, "got 4 NaN or infinite of 4 values"),
        ((torch.ones(2, 1), torch.ones(3, 1)), ValueError, r"got \[2, 3\]"),
    ],
)
def test_bad_inputs_are_named(inputs, error, message):
    with pytest.raises(error, match=message):
        check_inputs(inputs)


@pytest.mark.parametrize(
    "target", [None, 3, (1, 2), torch.tensor(1), torch.tensor([1]), torch.tensor([0, 1]), [0, 1]]
)
def test_captums_forms_of_target_are_accepted(target):
    check_target(target, n_examples=2)


@pytest.mark.parametrize(
    ("target", "error"),
    [
        ("cat", TypeError),
        (1.5, TypeError),
        (True, TypeError),
        ([0, "cat"], TypeError),
        ([0, (1, 2)], TypeError),
        ([0, 1, 2], ValueError),
        (torch.tensor([0.5, 1.0]), TypeError),
        (torch.tensor([0, 1, 2]), ValueError),
        (torch.zeros(2, 2, dtype=torch.long), ValueError),
    ],
)
def test_other_targets_are_refused(target, error):
    with pytest.raises(error, match="target must"):
        check_target(target, n_examples=2)


@pytest.mark.parametrize("value", [1.0, "1", None, True])
def test_only_whole_numbers_are_ints(value):
    with pytest.raises(TypeError, match="n must be a whole number"):
        check_int(value, "n", minimum=0)
