"""What one study has that another has not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

#: A digest of code that has no version, behind its name.
_CODE = r" code [0-9a-f]{16}"
#: Or behind the version that it was.
_DIGEST = _CODE + r'|\+[0-9a-f]{12}(?=")'


def differences(there: Any, here: Any, place: str = "") -> Iterator[str]:
    """What differs between two nests of plain values, place by place.

    Args:
        there, here: dictionaries, lists, texts and numbers; lists of dictionaries are compared by
            what is their ``"name"``.
        place: of both.

    Example:
        >>> list(differences({"seeds": [0]}, {"seeds": [1]}))
        ['seeds ([0] there, [1] here)']
        >>> list(differences({"methods": [{"name": "lime"}]}, {"methods": [{"name": "rise"}]}))
        ["methods (it lacks 'rise')", "methods (it also has 'lime')"]
    """
    if isinstance(there, dict) and isinstance(here, dict):
        for name in {**there, **here}:
            inner = f"{place}.{name}" if place else name
            yield from differences(there.get(name), here.get(name), inner)
    elif _named(there) and _named(here):
        yield from _of_named(_by_name(there), _by_name(here), place)
    elif there != here and _without(_DIGEST, there) == _without(_DIGEST, here):
        yield f"{place} (its code has changed)"
    elif there != here:
        yield f"{place} ({_short(there)} there, {_short(here)} here)"


def without_code(identity: Any) -> Any:
    """An identity without the digests of methods', metrics' and models' code.

    Of an edited method the cells have other keys, and the study is the same.

    Example:
        >>> without_code({"class": "mine.Method code 0123456789abcdef"})
        {'class': 'mine.Method'}
    """
    return _without(_CODE, identity)


def _without(pattern: str, value: Any) -> Any:
    return json.loads(re.sub(pattern, "", json.dumps(value)))


def _of_named(there: dict[str, Any], here: dict[str, Any], place: str) -> Iterator[str]:
    for what, more, less in (("lacks", here, there), ("also has", there, here)):
        names = [name for name in more if name not in less]
        if names:
            yield f"{place} (it {what} {_listed(names)})"
    if set(there) == set(here):
        if list(there) != list(here):
            yield f"{place} (in another order)"
        for name, value in there.items():
            yield from differences(value, here[name], f"{place} {name!r}")


def _named(value: Any) -> bool:
    if not isinstance(value, list) or not value:
        return False
    return all(isinstance(entry, dict) and "name" in entry for entry in value)


def _by_name(entries: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return {entry["name"]: {k: v for k, v in entry.items() if k != "name"} for entry in entries}


def _listed(names: Sequence[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + more


def _short(value: Any, most: int = 60) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= most else f"{text[:most]}…"
