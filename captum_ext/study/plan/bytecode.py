"""The code that is loaded, which need not be what its file says by now."""

from __future__ import annotations

import ast
import dis
import functools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.machinery import SourceFileLoader
from types import CodeType, FunctionType, ModuleType
from typing import Any

from captum_ext.study.plan.digest import digest_of

#: Literals that a module does not change once it has them.
_CONSTANT = (bool, int, float, complex, str, bytes, tuple, type(None))
_WRAPPERS = (staticmethod, classmethod)
_DEFINITIONS = (ast.FunctionDef, ast.ClassDef)


def digest_of_code(code: CodeType) -> str:
    """32 hexadecimal digits of compiled code, without the lines that it stands in.

    Example:
        >>> texts = ("1 + x", "(1 +\\n x)", "2 + x")
        >>> one, two, other = (digest_of_code(compile(text, "", "eval")) for text in texts)
        >>> one == two, one == other
        (True, False)
    """
    return digest_of(
        *(code.co_name, code.co_code.hex(), getattr(code, "co_exceptiontable", b"").hex()),
        *(code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags),
        *(code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars),
        [_constant(value) for value in code.co_consts],
    )


def _constant(value: Any) -> Any:
    if isinstance(value, CodeType):
        return digest_of_code(value)
    if isinstance(value, tuple | frozenset):
        parts = [_constant(part) for part in value]
        # The order of a set differs from process to process.
        return ["tuple", *parts] if isinstance(value, tuple) else sorted(parts, key=repr)
    return repr(value)


def globals_of(code: CodeType) -> set[str]:
    """The names that code looks up outside itself.

    Example:
        >>> globals_of(compile("lambda x: scale * x.shape", "", "eval"))
        {'scale'}
    """
    names = {
        instruction.argval
        for instruction in dis.get_instructions(code)
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME")
    }
    return names.union(*(globals_of(part) for part in code.co_consts if isinstance(part, CodeType)))


def functions_of(value: Any) -> list[FunctionType]:
    """The functions in what stands in a class or module: itself, or those of a property.

    Example:
        >>> [function.__name__ for function in functions_of(staticmethod(digest_of_code))]
        ['digest_of_code']
    """
    if isinstance(value, property):
        parts: Sequence[Any] = (value.fget, value.fset, value.fdel)
    elif isinstance(value, functools.cached_property):
        parts = (value.func,)
    else:
        parts = (value.__func__ if isinstance(value, _WRAPPERS) else value,)
    # Of a cached function, the one that it caches.
    wrapped = (getattr(part, "__dict__", {}).get("__wrapped__") for part in parts)
    return [part for part in (*parts, *wrapped) if isinstance(part, FunctionType)]


def compiles_as_written(module: ModuleType) -> bool:
    """Whether a module is loaded by Python itself; pytest, for one, rewrites asserts.

    Example:
        >>> compiles_as_written(ast), compiles_as_written(dis.sys)
        (True, False)
    """
    return type(getattr(module, "__loader__", None)) is SourceFileLoader


def unlike_source(module: ModuleType, text: bytes) -> list[str]:
    """What is loaded of a module, where that is not what a source text says; else nothing.

    Functions, their defaults and constants are compared. What a module has computed as it was
    imported is not.

    Args:
        module: the loaded one.
        text: that its file has now.

    Example:
        >>> from pathlib import Path
        >>> from captum_ext.study.plan import digest
        >>> text = Path(digest.__file__).read_bytes()
        >>> unlike_source(digest, text)
        []
        >>> len(unlike_source(digest, text.replace(b"[:32]", b"[:31]"))) > 0
        True
    """
    if not compiles_as_written(module):
        return []
    path = str(module.__file__)
    codes_of = (each.__code__ for each in _functions_in(vars(module), module.__name__))
    loaded = {digest_of_code(code) for code in codes_of if code.co_filename == path}
    tree, codes = _compiled(text)
    constants = list(_other_constants(tree.body, vars(module)))
    return [*sorted(loaded), *constants] if loaded - codes or constants else []


def is_written(code: CodeType, text: bytes) -> bool:
    """Whether code is what a part of a source text is compiled to.

    Example:
        >>> code = compile("1 + x", "", "exec", dont_inherit=True)
        >>> is_written(code, b"1 + x"), is_written(code, b"2 + x")
        (True, False)
    """
    return digest_of_code(code) in _compiled(text)[1]


@lru_cache(maxsize=256)
def _compiled(text: bytes) -> tuple[ast.Module, frozenset[str]]:
    """A source, parsed, and the digests of all code in it; nothing, where it is broken."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return ast.Module([], []), frozenset()
    return tree, frozenset(_digests_in(compile(tree, "", "exec", dont_inherit=True)))


def _digests_in(code: CodeType) -> Iterator[str]:
    yield digest_of_code(code)
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from _digests_in(part)


def _functions_in(names: Mapping[str, Any], module: str) -> Iterator[FunctionType]:
    for value in names.values():
        if isinstance(value, type):
            # A class of its own, not one that is imported or refers back to the outer one.
            if value.__module__ == module and value.__dict__ is not names:
                inner = {k: v for k, v in vars(value).items() if not isinstance(v, type)}
                yield from _functions_in(inner, module)
        else:
            yield from functions_of(value)


def _other_constants(body: Sequence[ast.stmt], names: Mapping[str, Any]) -> Iterator[str]:
    """Constants and defaults that are loaded with other values than are written."""
    nodes = [node for statement in body for node in ast.walk(statement)]
    assigned = Counter(
        node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    ) + Counter(statement.name for statement in body if isinstance(statement, _DEFINITIONS))
    for statement in body:
        match statement:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=ast.expr() as value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ) if assigned[name] == 1:
                yield from _other(name, value, names.get(name))
            case ast.ClassDef(name=name, body=inner) if isinstance(names.get(name), type):
                yield from _other_constants(inner, vars(names[name]))
            case ast.FunctionDef(name=name, args=args) if assigned[name] == 1:
                for function in functions_of(names.get(name)):
                    if function.__code__.co_name == name:
                        yield from _other_defaults(args, function)


def _other_defaults(args: ast.arguments, function: FunctionType) -> Iterator[str]:
    for default, value in zip(args.defaults, function.__defaults__ or (), strict=False):
        yield from _other(function.__name__, default, value)
    given = function.__kwdefaults__ or {}
    for argument, written in zip(args.kwonlyargs, args.kw_defaults, strict=True):
        if written is not None:
            yield from _other(
                f"{function.__name__} {argument.arg}", written, given.get(argument.arg)
            )


def _other(place: str, written: ast.expr, loaded: Any) -> Iterator[str]:
    try:
        value = ast.literal_eval(written)
    except (ValueError, TypeError):
        return
    # Of another class, it is made of the literal, as a member of an Enum.
    if type(value) is type(loaded) and isinstance(value, _CONSTANT) and value != loaded:
        yield f"{place} = {loaded!r}"
