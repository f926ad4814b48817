"""What functions take: names and defaults from their signatures, one line each from docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from captum.attr import Attribution

#: The start of an argument's description: ``name:``, ``a, b:`` or ``name (type):``.
_ENTRY = re.compile(r"\*{0,2}(\w+(?:,\s+\*{0,2}\w+)*)\s*(?:\((.*?)\))?\s*:(?!:)\s+(.*)", re.DOTALL)
_ROLE = re.compile(r":\w+:`~?([^`]*)`")
_SENTENCE_END = re.compile(r"(?<!e\.g)(?<!i\.e)(?<!et al)[.;](?=\s)|:(?=\s+- )")


@dataclass(frozen=True)
class Argument:
    """An argument of a function.

    Attributes:
        name: as in the signature.
        type: as annotated; as its docstring has it, where the annotation says nothing.
        default: as Python writes it; None where it must be given.
        about: one line of its docstring, empty where it has none.
    """

    name: str
    type: str
    default: str | None
    about: str


def settable(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters of a function that have a name; what a ``partial`` binds is none.

    Example:
        >>> list(settable(partial(round, ndigits=3)))
        ['number']
    """
    bound = function.keywords if isinstance(function, partial) else {}
    return {
        name: parameter
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        and name not in bound
        and name != "self"
    }


def takes_any(function: Callable[..., Any]) -> bool:
    """Whether a function takes any keyword.

    Example:
        >>> takes_any(dict.fromkeys), takes_any(lambda **settings: settings)
        (False, True)
    """
    parameters = inspect.signature(function).parameters.values()
    return any(each.kind is each.VAR_KEYWORD for each in parameters)


def functions_of(kind: type, name: str) -> list[Callable[..., Any]]:
    """A method of a class, and those of its bases as far as each hands keywords on.

    Example:
        >>> class Base:
        ...     def scale(self, by=2): ...
        >>> class Derived(Base):
        ...     def scale(self, **settings): ...
        >>> [argument.name for argument in arguments_of(*functions_of(Derived, "scale"))]
        ['by']
    """
    functions: list[Callable[..., Any]] = []
    for base in kind.__mro__:
        function = base.__dict__.get(name)
        if callable(function):
            functions.append(function)
            if not takes_any(function):
                break
    return functions


def arguments_of(*functions: Callable[..., Any]) -> list[Argument]:
    """The arguments of functions that hand keywords on, from the first to the last.

    Example:
        >>> def scale(x: float, by: float = 2.0) -> float:
        ...     '''Scales.
        ...
        ...     Args:
        ...         x, by: two numbers. Any will do.
        ...     '''
        ...     return x * by
        >>> arguments_of(scale)[1]
        Argument(name='by', type='float', default='2.0', about='two numbers')
    """
    parameters: dict[str, inspect.Parameter] = {}
    documented: dict[str, tuple[str, str]] = {}
    for function in functions:
        for name, parameter in settable(function).items():
            parameters.setdefault(name, parameter)
        for name, *description in _described(function):
            documented.setdefault(name, (description[0], description[1]))
    return [
        _argument(parameter, *documented.get(name, ("", "")))
        for name, parameter in parameters.items()
    ]


def _argument(parameter: inspect.Parameter, kind: str, about: str) -> Argument:
    annotation = inspect.formatannotation(parameter.annotation)
    if isinstance(parameter.annotation, str):
        annotation = parameter.annotation
    # Captum's are long, and its docstrings say the same in words.
    worded = kind and ("Union" in annotation or "~" in annotation)
    if parameter.annotation not in (parameter.empty, "Any", Any) and not worded:
        kind = annotation
    default = None if parameter.default is parameter.empty else repr(parameter.default)
    return Argument(parameter.name, kind.removesuffix(", optional"), default, about)


def _described(function: Callable[..., Any]) -> Iterator[tuple[str, str, str]]:
    """Name, type and first sentence of what a docstring has under ``Args``."""
    target = function.func if isinstance(function, partial) else function
    text = inspect.cleandoc(target.__doc__ or "")
    _, _, rest = f"\n{text}".partition("\nArgs:")
    entries: list[str] = []
    indent = None
    for line in rest.splitlines():
        own = len(line) - len(line.lstrip())
        if not line.strip():
            continue
        if own == 0:
            break
        indent = indent or own
        if own <= indent:
            entries.append(line.strip())
        else:
            entries[-1] += f" {line.strip()}"
    for entry in entries:
        match = _ENTRY.fullmatch(entry)
        if match is not None:
            names, kind, about = match.groups()
            about = _ROLE.sub(r"\1", _SENTENCE_END.split(about)[0]).replace("`", "")
            for name in names.split(","):
                yield name.strip(" *"), kind or "", about.rstrip(".")


def argument_defaults(attribution: Attribution) -> dict[str, Any]:
    """The defaults of the arguments that :func:`accepted_arguments` names, as far as they have one.

    Example:
        >>> from captum.attr import NoiseTunnel, Saliency
        >>> argument_defaults(NoiseTunnel(Saliency(lambda x: x)))["abs"]
        True
    """
    defaults: dict[str, Any] = {}
    for kind in reversed(type(attribution).__mro__):
        function = kind.__dict__.get("attribute")
        if callable(function):
            parameters = inspect.signature(function).parameters.values()
            defaults |= {p.name: p.default for p in parameters if p.default is not p.empty}
    inner = getattr(attribution, "attribution_method", None)
    return (argument_defaults(inner) if isinstance(inner, Attribution) else {}) | defaults


def accepted_arguments(attribution: Attribution) -> tuple[set[str], bool]:
    """The names of the arguments of ``attribute()``, and whether it takes any other too.

    What it hands on to the method that it inherits from, or is made of, counts.

    Example:
        >>> from captum.attr import NoiseTunnel, Saliency
        >>> "abs" in accepted_arguments(NoiseTunnel(Saliency(lambda x: x)))[0]
        True
    """
    names: set[str] = set()
    takes_any = False
    for kind in type(attribution).__mro__:
        if not callable(kind.__dict__.get("attribute")):
            continue
        parameters = inspect.signature(kind.__dict__["attribute"]).parameters.values()
        names |= {p.name for p in parameters if p.kind is not p.VAR_KEYWORD} - {"self"}
        takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
        if not takes_any:
            break
    inner = getattr(attribution, "attribution_method", None)
    if takes_any and isinstance(inner, Attribution):
        more, takes_any = accepted_arguments(inner)
        names |= more
    return names, takes_any
