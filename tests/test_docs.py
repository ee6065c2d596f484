"""The code blocks of README.md and of docs/ run, page by page, and print what the page says they print.

A page is one program: its ``python`` blocks run from top to bottom in one namespace. A ``text`` block right after one
shows what it printed: words and whole numbers exactly, numbers with a decimal point about, because draws differ between
machines.
"""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted(path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts)]

FENCE = re.compile(r"^```(?P<kind>\S*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
DECIMAL = re.compile(r"[-+]?\d+\.\d*(?:e[-+]?\d+)?")
RELATIVE, ABSOLUTE = 0.4, 0.5  # loose: whether a page is out of date shows, Monte Carlo error does not


class Block(NamedTuple):
    """One fenced block: its language, its code, the line its code starts on, and whether it is right after another."""

    kind: str
    code: str
    line: int
    follows: bool


def blocks_of(text: str) -> list[Block]:
    blocks, end = [], 0
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start("code")) + 1
        blocks.append(Block(match["kind"], match["code"], line, not text[end : match.start()].strip()))
        end = match.end()
    return blocks


def same_output(shown: str, printed: str) -> bool:
    """Equal words in equal order, decimals within the tolerance; ``...`` in what is shown stands for anything."""
    shown_words, printed_words = shown.split(), printed.split()
    if "..." in shown_words:
        cut = shown_words.index("...")
        return same_output(" ".join(shown_words[:cut]), " ".join(printed_words[:cut]))
    return len(shown_words) == len(printed_words) and all(map(same_word, shown_words, printed_words))


def same_word(shown: str, printed: str) -> bool:
    if DECIMAL.sub("#", shown) != DECIMAL.sub("#", printed):
        return False
    pairs = zip(DECIMAL.findall(shown), DECIMAL.findall(printed), strict=True)
    return all(abs(float(a) - float(b)) <= ABSOLUTE + RELATIVE * abs(float(a)) for a, b in pairs)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_runs_and_prints_what_it_shows(page: Path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    printed = ""
    for block in blocks_of(page.read_text()):
        if block.kind == "python":
            code = compile("\n" * (block.line - 1) + block.code, str(page), "exec")
            with contextlib.redirect_stdout(io.StringIO()) as output:
                exec(code, namespace)
            printed = output.getvalue()
        elif block.kind == "text" and block.follows:
            message = f"{page.name}:{block.line} shows\n{block.code}\nbut the code above it prints\n{printed}"
            assert same_output(block.code, printed), message


def test_blocks_of_finds_kind_line_and_what_follows():
    page = "a\n```python\nprint(1)\n```\n\n```text\n1\n```\nb\n```\nplain\n```\n"
    assert blocks_of(page) == [
        Block("python", "print(1)\n", 3, False),
        Block("text", "1\n", 7, True),
        Block("", "plain\n", 11, False),
    ]


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("mu  4.39  3.20", "mu 4.50 3.31", True),
        ("mu  4.39", "tau 4.39", False),
        ("n_eff 1000.00", "n_eff 300.00", False),
        ("(4, 2) [2. 3.]", "(4, 2) [2.00001 3.]", True),
        ("shape (4, 2)", "shape (4, 3)", False),
        ("mean 1.0\n...", "mean 1.1\nand much more", True),
    ],
)
def test_same_output_forgives_only_decimals_and_spaces(shown, printed, same):
    assert same_output(shown, printed) is same
