"""The queries of the dashboards, as they are written and as Grafana would ask them."""

import re

from tools import DEPLOY, load

DASHBOARDS = [load(path) for path in sorted((DEPLOY / "grafana").glob("*.json"))]


def targets():
    """Each query with its dashboard's and its panel's title."""
    for dashboard in DASHBOARDS:
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                yield f"{dashboard['title']}: {panel['title']}", target["expr"]


def raw(dashboard):
    """Every query of a dashboard, and every variable's, as written."""
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield target["expr"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["definition"]


def asked(query, interval="1m"):
    """A query as Grafana asks it when everything is selected."""
    query = query.replace("$__rate_interval", interval)
    return re.sub(r"\$(job|scenario|provider)\b", ".*", query)


def queries(interval="1m"):
    return [asked(query, interval) for _, query in targets()]
