from functools import partial

import pytest

from captum_ext.signatures import arguments_of, settable


def documented(a, b: int = 2, *rest, c: "float | None" = None, **more):
    """One line.

    Args:
        a (int or Tensor, optional): first sentence, e.g. this one, of
            Smith et al. say so. The second is cut off.

        b, c: see :func:`other` and :class:`~package.Thing`; and more.
        **more: handed on.

    Returns:
        b: nothing.
    """


def undocumented(d=(1, 2)): ...


def test_the_first_sentence_is_taken_without_markup():
    first, b, c, d = arguments_of(documented, undocumented)
    assert first.about == "first sentence, e.g. this one, of Smith et al. say so"
    assert (first.type, first.default) == ("int or Tensor", None)
    assert b.about == c.about == "see other and package.Thing"
    assert (b.type, b.default, c.type, c.default) == ("int", "2", "float | None", "None")
    assert (d.name, d.default, d.about) == ("d", "(1, 2)", "")


@pytest.mark.parametrize("bound", [{"b": 3}, {"c": 1.0}])
def test_what_is_bound_is_no_setting(bound):
    assert list(settable(partial(documented, **bound))) == [
        name for name in ("a", "b", "c") if name not in bound
    ]
