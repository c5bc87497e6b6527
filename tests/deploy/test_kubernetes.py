"""The objects for Kubernetes: known to its schemas, fitting together, and with numbers that fit the process."""

import json
import pathlib
import shutil
import tempfile
import tomllib
import unittest

import documents
import jsonschema
import kubernetes_validate
import templates
import yaml
from tools import DEPLOY, REPOSITORY, load, load_all, modelway, run, seconds

BASE = DEPLOY / "kubernetes"
WITH_LEDGER = DEPLOY / "kubernetes-with-ledger"
CHART = DEPLOY / "helm" / "modelway"
VERSIONS = ["1.29", "1.33", "1.37"]
# How long the process takes after the last call: the last spans and the exit.
LAST_STEPS_SECONDS = 10
# The slowest that endpoints and proxies follow a pod that is no longer ready.
FOLLOWING_SECONDS = 5
DEFAULT_MAX_TIMEOUT = "10m"


def base():
    """The objects that the kustomization lists."""
    names = load(BASE / "kustomization.yaml")["resources"]
    return [document for name in names for document in load_all(BASE / name)]


def patched(given, patch):
    """A strategic merge, as far as the patches here use it: lists are merged by the key that Kubernetes names for them."""
    if isinstance(given, dict) and isinstance(patch, dict):
        merged = {**given, **{key: patched(given.get(key), value) for key, value in patch.items()}}
        return {key: value for key, value in merged.items() if value is not None}
    if isinstance(given, list) and isinstance(patch, list) and patch and isinstance(patch[0], dict):
        key = "mountPath" if "mountPath" in patch[0] else "name"
        known = {one[key]: one for one in given}
        changed = {one[key]: patched(known.get(one[key]), one) for one in patch}
        return [*changed.values(), *(one for one in given if one[key] not in changed)]
    return patch


def with_ledger():
    """The objects of the overlay that keeps a ledger."""
    overlay = load(WITH_LEDGER / "kustomization.yaml")
    [parent, *added] = overlay["resources"]
    assert (WITH_LEDGER / parent).resolve() == BASE
    objects = {(one["kind"], one["metadata"]["name"]): one for one in base()}
    for name in added:
        objects.update({(one["kind"], one["metadata"]["name"]): one for one in load_all(WITH_LEDGER / name)})
    for patch in overlay["patches"]:
        patch = load(WITH_LEDGER / patch["path"])
        key = patch["kind"], patch["metadata"]["name"]
        given = objects.pop(key)
        if patch.pop("$patch", None) != "delete":
            objects[key] = patched(given, patch)
    return list(objects.values())


VALUES = {
    "the defaults": {},
    "one replica, closed off from nothing": {"replicas": 1, "networkPolicy": {"enabled": False}},
    "scraped through the service": {"monitor": "service", "rollOnChange": True},
    "seen by an operator's Prometheus and Grafana": {
        "monitor": "service",
        "alerts": True,
        "prometheusLabels": {"release": "kube-prometheus-stack"},
        "dashboards": {"enabled": True, "annotations": {"grafana_folder": "Modelway"}},
    },
    "scraped pod by pod, from a private registry": {
        "monitor": "pod",
        "image": {"repository": "registry.example/modelway", "tag": "sha256:" + "0" * 64},
        "imagePullSecrets": [{"name": "registry"}],
        "podAnnotations": {"example.com/team": "ml", "example.com/on": "true"},
    },
    "on chosen nodes, through a proxy, without keys": {
        "keysSecret": "",
        "env": [{"name": "HTTPS_PROXY", "value": "http://proxy.example:3128"}],
        "nodeSelector": {"kubernetes.io/arch": "arm64"},
        "tolerations": [{"key": "dedicated", "operator": "Exists", "effect": "NoSchedule"}],
        "networkPolicy": {"providers": {"cidr": "203.0.113.0/24", "except": ["203.0.113.9/32"], "port": 8443}},
        "terminationGracePeriodSeconds": 620,
    },
    "a ledger": {
        "replicas": 1,
        "ledger": {"enabled": True},
        "config": load(WITH_LEDGER / "configmap.yaml")["data"]["modelway.toml"],
    },
    "a ledger on a volume of the operator's": {
        "replicas": 1,
        "ledger": {"enabled": True, "existingClaim": "kept"},
        "config": load(WITH_LEDGER / "configmap.yaml")["data"]["modelway.toml"],
    },
}


def values(changes):
    return templates.merged(load(CHART / "values.yaml"), changes)


def only(objects, kind, name=None):
    [found] = [one for one in objects if one["kind"] == kind and name in (None, one["metadata"]["name"])]
    return found


def configured(objects):
    """The ConfigMap with the configuration."""
    [found] = [one for one in objects if one["kind"] == "ConfigMap" and "modelway.toml" in one["data"]]
    return found


def sets():
    """Every set of objects that is shipped, by its name."""
    yield "the base", base()
    yield "the base with a ledger", with_ledger()
    for name, changes in VALUES.items():
        yield f"the chart with {name}", templates.objects(CHART, values(changes), "modelway")
    yield "the chart by another name", templates.objects(CHART, values({}), "llm")


def selects(selector, labels):
    return all(labels.get(key) == value for key, value in selector.items())


class Kubernetes(unittest.TestCase):
    maxDiff = None

    def test_the_schemas_of_old_and_new_clusters_accept_every_object(self):
        for name, objects in sets():
            # The Prometheus Operator's kinds are no part of Kubernetes.
            known = [one for one in objects if not one["apiVersion"].startswith("monitoring.coreos.com")]
            for version in VERSIONS:
                for one in known:
                    with self.subTest(f"{name}, {version}", kind=one["kind"]):
                        kubernetes_validate.validate(one, version, strict=True)

    def test_the_schemas_refuse_a_misspelt_key(self):
        deployment = only(base(), "Deployment")
        deployment["spec"]["template"]["spec"]["terminationGracePeriod"] = 620

        with self.assertRaises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(deployment, VERSIONS[-1], strict=True)

    def test_kustomize_gives_the_objects_that_are_tested(self):
        if not shutil.which("kubectl"):
            self.skipTest("there is no kubectl, which has kustomize in it")

        def key(one):
            return one["kind"], one["metadata"]["name"]

        for folder, objects in ((BASE, base()), (WITH_LEDGER, with_ledger())):
            with self.subTest(folder.name):
                done = run("kubectl", "kustomize", folder)

                self.assertEqual(done.returncode, 0, done.stderr)
                given = sorted((one for one in yaml.safe_load_all(done.stdout)), key=key)
                self.assertEqual(given, sorted(objects, key=key))

    def test_every_file_is_listed_or_an_example(self):
        def files(folder):
            return sorted(path.name for path in folder.glob("*.yaml"))

        listed = load(BASE / "kustomization.yaml")["resources"]
        self.assertEqual(sorted([*listed, "kustomization.yaml", "secret.example.yaml"]), files(BASE))
        overlay = load(WITH_LEDGER / "kustomization.yaml")
        listed = overlay["resources"][1:] + [patch["path"] for patch in overlay["patches"]]
        self.assertEqual(sorted([*listed, "kustomization.yaml"]), files(WITH_LEDGER))

    def test_a_ledger_is_on_a_volume_that_one_pod_has_at_a_time(self):
        for name, objects in sets():
            with self.subTest(name):
                deployment = only(objects, "Deployment")["spec"]
                pod = deployment["template"]["spec"]
                [container] = pod["containers"]
                config = tomllib.loads(configured(objects)["data"]["modelway.toml"])
                claims = [one["persistentVolumeClaim"] for one in pod["volumes"] if "persistentVolumeClaim" in one]
                if "ledger" not in config:
                    self.assertEqual(claims, [])
                    continue

                [volume] = [one for one in pod["volumes"] if "persistentVolumeClaim" in one]
                [mount] = [one for one in container["volumeMounts"] if one["name"] == volume["name"]]
                self.assertEqual(mount, {"name": volume["name"], "mountPath": config["ledger"]["path"]})
                self.assertEqual(deployment["replicas"], 1)
                self.assertEqual(deployment["strategy"], {"type": "Recreate"})
                self.assertEqual(pod["securityContext"]["fsGroup"], pod["securityContext"]["runAsGroup"])
                made = [one for one in objects if one["kind"] == "PersistentVolumeClaim"]
                if claims != [{"claimName": "kept"}]:
                    [claim] = made
                    self.assertEqual(claims, [{"claimName": claim["metadata"]["name"]}])
                    self.assertEqual(claim["spec"]["accessModes"], ["ReadWriteOncePod"])
                else:
                    self.assertEqual(made, [])

    def test_selectors_ports_and_volumes_meet(self):
        for name, objects in sets():
            with self.subTest(name):
                deployment = only(objects, "Deployment")
                template = deployment["spec"]["template"]
                labels, pod = template["metadata"]["labels"], template["spec"]
                [container] = pod["containers"]
                ports = {port["name"]: port["containerPort"] for port in container["ports"]}

                self.assertTrue(selects(deployment["spec"]["selector"]["matchLabels"], labels))
                for spread in pod["topologySpreadConstraints"]:
                    self.assertTrue(selects(spread["labelSelector"]["matchLabels"], labels))
                services = [one for one in objects if one["kind"] == "Service"]
                self.assertEqual(len(services), 2)
                for service in services:
                    self.assertTrue(selects(service["spec"]["selector"], labels))
                    for port in service["spec"]["ports"]:
                        self.assertEqual(ports[port["targetPort"]], port["port"])
                [headless] = [one for one in services if one["spec"].get("clusterIP") == "None"]
                for policy in (one for one in objects if one["kind"] == "NetworkPolicy"):
                    self.assertTrue(selects(policy["spec"]["podSelector"]["matchLabels"], labels))
                    for rule in policy["spec"]["ingress"]:
                        self.assertTrue(all(port["port"] in ports for port in rule["ports"]))
                for monitor in self.monitors(objects):
                    found = headless["metadata"]["labels"] if monitor["kind"] == "ServiceMonitor" else labels
                    self.assertTrue(selects(monitor["spec"]["selector"]["matchLabels"], found))
                    self.assertEqual(found[monitor["spec"]["jobLabel"]], "modelway")
                    endpoints = monitor["spec"].get("endpoints") or monitor["spec"]["podMetricsEndpoints"]
                    self.assertEqual([(one["port"], one["path"]) for one in endpoints], [("probes", "/metrics")])
                account = only(objects, "ServiceAccount")
                self.assertEqual(pod["serviceAccountName"], account["metadata"]["name"])
                self.assertEqual({mount["name"] for mount in container["volumeMounts"]}, {one["name"] for one in pod["volumes"]})
                written = {mount["name"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
                self.assertLessEqual(written, {"data"})
                for volume in pod["volumes"]:
                    if "configMap" in volume:
                        self.assertEqual(volume["configMap"]["name"], configured(objects)["metadata"]["name"])

    def monitors(self, objects):
        for name in ("servicemonitor.yaml", "podmonitor.yaml"):
            monitor = load(BASE / "monitoring" / name)
            if "app.kubernetes.io/instance" not in only(objects, "Deployment")["spec"]["selector"]["matchLabels"]:
                yield monitor
        yield from (one for one in objects if one["kind"] in ("ServiceMonitor", "PodMonitor"))

    def test_alerts_and_dashboards_are_those_of_the_repository_and_are_found_by_their_labels(self):
        [changes] = [changes for name, changes in VALUES.items() if name.startswith("seen by")]
        objects = templates.objects(CHART, values(changes), "modelway")
        rules, boards = only(objects, "PrometheusRule"), only(objects, "ConfigMap", "modelway-dashboards")

        self.assertEqual(rules["spec"], load(DEPLOY / "prometheus" / "rules.yml"))
        for one in (rules, only(objects, "ServiceMonitor")):
            self.assertEqual(one["metadata"]["labels"]["release"], "kube-prometheus-stack")
        self.assertEqual(boards["metadata"]["labels"]["grafana_dashboard"], "1")
        self.assertEqual(boards["metadata"]["annotations"], {"grafana_folder": "Modelway"})
        shipped = {path.name: json.loads(path.read_text()) for path in (DEPLOY / "grafana").glob("*.json")}
        self.assertEqual({name: json.loads(text) for name, text in boards["data"].items()}, shipped)
        # What is applied is kept beside it as an annotation, which may have 256 KiB.
        self.assertLess(len(json.dumps(boards)), 256 * 1024)

    def test_the_dashboards_by_kustomize_are_all_and_have_the_label_of_the_sidecar(self):
        [generator] = load(DEPLOY / "grafana" / "kustomization.yaml")["configMapGenerator"]

        self.assertEqual(sorted(generator["files"]), sorted(path.name for path in (DEPLOY / "grafana").glob("*.json")))
        self.assertEqual(generator["options"]["labels"], values({})["dashboards"]["labels"])

    def test_the_alerts_by_the_documented_command_are_those_of_the_repository(self):
        [command] = documents.documented("tests/deploy/test_kubernetes.py::" + self._testMethodName)
        piped, _, applied = command.partition("| kubectl apply")
        done = run("bash", "-c", piped, cwd=REPOSITORY)

        self.assertEqual(applied.strip(), "--filename -")
        self.assertEqual(done.returncode, 0, done.stderr)
        made = yaml.safe_load(done.stdout)
        self.assertEqual((made["apiVersion"], made["kind"]), ("monitoring.coreos.com/v1", "PrometheusRule"))
        self.assertEqual(made["spec"], load(DEPLOY / "prometheus" / "rules.yml"))

    def test_the_arguments_name_the_mounted_file_and_its_secrets_are_mounted(self):
        for name, objects in sets():
            with self.subTest(name):
                pod = only(objects, "Deployment")["spec"]["template"]["spec"]
                [container] = pod["containers"]
                [*words, path] = container["args"]
                mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
                data = configured(objects)["data"]

                self.assertEqual(words, ["serve", "--config"])
                self.assertIn(str(pathlib.Path(path).parent), mounts)
                self.assertIn(pathlib.Path(path).name, data)
                if "keys" not in [volume["name"] for volume in pod["volumes"]]:
                    continue
                config = tomllib.loads(data["modelway.toml"])
                example = only(load_all(BASE / "secret.example.yaml"), "Secret")
                files = {f"file:/run/secrets/modelway/{key}" for key in example["stringData"]}
                self.assertIn("/run/secrets/modelway", mounts)
                self.assertEqual({one["api_key"] for one in config["providers"].values()}, files)

    def test_the_configuration_passes_the_check(self):
        for name, objects in sets():
            with self.subTest(name), tempfile.TemporaryDirectory() as folder:
                path = pathlib.Path(folder, "modelway.toml")
                path.write_text(configured(objects)["data"]["modelway.toml"])
                done = modelway("check", "--no-secrets", path)
                self.assertEqual(done.returncode, 0, done.stderr)

    def test_the_numbers_of_probes_drain_and_grace_fit(self):
        for name, objects in sets():
            with self.subTest(name):
                pod = only(objects, "Deployment")["spec"]["template"]["spec"]
                [container] = pod["containers"]
                config = tomllib.loads(configured(objects)["data"]["modelway.toml"])
                predrain = seconds(config["server"]["predrain"])
                drain = seconds(config["server"]["drain_timeout"])
                longest = max(
                    seconds(one.get("max_timeout", DEFAULT_MAX_TIMEOUT)) for one in config["scenarios"].values()
                )
                readiness, liveness = container["readinessProbe"], container["livenessProbe"]
                startup = container["startupProbe"]

                self.assertGreaterEqual(predrain, 2 * readiness["periodSeconds"] + FOLLOWING_SECONDS)
                self.assertGreaterEqual(drain, longest)
                self.assertEqual(pod["terminationGracePeriodSeconds"], predrain + drain + LAST_STEPS_SECONDS)
                self.assertNotIn("lifecycle", container)
                self.assertEqual((readiness["periodSeconds"], readiness["failureThreshold"]), (2, 1))
                self.assertEqual((startup["periodSeconds"], startup["failureThreshold"]), (2, 30))
                self.assertEqual(
                    (liveness["periodSeconds"], liveness["timeoutSeconds"], liveness["failureThreshold"]), (10, 5, 6)
                )
                # Liveness asks for the process, readiness for the service; both on the listener for probes.
                self.assertEqual(liveness["grpc"], {"port": 50053, "service": "live"})
                self.assertEqual(readiness["grpc"], {"port": 50053})
                self.assertEqual(config["probes"]["listen"].rpartition(":")[2], "50053")
                self.assertEqual(config["server"]["listen"].rpartition(":")[2], "50051")

    def test_pods_run_with_as_few_rights_as_there_are(self):
        for name, objects in sets():
            with self.subTest(name):
                pod = only(objects, "Deployment")["spec"]["template"]["spec"]
                [container] = pod["containers"]

                self.assertFalse(pod["automountServiceAccountToken"])
                self.assertTrue(pod["securityContext"]["runAsNonRoot"])
                self.assertEqual(pod["securityContext"]["runAsUser"], 65532)
                self.assertEqual(pod["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
                self.assertEqual(
                    container["securityContext"],
                    {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                )
                self.assertIn("memory", container["resources"]["limits"])
                self.assertNotIn("cpu", container["resources"]["limits"])

    def test_only_two_replicas_or_more_have_a_disruption_budget(self):
        for name, objects in sets():
            with self.subTest(name):
                budgets = [one for one in objects if one["kind"] == "PodDisruptionBudget"]
                replicas = only(objects, "Deployment")["spec"]["replicas"]

                self.assertEqual(len(budgets), 1 if replicas > 1 else 0)
                self.assertTrue(all(one["spec"]["maxUnavailable"] == 1 for one in budgets))


class Chart(unittest.TestCase):
    maxDiff = None

    def test_its_values_give_the_base_without_and_with_a_ledger(self):
        def plain(one):
            labels = one["metadata"]["labels"]
            self.assertEqual(labels.pop("app.kubernetes.io/managed-by", "Helm"), "Helm")
            labels.pop("helm.sh/chart", None)
            kept = one["metadata"].pop("annotations", {"helm.sh/resource-policy": "keep"})
            self.assertEqual(kept, {"helm.sh/resource-policy": "keep"})
            return one["kind"], one["metadata"]["name"], one

        def key(one):
            return one[:2]

        for changes, objects in (({}, base()), (VALUES["a ledger"], with_ledger())):
            with self.subTest(changes):
                chart = sorted((plain(one) for one in templates.objects(CHART, values(changes))), key=key)
                self.assertEqual(chart, sorted((plain(one) for one in objects), key=key))

    def test_its_values_fit_their_schema_and_misspelt_ones_do_not(self):
        schema = jsonschema.Draft7Validator(load(CHART / "values.schema.json"))
        cases = [(changes, True) for changes in VALUES.values()]
        cases += [({"ledger": {"enabled": True}}, False), ({"replicas": 2, "ledger": {"enabled": True}}, False)]
        cases += [({"replica": 3}, False), ({"replicas": "3"}, False), ({"networkPolicy": {"enable": False}}, False)]
        for changes, fits in cases:
            with self.subTest(changes):
                self.assertEqual(schema.is_valid(values(changes)), fits)

    def test_its_schema_knows_exactly_its_values(self):
        self.assertEqual(set(load(CHART / "values.schema.json")["properties"]), set(load(CHART / "values.yaml")))

    def test_every_value_is_used(self):
        text = "".join(path.read_text() for path in (CHART / "templates").iterdir())
        for name in load(CHART / "values.yaml"):
            self.assertIn(f".Values.{name}", text)

    def test_what_the_renderer_does_not_know_is_an_error(self):
        for text in ("{{ with .Values }}{{ end }}", "{{ .Values.none }}", "{{ lower .Values.name }}"):
            with self.subTest(text), tempfile.TemporaryDirectory() as folder:
                pathlib.Path(folder, "templates").mkdir()
                pathlib.Path(folder, "templates", "one.yaml").write_text(text)
                with self.assertRaises(templates.TemplateError):
                    templates.Renderer(folder).render({"Values": {"name": "x"}})


if __name__ == "__main__":
    unittest.main()
