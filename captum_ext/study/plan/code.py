"""Which code determines a result: where it comes from, and a digest of what is written there.

Code of an installed distribution is known by its version, any other by its source: that of its
module, and of the modules of the same kind that this one imports.
"""

from __future__ import annotations

import ast
import logging
import sys
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from functools import cache, lru_cache
from hashlib import sha256
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions, version
from itertools import chain
from pathlib import Path
from typing import Any

import captum_ext
from captum_ext.study.plan.bytecode import compiles_as_written, is_written, unlike_source
from captum_ext.study.plan.digest import digest_of, digest_of_bytes

logger = logging.getLogger(__name__)

#: Distributions whose versions decide what comes out, and their packages; of those with True, it
#: is made sure that the files are those of the version.
DECISIVE = {
    "captum_ext": (("captum_ext", "saliency_adapters"), True),
    "captum": (("captum",), True),
    "torch": (("torch",), False),
    "saliency": (("saliency",), True),
    "scikit-image": (("skimage",), False),
}
_DECISIVE_PACKAGES = {package for packages, _ in DECISIVE.values() for package in packages}
#: What was the text of a loaded module when it was last seen to be what is loaded.
_loaded: dict[str, bytes] = {}


@cache
def version_of(name: str) -> str:
    """The version of a distribution in :data:`DECISIVE`, with a digest where its files differ.

    They do in an editable install, or where somebody has edited them.

    Example:
        >>> version_of("torch") == version("torch")
        True
    """
    packages, checked = DECISIVE[name]
    files = dict(chain.from_iterable(map(_hashes, packages if checked else ())))
    recorded = {}
    try:
        number = version(name)
        for file in distribution(name).files or () if checked else ():
            if file.suffix == ".py" and file.parts[0] in packages and file.hash is not None:
                recorded[str(file)] = file.hash.value
    except PackageNotFoundError:
        number = "not installed"
    return number if files == recorded else f"{number}+{digest_of(files)[:12]}"


def _hashes(package: str) -> Iterator[tuple[str, str]]:
    """The Python files of a package, with their hashes as a distribution records them."""
    spec = _spec(package)
    for folder in map(Path, (spec and spec.submodule_search_locations) or ()):
        for path in sorted(folder.rglob("*.py")):
            file = f"{package}/{path.relative_to(folder).as_posix()}"
            text = path.read_bytes()
            if path.stat().st_mtime > captum_ext.IMPORTED:
                text = _as_loaded(file[:-3].removesuffix("/__init__").replace("/", "."), text)
            yield file, urlsafe_b64encode(sha256(text).digest()).decode().rstrip("=")


@cache
def origin_of(module: str) -> str | None:
    """The distribution that a module is of, with its version; None: it is known by its source.

    Of Python and of what :func:`version_of` tells it is ``""``.

    Example:
        >>> origin_of("json"), origin_of("captum.attr"), origin_of("numpy.linalg").split()[0]
        ('', '', 'numpy')
    """
    top = module.partition(".")[0]
    if module == "__main__":
        return None
    if top in sys.stdlib_module_names or top in _DECISIVE_PACKAGES:
        return ""
    spec = _spec(module)
    if spec is None or not _beside_distributions(spec):
        return None
    file = Path(spec.origin or "").resolve()
    for name in _distributions(top):
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue
        # Without records it lies where the system's own packages lie.
        if found.files is None or file in _recorded(name):
            return f"{name} {found.version}"
    return None


def _distributions(package: str) -> Iterator[str]:
    """Where a package may be from; most are called as their distribution is."""
    yield package
    # It reads the records of all distributions.
    yield from packages_distributions().get(package, ())


@cache
def _recorded(name: str) -> set[Path]:
    found = distribution(name)
    root = Path(str(found.locate_file(""))).resolve()
    return {root / file for file in found.files or ()}


def _beside_distributions(spec: ModuleSpec) -> bool:
    """Whether a module lies in a folder that distributions are installed into."""
    path = Path(spec.origin or next(iter(spec.submodule_search_locations or ()), ""))
    depth = spec.name.count(".") + (path.stem == "__init__")
    return len(path.parents) > depth and any(path.parents[depth].glob("*.dist-info"))


@cache
def digest_of_module(name: str) -> str | None:
    """A digest of a module's source, and of what it imports that has no version.

    Where the file has changed since the module was loaded, it is the loaded code that counts.

    Returns:
        None, where there is no source.

    Example:
        >>> digest_of_module("__main__") is None
        True
    """
    digests: dict[str, str] = {}
    left, seen = [name], {"__main__"}
    while left:
        module = left.pop()
        if module in seen or (spec := _spec(module)) is None:
            continue
        seen.add(module)
        if module != name and (origin_of(module) is not None or _beside_distributions(spec)):
            continue
        text = _as_loaded(module, _source(spec))
        if text:
            digests[module] = digest_of_bytes(text)
            is_package = spec.submodule_search_locations is not None
            left += _imports(text, module if is_package else module.rpartition(".")[0])
            left += [module.rsplit(".", depth)[0] for depth in range(1, module.count(".") + 1)]
    return digest_of(digests) if name in digests else None


def is_in_source(function: Any) -> bool:
    """Whether a function is one of its module's, as :func:`digest_of_module` reads it.

    It is not where it has been executed or put there, or the module has been loaded anew since.

    Example:
        >>> is_in_source(is_in_source)
        True
    """
    scope, code = function.__globals__, function.__code__
    name = scope.get("__name__", "")
    module = sys.modules.get(name)
    if module is None or vars(module) is not scope or code.co_filename != scope.get("__file__"):
        return False
    if origin_of(name) is not None or not compiles_as_written(module):
        return True
    digest_of_module(name)
    return is_written(code, _loaded.get(name, b""))


def reread() -> None:
    """Looks at all code again, when it is next asked about.

    Example:
        >>> reread()
    """
    for function in (version_of, origin_of, _recorded, digest_of_module):
        function.cache_clear()


def _as_loaded(name: str, text: bytes) -> bytes:
    """A module's source, or where another one is loaded, that one or what is known of it."""
    module = sys.modules.get(name)
    if module is None:
        return text
    loaded = unlike_source(module, text)
    if not loaded:
        _loaded[name] = text
        return text
    logger.warning("%s is not loaded as its file now is; start anew to use what it says", name)
    earlier = _loaded.get(name)
    if earlier is not None and not unlike_source(module, earlier):
        return earlier
    return b"\n".join([text, *(each.encode() for each in loaded)])


def _source(spec: ModuleSpec) -> bytes:
    """What stands in a module's file, be it source or compiled; nothing where there is none."""
    path = Path(spec.origin or "")
    if spec.has_location and path.is_file():
        return path.read_bytes()
    # As in a zip file.
    text = getattr(spec.loader, "get_source", lambda name: None)(spec.name)
    return (text or "").encode()


def _spec(name: str) -> ModuleSpec | None:
    """Where a module is or would be imported from; it is not imported."""
    if not name or name.startswith("."):
        return None
    if name in sys.modules:
        return getattr(sys.modules[name], "__spec__", None)
    parent = name.rpartition(".")[0]
    path = None
    if parent:
        above = _spec(parent)
        if above is None or above.submodule_search_locations is None:
            return None
        path = list(above.submodule_search_locations)
    for finder in sys.meta_path:
        spec = getattr(finder, "find_spec", lambda *place: None)(name, path)
        if spec is not None:
            return spec
    return None


@lru_cache(maxsize=256)
def _imports(text: bytes, package: str) -> list[str]:
    """The names of what a source imports: modules, or what may be modules."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return []
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: package.count(".") + 2 - node.level] if node.level else []
            module = ".".join([*above, *filter(None, [node.module])])
            names += [module, *(f"{module}.{alias.name}" for alias in node.names)]
    return names
