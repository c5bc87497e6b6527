"""Renders the chart's templates: the part of Go's template language that they use, and an error for all else.

Values are Python's; how they print, what is true and how white space is trimmed follow text/template, and the functions
follow Helm's (Sprig).
"""

import hashlib
import json
import pathlib
import re

import yaml

ACTION = re.compile(r"\{\{(-\s)?\s*(.*?)\s*(\s-)?\}\}", re.DOTALL)
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\d+|\$?\.?[A-Za-z_][\w.]*|\$[A-Za-z_]\w*|\.|\(|\)|\||:=|,')


class TemplateError(Exception):
    """The templates use something that this renderer does not know, or a value that is not there."""


def printed(value):
    """A value as a template prints it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int)):
        return str(value)
    raise TemplateError(f"a template prints {value!r}")


def quote(value):
    return json.dumps(printed(value), ensure_ascii=False)


def to_yaml(value):
    return yaml.safe_dump(value, default_flow_style=False, sort_keys=True, width=10_000).rstrip("\n")


def nindent(count, text):
    return "\n" + "\n".join(" " * count + line if line else "" for line in text.split("\n"))


FUNCTIONS = {
    "quote": quote,
    "toYaml": to_yaml,
    "nindent": nindent,
    "int": int,
    "gt": lambda one, other: one > other,
    "eq": lambda one, other: one == other,
    "ne": lambda one, other: one != other,
    "not": lambda value: not value,
    "or": lambda *values: next((value for value in values if value), values[-1]),
    "hasPrefix": lambda prefix, text: text.startswith(prefix),
    "sha256sum": lambda text: hashlib.sha256(text.encode()).hexdigest(),
}


def pieces(text):
    """Texts and actions in turn, with the white space gone that an action trims."""
    found, end, trim = [], 0, False
    for match in ACTION.finditer(text):
        before = text[end : match.start()]
        if trim:
            before = before.lstrip()
        if match[1]:
            before = before.rstrip()
        found += [("text", before), ("action", match[2])]
        end, trim = match.end(), bool(match[3])
    rest = text[end:]
    return [*found, ("text", rest.lstrip() if trim else rest)]


def parse(stream, until=()):
    """A list of nodes up to one of these words, and that word."""
    nodes = []
    for kind, text in stream:
        if kind == "text":
            nodes.append(("text", text))
            continue
        word, _, rest = text.partition(" ")
        if word in until:
            return nodes, word
        if word in ("if", "range", "define"):
            inner, end = parse(stream, ("else", "end"))
            other = parse(stream, ("end",))[0] if end == "else" else []
            nodes.append((word, rest, inner, other))
        elif word in ("with", "template", "block", "else", "end"):
            raise TemplateError(f"{{{{ {text} }}}} is not known here")
        else:
            nodes.append(("print", text))
    if until:
        raise TemplateError("an `end` is missing")
    return nodes, None


class Renderer:
    """The templates of a chart, with what they define."""

    def __init__(self, chart):
        self.chart, self.defined, self.files = pathlib.Path(chart), {}, {}
        for path in sorted((self.chart / "templates").iterdir()):
            nodes, _ = parse(iter(pieces(path.read_text())))
            for node in nodes:
                if node[0] == "define":
                    self.defined[json.loads(node[1])] = node[2]
            self.files[path.name] = [node for node in nodes if node[0] != "define"]

    def render(self, root):
        """The objects of all files."""
        texts = {
            name: self.written(nodes, root, {}) for name, nodes in self.files.items() if not name.startswith("_")
        }
        return [found for text in texts.values() for found in yaml.safe_load_all(text) if found]

    def written(self, nodes, dot, variables):
        parts = []
        for node in nodes:
            match node:
                case ("text", text):
                    parts.append(text)
                case ("print", text):
                    parts.append(printed(self.value(text, dot, variables)))
                case ("if", condition, inner, other):
                    chosen = inner if self.value(condition, dot, variables) else other
                    parts.append(self.written(chosen, dot, variables))
                case ("range", head, inner, other):
                    parts.append(self.ranged(head, inner, other, dot, variables))
        return "".join(parts)

    def ranged(self, head, inner, other, dot, variables):
        names, _, source = head.rpartition(":=")
        names = [name.strip() for name in names.split(",") if name.strip()]
        values = self.value(source, dot, variables)
        pairs = sorted(values.items()) if isinstance(values, dict) else list(enumerate(values))
        if not pairs:
            return self.written(other, dot, variables)
        written = ""
        for pair in pairs:
            bound = dict(zip(names, pair)) if len(names) == 2 else dict.fromkeys(names, pair[1])
            written += self.written(inner, pair[1], {**variables, **bound})
        return written

    def value(self, text, dot, variables):
        tokens = TOKEN.findall(text)
        if "".join(tokens) != re.sub(r"\s+", "", text) and '"' not in text:
            raise TemplateError(f"{{{{ {text} }}}} is not known here")
        value, rest = self.pipeline(tokens, dot, variables)
        if rest:
            raise TemplateError(f"{{{{ {text} }}}} is not known here")
        return value

    def pipeline(self, tokens, dot, variables):
        """The value of commands that are joined by `|`, up to a `)`."""
        piped, first = [], True
        while first or (tokens and tokens[0] == "|"):
            tokens = tokens if first else tokens[1:]
            words = []
            while tokens and tokens[0] not in ("|", ")"):
                word, tokens = self.operand(tokens, dot, variables)
                words.append(word)
            piped, first = [self.called(words + piped, dot)], False
        return piped[0], tokens

    def operand(self, tokens, dot, variables):
        token, rest = tokens[0], tokens[1:]
        if token == "(":
            value, rest = self.pipeline(rest, dot, variables)
            return ("value", value), rest[1:]
        if token.startswith('"'):
            return ("value", json.loads(token)), rest
        if token.isdigit():
            return ("value", int(token)), rest
        if token == ".":
            return ("value", dot), rest
        if token.startswith("$"):
            return ("value", variables[token]), rest
        if token == ".Files.Get":
            return ("function", token), rest
        if token.startswith("."):
            return ("value", self.field(token, dot)), rest
        return ("function", token), rest

    def field(self, path, dot):
        value = dot
        for name in path.strip(".").split("."):
            if not isinstance(value, dict) or name not in value:
                raise TemplateError(f"there is no `{path}`")
            value = value[name]
        return value

    def called(self, words, dot):
        words = [word if isinstance(word, tuple) else ("value", word) for word in words]
        kind, first = words[0]
        arguments = [value for _, value in words[1:]]
        if kind == "value":
            if arguments:
                raise TemplateError(f"{first!r} is called")
            return first
        if first == "include":
            name, scope = arguments
            return self.written(self.defined[name], scope, {})
        if first == ".Files.Get":
            [name] = arguments
            path = self.chart / name
            # Helm itself prints nothing for a file that is not there.
            if not path.is_file():
                raise TemplateError(f"the chart has no file {name}")
            return path.read_text()
        if first not in FUNCTIONS:
            raise TemplateError(f"the function `{first}` is not known here")
        return FUNCTIONS[first](*arguments)


def merged(base, changes):
    """Values with changes, tables merged as Helm merges them."""
    if isinstance(base, dict) and isinstance(changes, dict):
        return {**base, **{key: merged(base.get(key), value) for key, value in changes.items()}}
    return changes


def objects(chart, values, name="modelway"):
    """What `helm template NAME chart --values …` would give for these values, complete with the defaults."""
    about = yaml.safe_load(pathlib.Path(chart, "Chart.yaml").read_text())
    root = {
        "Values": values,
        "Release": {"Name": name, "Service": "Helm"},
        "Chart": {"Name": about["name"], "Version": about["version"], "AppVersion": about["appVersion"]},
    }
    return Renderer(chart).render(root)
