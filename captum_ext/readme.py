"""Writes the README's table of methods from their specs: ``python -m captum_ext.readme``."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from captum_ext.registry import methods
from captum_ext.spec import MethodSpec

#: Between these lines of the README stands the table.
START, END = "<!-- methods: python -m captum_ext.readme -->", "<!-- end of methods -->"
#: Packages whose methods the table lists, whatever third parties have installed.
PACKAGES = ("captum", "captum_ext")


def table_row(spec: MethodSpec) -> str:
    """A method's row.

    Example:
        >>> from captum_ext.registry import get_method
        >>> table_row(get_method("grad_cam"))
        '| `grad_cam` | Grad-CAM (Selvaraju et al., ICCV 2017) | cam | gradients, layer, module |'
    """
    needs = ", ".join(sorted(need.value for need in spec.needs)) or "any function"
    return f"| `{spec.name}` | {spec.title} ({spec.paper}) | {spec.family} | {needs} |"


def with_table(text: str) -> str:
    """A README's text with the table of all methods of captum_ext and Captum.

    Raises:
        ValueError: it does not have both markers, each once.

    Example:
        >>> text = with_table(f"Methods:\\n\\n{START}\\n{END}\\n")
        >>> text.splitlines()[4:7]  # doctest: +ELLIPSIS
        ['| name | method | family | needs |', '|---|---|---|---|', '| `saliency` | ...']
    """
    if text.count(START) != 1 or text.count(END) != 1:
        raise ValueError(f"the README must hold the lines {START!r} and {END!r}, each once")
    specs = [s for s in methods() if s.attribution.__module__.split(".")[0] in PACKAGES]
    table = ["| name | method | family | needs |", "|---|---|---|---|", *map(table_row, specs)]
    between = "\n".join(["", "", *table, "", ""])
    return re.sub(f"(?<={START}).*(?={END})", lambda _: between, text, flags=re.DOTALL)


def main(argv: Sequence[str] | None = None) -> None:
    """Writes the table into a file; that of this folder where no other is named."""
    (name,) = (sys.argv[1:] if argv is None else argv) or ["README.md"]
    path = Path(name)
    path.write_text(with_table(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
