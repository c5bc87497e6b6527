#!/usr/bin/env python3
"""Writes the bill of materials of the program: each crate that is built into it, as CycloneDX 1.6 in JSON.

    python3 deploy/release/sbom.py x86_64-unknown-linux-gnu > modelway.cdx.json

What is listed comes from `cargo metadata` for the target, checksums from Cargo.lock. Crates for tests are left out; crates
that only run while building are listed as `excluded`, since they are no part of the program. The same sources give the same
bytes.
"""

import json
import pathlib
import subprocess
import sys
import tomllib
import uuid

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def metadata(target):
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", target]
    return json.loads(subprocess.check_output(command, cwd=REPOSITORY))


def reached(nodes, roots, wanted):
    """The packages that are reached by dependencies of a wanted kind, the roots included."""
    found, waiting = set(roots), list(roots)
    while waiting:
        for dependency in nodes[waiting.pop()]["deps"]:
            kinds = {kind["kind"] for kind in dependency["dep_kinds"]}
            if kinds & wanted and dependency["pkg"] not in found:
                found.add(dependency["pkg"])
                waiting.append(dependency["pkg"])
    return found


def component(package, checksum, scope):
    name, version = package["name"], package["version"]
    purl = f"pkg:cargo/{name}@{version}"
    entry = {"type": "library", "bom-ref": purl, "name": name, "version": version, "scope": scope, "purl": purl}
    if checksum:
        entry["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    if package["license"]:
        # Crates of before 2018 write `/` for OR.
        expression = package["license"].replace("/", " OR ").replace("  ", " ")
        entry["licenses"] = [{"expression": expression}]
    if (package["repository"] or "").startswith("http"):
        entry["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return entry


def bill(target):
    data = metadata(target)
    packages = {package["id"]: package for package in data["packages"]}
    nodes = {node["id"]: node for node in data["resolve"]["nodes"]}
    root = data["resolve"]["root"]
    lock = tomllib.loads((REPOSITORY / "Cargo.lock").read_text())
    checksums = {(one["name"], one["version"]): one.get("checksum") for one in lock["package"]}
    # A macro runs in the compiler: neither it nor what it uses is in the program.
    macros = {one for one, package in packages.items() if any("proc-macro" in made["kind"] for made in package["targets"])}
    runs = {node: {**entry, "deps": [] if node in macros else entry["deps"]} for node, entry in nodes.items()}
    built_in = reached(runs, [root], {None}) - macros
    everything = reached(nodes, [root], {None, "build"})

    def reference(one):
        return f"pkg:cargo/{packages[one]['name']}@{packages[one]['version']}"

    components = [
        component(
            packages[one],
            checksums.get((packages[one]["name"], packages[one]["version"])),
            "required" if one in built_in else "excluded",
        )
        for one in sorted(everything - {root}, key=reference)
    ]
    dependencies = [
        {
            "ref": reference(one),
            "dependsOn": sorted({reference(dependency["pkg"]) for dependency in nodes[one]["deps"] if dependency["pkg"] in everything}),
        }
        for one in sorted(everything, key=reference)
    ]
    main = {**component(packages[root], None, "required"), "type": "application"}
    content = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": main, "properties": [{"name": "modelway:target", "value": target}]},
        "components": components,
        "dependencies": dependencies,
    }
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(content, sort_keys=True))
    return {**content, "serialNumber": f"urn:uuid:{serial}"}


if __name__ == "__main__":
    json.dump(bill(sys.argv[1]), sys.stdout, indent=2)
    print()
