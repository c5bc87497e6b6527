"""The dashboards: whole, without two panels of one id or place, each with a description, each query well-formed."""

import pathlib
import re
import tempfile
import unittest

import queries
import yaml
from tools import REPOSITORY, promtool


def panels():
    """The panels of all dashboards."""
    return [panel for dashboard in queries.DASHBOARDS for panel in dashboard["panels"]]


class Dashboard(unittest.TestCase):
    def test_each_has_an_id_and_a_title_of_its_own(self):
        self.assertGreaterEqual(len(queries.DASHBOARDS), 2)
        for key in ("uid", "title"):
            values = [dashboard[key] for dashboard in queries.DASHBOARDS]
            self.assertEqual(len(values), len(set(values)), values)

    def test_panels_have_ids_and_places_of_their_own(self):
        for dashboard in queries.DASHBOARDS:
            ids = [panel["id"] for panel in dashboard["panels"]]
            self.assertEqual(len(ids), len(set(ids)))
            taken = {}
            for panel in dashboard["panels"]:
                place = panel["gridPos"]
                self.assertLessEqual(place["x"] + place["w"], 24)
                for x in range(place["x"], place["x"] + place["w"]):
                    for y in range(place["y"], place["y"] + place["h"]):
                        self.assertNotIn((x, y), taken, f"{panel['title']} lies upon {taken.get((x, y))}")
                        taken[x, y] = panel["title"]

    def test_every_panel_says_what_to_do_and_has_a_unit(self):
        for panel in panels():
            if panel["type"] == "row":
                continue
            with self.subTest(panel["title"]):
                self.assertGreater(len(panel["description"].split()), 8)
                self.assertIn("unit", panel["fieldConfig"]["defaults"])
                self.assertEqual(panel["datasource"]["uid"], "${datasource}")
                self.assertTrue(panel["targets"])
                references = [target["refId"] for target in panel["targets"]]
                self.assertEqual(len(references), len(set(references)))

    def test_each_panel_is_explained_in_the_operations_guide(self):
        guide = (REPOSITORY / "docs" / "operations.md").read_text()
        for panel in panels():
            with self.subTest(panel["title"]):
                self.assertIn(panel["title"], guide)

    def test_variables_are_declared(self):
        for dashboard in queries.DASHBOARDS:
            declared = {variable["name"] for variable in dashboard["templating"]["list"]}
            used = set(re.findall(r"\$\{?(\w+)\}?", " ".join(queries.raw(dashboard))))

            self.assertEqual(used - declared - {"__rate_interval"}, set())
            self.assertEqual(declared - used - {"datasource"}, set())

    def test_every_query_is_well_formed(self):
        rules = [{"record": f"query_{number}", "expr": query} for number, query in enumerate(queries.queries())]
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "queries.yml")
            path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
            done = promtool("check", "rules", path)
        self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main()
