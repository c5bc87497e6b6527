"""The alerts: each fires and does not just below, and no window, threshold, label or time could be another one."""

import concurrent.futures
import pathlib
import re
import subprocess
import tempfile
import unittest

import yaml
from tools import DEPLOY, REPOSITORY, anchors, load, promtool

RULES = DEPLOY / "prometheus" / "rules.yml"
TESTS = [DEPLOY / "prometheus" / name for name in ("rules.test.yml", "rules.slow.test.yml")]
RUNBOOK = "https://github.com/modelway/modelway/blob/main/docs/operations.md#"

WINDOWS = ["5m", "10m", "15m", "30m", "1h", "2h", "6h", "1d", "3d"]

def rules():
    [group] = load(RULES)["groups"]
    return group["rules"]


def replaced(text, match, new):
    return text[: match.start()] + new + text[match.end() :]


def halved_and_doubled(duration):
    number, unit = int(duration[:-1]), duration[-1]
    if number == 1 and unit != "m":
        number, unit = {"h": (60, "m"), "d": (24, "h")}[unit]
    # The tests evaluate each minute.
    return ["0s" if (number, unit) == (1, "m") else f"{number // 2}{unit}", f"{number * 2}{unit}"]


def mutated_expressions(expression):
    """Each small change of an expression, with what was changed."""
    for match in re.finditer(r"(?<=\[)\w+(?=\])", expression):
        for window in halved_and_doubled(match[0]):
            yield f"window {match[0]} is {window}", replaced(expression, match, window)
    for match in re.finditer(r"(?<=ratio_rate)\w+", expression):
        place = WINDOWS.index(match[0])
        others = [at for at in ("30m", "1h", "6h", "1d") if at != match[0]]
        near = [at for at in WINDOWS[max(place - 2, 0) : place + 3] if at in others]
        for window in near:
            yield f"ratio of {match[0]} is of {window}", replaced(expression, match, window)
    for match in re.finditer(r"(?<![\w.\[{}-])\d+(?:\.\d+)?(?![\w.\]-])", expression):
        number = match[0]
        if "." in number or int(number) > 100:
            others = [f"{float(number) * factor:g}" for factor in (0.9, 1.1)]
        else:
            others = [str(int(number) - 1), str(int(number) + 1)]
        for other in others:
            yield f"number {number} is {other}", replaced(expression, match, other)
    for match in re.finditer(r'(=~|!=|=)"([^"]*)"', expression):
        operator, value = match[1], match[2]
        turned = {"=~": "!~", "!=": "=", "=": "!="}[operator]
        yield f"{match[0]} is turned", replaced(expression, match, f'{turned}"{value}"')
        parts = value.split("|")
        for part in parts if len(parts) > 1 else []:
            rest = "|".join(other for other in parts if other != part)
            yield f"{part} is left out", replaced(expression, match, f'{operator}"{rest}"')
    for match in re.finditer(r"(?<=\s)(>|<|==|>=)(?=\s)", expression):
        turned = {">": "<", "<": ">", "==": "!=", ">=": "<"}[match[1]]
        yield f"{match[1]} is {turned}", replaced(expression, match, turned)
    for match in re.finditer(r"\b(max|min)\b(?= by|\()", expression):
        turned = {"max": "min", "min": "max"}[match[1]]
        yield f"{match[1]} is {turned}", replaced(expression, match, turned)


def mutants():
    """Every rule with every small change: its place, what was changed, the changed rule."""
    for place, rule in enumerate(rules()):
        for what, expression in mutated_expressions(rule["expr"]):
            yield place, what, {**rule, "expr": expression}
        if "record" in rule:
            continue
        for duration in halved_and_doubled(rule["for"]) if "for" in rule else ["30m"]:
            yield place, f"for {rule.get('for', '0m')} is {duration}", {**rule, "for": duration}
        severity = {"page": "ticket", "ticket": "page"}[rule["labels"]["severity"]]
        labels = {**rule["labels"], "severity": severity}
        yield place, f"severity is {severity}", {**rule, "labels": labels}


def about(test, rule):
    """The part of a test that asks for this rule."""
    if "record" in rule:
        sign = re.compile(rf"\b{rule['record']}\b")
    else:
        window = rule["labels"].get("window", "")
        sign = re.compile(rf'alertname="{rule["alert"]}"(,window="{window}")?[,}}]')
    checks = [check for check in test["promql_expr_test"] if sign.search(check["expr"])]
    return {**test, "promql_expr_test": checks}


def judged(changed, place, folder):
    """What promtool says of this rule: only what its tests need is evaluated."""
    kept = [rule for at, rule in enumerate(changed) if at == place or needs(changed[place], rule)]
    (folder / "rules.yml").write_text(
        yaml.safe_dump({"groups": [{"name": "modelway", "rules": kept}]})
    )
    files = []
    for path in TESTS:
        file = load(path)
        file["tests"] = [about(test, changed[place]) for test in file["tests"]]
        file["tests"] = [test for test in file["tests"] if test["promql_expr_test"]]
        if file["tests"]:
            files.append(folder / path.name)
            files[-1].write_text(yaml.safe_dump(file))
    assert files, f"nothing tests {changed[place]}"
    return promtool("test", "rules", *files)


def needs(rule, other):
    return "record" in other and other["record"] in rule["expr"]


class Rules(unittest.TestCase):
    maxDiff = None

    def test_they_can_be_loaded(self):
        self.assertEqual(promtool("check", "rules", RULES).returncode, 0)

    def test_each_alert_fires_above_its_edge_and_not_below(self):
        done = promtool("test", "rules", *TESTS)

        self.assertEqual(done.returncode, 0, done.stderr + done.stdout)

    def test_each_alert_has_a_test_that_fires_and_one_that_does_not(self):
        tests = [test for path in TESTS for test in load(path)["tests"]]
        for rule in rules():
            if "alert" not in rule:
                continue
            asked = [
                check["exp_samples"]
                for test in tests
                for check in about(test, rule)["promql_expr_test"]
            ]
            fires = [samples for samples in asked if "firing" in str(samples)]
            with self.subTest(rule["alert"]):
                self.assertTrue(fires)
                self.assertIn([], asked)

    def test_a_change_of_any_window_threshold_label_or_time_makes_a_test_fail(self):
        unchanged = rules()
        unnoticed = []

        def judge(mutant):
            place, what, rule = mutant
            changed = [*unchanged[:place], rule, *unchanged[place + 1 :]]
            with tempfile.TemporaryDirectory() as folder:
                done = judged(changed, place, pathlib.Path(folder))
            if done.returncode == 0:
                name = rule.get("alert", rule.get("record"))
                unnoticed.append(f"{name} {rule.get('labels', '')}: {what}")

        every = list(mutants())
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            list(pool.map(judge, every))

        print(f"{len(every)} changes of rules, {len(unnoticed)} unnoticed")
        self.assertEqual(unnoticed, [])

    def test_each_alert_says_what_to_do_and_where_that_is_explained(self):
        sections = anchors(REPOSITORY / "docs" / "operations.md")
        for rule in rules():
            if "alert" not in rule:
                continue
            with self.subTest(rule["alert"]):
                self.assertRegex(rule["alert"], r"^Modelway[A-Z]\w+$")
                self.assertIn(rule["labels"]["severity"], ["page", "ticket"])
                notes = rule["annotations"]
                self.assertEqual(set(notes), {"summary", "description", "runbook_url"})
                self.assertEqual(notes["runbook_url"], RUNBOOK + rule["alert"].lower())
                self.assertIn(rule["alert"].lower(), sections)

    def test_the_objective_is_one_number_that_the_documented_command_replaces(self):
        [command] = re.findall(r"^#\s+sed -i '(.*)' (.*)$", RULES.read_text(), re.MULTILINE)
        script, files = command
        for name in files.split():
            text = (REPOSITORY / name).read_text()
            done = subprocess.run(["sed", script], input=text, capture_output=True, text=True, check=True)
            self.assertNotIn("0.005", done.stdout, name)
            self.assertGreater(done.stdout.count("0.001"), text.count("0.001"), name)
        with tempfile.TemporaryDirectory() as folder:
            changed = pathlib.Path(folder) / "rules.yml"
            changed.write_text(subprocess.check_output(["sed", script, RULES], text=True))
            self.assertEqual(promtool("check", "rules", changed).returncode, 0)

    def test_nothing_paints_a_missing_series_green(self):
        for path in (RULES, *(DEPLOY / "grafana").glob("*.json")):
            self.assertNotRegex(path.read_text(), r"vector\(\s*0\s*\)")


if __name__ == "__main__":
    unittest.main()
