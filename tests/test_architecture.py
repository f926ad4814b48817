"""docs/architecture.md names the lines where the papers' symbols are.

``python tests/test_architecture.py`` writes the line numbers anew.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
ROW = re.compile(
    r"^\| (?P<symbol>[^|]+) \| (?P<file>[\w/]+\.py):(?P<line>\d+) \| `(?P<code>.+)` \|$"
)
ROWS = [match for match in map(ROW.match, PAGE.read_text("utf-8").splitlines()) if match]


def lines_with(row):
    lines = (ROOT / row["file"]).read_text("utf-8").splitlines()
    return [number for number, line in enumerate(lines, start=1) if row["code"] in line]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["symbol"])
def test_a_symbol_is_on_the_line_that_the_page_names(row):
    assert int(row["line"]) in lines_with(row), "run: python tests/test_architecture.py"


def test_every_method_that_a_stranger_looks_for_is_there():
    symbols = " ".join(row["symbol"] for row in ROWS)
    for name in ("IG2", "PDA", "KernelSHAP", "SRG", "genetic crossover"):
        assert name in symbols


if __name__ == "__main__":
    text = PAGE.read_text("utf-8")
    for row in ROWS:
        found = lines_with(row)
        if not found:
            raise SystemExit(f"{row['file']} has no line with {row['code']!r}")
        text = text.replace(row[0], row[0].replace(f":{row['line']} ", f":{found[0]} ", 1))
    PAGE.write_text(text, "utf-8")
