"""The compose file and what it mounts: known to their schemas, complete, and closed to the network."""

import pathlib
import re
import unittest

from tools import DEPLOY, REPOSITORY, SCRIPTS, load, modelway, promtool, run

COMPOSE = REPOSITORY / "docker-compose.yml"
MODELWAY = DEPLOY / "compose" / "modelway.toml"


def services():
    return load(COMPOSE)["services"]


def mounts(service):
    """Where each mounted path of the repository is found in the container."""
    for volume in service.get("volumes", []):
        source, target, *_ = volume.split(":")
        if source.startswith("./"):
            yield REPOSITORY / source, pathlib.PurePosixPath(target)


class Compose(unittest.TestCase):
    def test_the_schema_of_compose_files_accepts_it(self):
        done = run(SCRIPTS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE)

        self.assertEqual(done.returncode, 0, done.stdout)

    def test_what_is_mounted_is_there_and_volumes_are_declared(self):
        declared = set(load(COMPOSE)["volumes"])
        for name, service in services().items():
            for source, _ in mounts(service):
                self.assertTrue(source.exists(), f"{name}: {source}")
            named = {volume.split(":")[0] for volume in service.get("volumes", []) if volume[0] not in "./"}
            self.assertLessEqual(named, declared, name)

    def test_each_file_that_a_command_names_is_mounted_under_its_name(self):
        for name, service in services().items():
            for word in service.get("command", []):
                path = word.rpartition("=")[2]
                if not re.search(r"\.(toml|ya?ml)$", path):
                    continue
                found = [
                    source / pathlib.PurePosixPath(path).relative_to(target)
                    for source, target in mounts(service)
                    if pathlib.PurePosixPath(path).is_relative_to(target)
                ]
                self.assertTrue(any(one.exists() for one in found), f"{name}: {path}")

    def test_every_port_is_open_to_this_machine_alone(self):
        ports = [port for service in services().values() for port in service.get("ports", [])]

        self.assertTrue(ports)
        self.assertTrue(all(port.startswith("127.0.0.1:") for port in ports), ports)

    def test_every_service_starts_again_and_each_image_has_a_version(self):
        for name, service in services().items():
            self.assertEqual(service["restart"], "unless-stopped", name)
            if "image" in service:
                self.assertRegex(service["image"], r":v?\d+\.\d+\.\d+$")
            for other in service.get("depends_on", {}):
                self.assertIn(other, services())

    def test_the_grace_is_longer_than_predrain_and_drain(self):
        # The configuration has the default drain of 60 s.
        text = MODELWAY.read_text()
        self.assertIn('predrain = "1s"', text)
        self.assertNotIn("drain_timeout", text)
        grace = int(services()["modelway"]["stop_grace_period"].removesuffix("s"))
        self.assertGreaterEqual(grace, 1 + 60 + 10)

    def test_the_configuration_passes_the_check(self):
        done = modelway("check", MODELWAY)

        self.assertEqual(done.returncode, 0, done.stderr)


class Surroundings(unittest.TestCase):
    def test_promtool_accepts_the_configuration_of_prometheus(self):
        # `rules.yml` is mounted beside the file.
        path = DEPLOY / "compose" / "prometheus.yml"
        done = promtool("check", "config", "--syntax-only", path)

        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        jobs = [job["job_name"] for job in load(path)["scrape_configs"]]
        self.assertIn("modelway", jobs)
        self.assertEqual(load(path)["rule_files"], ["rules.yml"])

    def test_every_host_is_a_service_of_the_compose_file(self):
        names = set(services())
        text = "".join(path.read_text() for path in (DEPLOY / "compose").rglob("*") if path.is_file())
        hosts = re.findall(r"(?:endpoint: |http://|targets: \[\")([a-z]+):\d+", text)

        self.assertEqual({"collector", "jaeger", "prometheus", "modelway"}, set(hosts) & names)
        self.assertEqual(set(hosts) - names, set())

    def test_the_pipelines_of_the_collector_name_what_it_has(self):
        config = load(DEPLOY / "compose" / "collector.yml")
        for pipeline in config["service"]["pipelines"].values():
            for kind in ("receivers", "processors", "exporters"):
                self.assertLessEqual(set(pipeline[kind]), set(config[kind]))
        self.assertEqual(set(config), {"receivers", "processors", "exporters", "service"})

    def test_grafana_finds_its_data_source_and_the_dashboard(self):
        grafana = services()["grafana"]
        targets = dict((target, source) for source, target in mounts(grafana))
        [provider] = load(DEPLOY / "compose" / "grafana" / "dashboards.yml")["providers"]
        folder = targets[pathlib.PurePosixPath(provider["options"]["path"])]
        home = pathlib.PurePosixPath(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
        [source] = load(DEPLOY / "compose" / "grafana" / "datasources.yml")["datasources"]

        self.assertTrue((folder / home.name).exists())
        self.assertEqual(source["type"], "prometheus")
        self.assertTrue(source["isDefault"])


if __name__ == "__main__":
    unittest.main()
