"""Where the artefacts are, and the programs that judge them."""

import json
import os
import pathlib
import re
import subprocess
import sys

import yaml

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
HERE = REPOSITORY / "tests" / "deploy"
DEPLOY = REPOSITORY / "deploy"
WORK = REPOSITORY / "target" / "deploy"
PROMETHEUS = WORK / "debian" / "usr" / "bin" / "prometheus"
SCRIPTS = pathlib.Path(sys.executable).parent


def run(*command, **options):
    """Runs a program to its end; its exit code, output and error output are in what this gives."""
    options = {"capture_output": True, "text": True, "timeout": 300, **options}
    return subprocess.run([str(word) for word in command], **options)


def modelway(*arguments, **options):
    """The built server's program."""
    return run(os.environ["MODELWAY"], *arguments, **options)


def promtool(*arguments):
    """Prometheus's own judge of rules and configurations."""
    return run(PROMETHEUS.parent / "promtool", *arguments)


def judged(*arguments):
    """What a parser of npm says."""
    done = run("node", HERE / "judge.mjs", WORK, *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def load(path):
    """A YAML file with one document."""
    return yaml.safe_load(pathlib.Path(path).read_text())


def load_all(path):
    """The documents of a YAML file."""
    return [document for document in yaml.safe_load_all(pathlib.Path(path).read_text()) if document]


def seconds(duration):
    """A time of a configuration, such as `10m`."""
    number, unit = re.fullmatch(r"([\d.]+)(ms|s|m|h)", duration).groups()
    return float(number) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[unit]


def without_code(text):
    """A page without its fenced blocks."""
    return re.sub(r"^[ \t]*```.*?^[ \t]*```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(path):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", without_code(path.read_text()), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
