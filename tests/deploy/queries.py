"""The queries of the dashboard, as they are written and as Grafana would ask them."""

import re

from tools import DEPLOY, load


def targets():
    """Each query with its panel's title."""
    for panel in load(DEPLOY / "grafana" / "modelway.json")["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]


def raw():
    """Every query, and every variable's, as written."""
    for _, query in targets():
        yield query
    for variable in load(DEPLOY / "grafana" / "modelway.json")["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["definition"]


def asked(query, interval="1m"):
    """A query as Grafana asks it when everything is selected."""
    query = query.replace("$__rate_interval", interval)
    return re.sub(r"\$(job|scenario|provider)\b", ".*", query)


def queries(interval="1m"):
    return [asked(query, interval) for _, query in targets()]
