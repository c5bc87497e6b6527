"""The commands of the documentation: fenced blocks of shell, and the mark before each.

    <!-- run: tests/deploy/test_commands.py::test_name -->    a test runs what the block says
    <!-- not run: why -->                                     nothing does, for a reason
"""

import re
from dataclasses import dataclass

from tools import REPOSITORY

SHELLS = ("sh", "bash", "shell", "console")
FENCE = re.compile(r"^[ \t]*```(\S*)[^\n]*\n(.*?)^[ \t]*```$", re.MULTILINE | re.DOTALL)
# A test runs every command of these pages, in the order in which they stand there.
GUIDES, GUIDES_TEST = REPOSITORY / "docs" / "clients", "tests/polyglot/test_guides.py::commands_of"
MARK = re.compile(r"<!-- (run|not run): (.+?) -->\s*\Z")


@dataclass
class Block:
    page: str
    line: int
    language: str
    text: str
    # `run` or `not run` with the test or the reason; None without a mark.
    kind: str | None
    about: str | None


def pages():
    """Every page that a reader may follow, by its path."""
    found = [REPOSITORY / name for name in ("README.md", "README.zh-CN.md", "CONTRIBUTING.md", "SECURITY.md", "ARCHITECTURE.md")]
    for folder in ("docs", "clients", "examples", "deploy"):
        found += [path for path in (REPOSITORY / folder).rglob("*.md") if "node_modules" not in path.parts]
    return sorted(path for path in found if path.exists())


def blocks(path):
    text = path.read_text()
    for match in FENCE.finditer(text):
        mark = MARK.search(text[: match.start()])
        if path.parent == GUIDES and match[1] in SHELLS:
            mark = (None, "run", GUIDES_TEST)
        yield Block(
            page=str(path.relative_to(REPOSITORY)),
            line=text.count("\n", 0, match.start()) + 1,
            language=match[1],
            text=match[2],
            kind=mark and mark[1],
            about=mark and mark[2],
        )


def commands():
    """Every block of shell on every page."""
    return [block for path in pages() for block in blocks(path) if block.language in SHELLS]


def documented(test):
    """The texts of all blocks that say that this test runs them, one of test_commands.py unless it names its file; equal ones once."""
    mark = test if "::" in test else f"tests/deploy/test_commands.py::{test}"
    return list(dict.fromkeys(block.text for block in commands() if block.kind == "run" and block.about == mark))
