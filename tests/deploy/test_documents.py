"""The documentation: each command is run by a test or says that it is not, each link leads somewhere, the languages agree."""

import re
import tomllib
import unittest

import documents
from tools import REPOSITORY, anchors, without_code

ENGLISH, CHINESE = REPOSITORY / "README.md", REPOSITORY / "README.zh-CN.md"


def links(path):
    """The targets of a page's links."""
    return re.findall(r"\]\(([^)\s]+)\)", without_code(path.read_text()))


class Commands(unittest.TestCase):
    def test_each_is_run_by_a_test_or_says_why_not(self):
        every = documents.commands()
        unmarked = [f"{block.page}:{block.line}" for block in every if block.kind is None]
        run = [block for block in every if block.kind == "run"]

        print(f"{len(every)} blocks of commands: {len(run)} run, {len(every) - len(run) - len(unmarked)} marked as not run")
        for block in every:
            if block.kind == "not run":
                print(f"  not run: {block.page}:{block.line} ({block.about})")
        self.assertEqual(unmarked, [])

    def test_each_named_test_is_there_and_is_run(self):
        ci = (REPOSITORY / ".ci" / "run").read_text()
        for block in documents.commands():
            if block.kind != "run":
                continue
            with self.subTest(f"{block.page}:{block.line}"):
                name, _, test = block.about.partition("::")
                path = REPOSITORY / name
                self.assertTrue(path.is_file(), name)
                if test:
                    self.assertRegex(path.read_text(), rf"(def|fn) {re.escape(test)}\(")
                if name.startswith("tests/deploy/"):
                    self.assertIn("tests/deploy/run.sh", ci)

    def test_every_block_of_toml_can_be_read(self):
        for path in documents.pages():
            for block in documents.blocks(path):
                if block.language == "toml":
                    with self.subTest(f"{block.page}:{block.line}"):
                        tomllib.loads(block.text)


class Links(unittest.TestCase):
    def test_each_leads_to_a_file_or_a_heading(self):
        for path in documents.pages():
            for link in links(path):
                if re.match(r"[a-z]+:", link):
                    continue
                with self.subTest(f"{path.relative_to(REPOSITORY)}: {link}"):
                    name, _, anchor = link.partition("#")
                    target = (path.parent / name).resolve() if name else path
                    self.assertTrue(target.exists())
                    if anchor:
                        self.assertIn(anchor, anchors(target))

    def test_every_page_is_on_the_map_of_the_readme(self):
        named = set(links(ENGLISH))
        for path in sorted((REPOSITORY / "docs").glob("*.md")):
            self.assertIn(f"docs/{path.name}", named)


class Languages(unittest.TestCase):
    """The Chinese page has the parts of the English one, in their order."""

    def levels(self, path):
        return re.findall(r"^(#+) ", without_code(path.read_text()), re.MULTILINE)

    def test_the_headings_are_of_the_same_levels(self):
        self.assertEqual(self.levels(CHINESE), self.levels(ENGLISH))

    def test_the_blocks_say_the_same_but_for_comments(self):
        def said(path):
            return [
                (block.language, re.sub(r"\s*#.*$", "", block.text, flags=re.MULTILINE), block.kind, block.about)
                for block in documents.blocks(path)
                if block.language
            ]

        self.assertEqual(said(CHINESE), said(ENGLISH))

    def test_the_links_lead_to_the_same_places(self):
        def places(path, other):
            own = [link for link in links(path) if link.partition("#")[0] != other.name]
            return sorted({link for link in own if not link.startswith("#")})

        self.assertEqual(places(CHINESE, ENGLISH), places(ENGLISH, CHINESE))


if __name__ == "__main__":
    unittest.main()
