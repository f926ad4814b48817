"""What the database of a study says of the study, known to be of the right kinds."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from captum_ext.results import Direction
from captum_ext.study.store.sqlite import explained, understood
from captum_ext.value_checks import check_choice, described

_ABOUT: Mapping[str, type] = {
    "title": str,
    "methods": dict,
    "metrics": list,
    "settings": dict,
    "models": dict,
    "versions": dict,
}
_LISTS = ("models", "images", "methods", "metrics")


def identity_in(database: sqlite3.Connection, folder: Path) -> dict[str, Any]:
    """What tells a stored study from others.

    Raises:
        captum_ext.study.StoreError: it is damaged.
    """
    with explained(folder), understood():
        row = database.execute("SELECT identity FROM study").fetchone()
        identity = _table(None if row is None else row[0], "identity")
        for name in _LISTS:
            for entry in _of_kind(identity.get(name), list, f"identity.{name}"):
                _of_kind(entry, dict, f"an entry of identity.{name}")
                _of_kind(entry.get("name"), str, f"the name of an entry of identity.{name}")
        return identity


def about_in(database: sqlite3.Connection, folder: Path) -> dict[str, Any]:
    """What a reader of the results must know: titles, facts of the metrics, settings, versions.

    Raises:
        captum_ext.study.StoreError: it is damaged.
    """
    with explained(folder), understood():
        row = database.execute("SELECT about FROM study").fetchone()
        about = _table(None if row is None else row[0], "about")
        for name, kind in _ABOUT.items():
            _of_kind(about.get(name), kind, f"about.{name}")
        for name in ("methods", "versions"):
            for key, value in about[name].items():
                _of_kind(value, str, f"about.{name}.{key}")
        for name, given in about["models"].items():
            _of_kind(given, dict, f"about.models.{name}")
        for facts in about["metrics"]:
            _of_kind(facts, dict, "an entry of about.metrics")
            for key in ("name", "title", "direction"):
                _of_kind(facts.get(key), str, f"{key} of about.metrics")
            _of_kind(facts.get("about", ""), str, "about of about.metrics")
            check_choice(facts["direction"], "direction of about.metrics", get_args(Direction))
        return about


def _table(text: Any, what: str) -> dict[str, Any]:
    table: dict[str, Any] = _of_kind(json.loads(_of_kind(text, str, what)), dict, what)
    return table


def _of_kind(value: Any, kind: type, what: str) -> Any:
    """``value``, where it is of a kind.

    Raises:
        ValueError: it is of another.
    """
    if not isinstance(value, kind):
        raise ValueError(f"{what} must be a {kind.__name__}; it is {described(value)}")
    return value
