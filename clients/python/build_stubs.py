"""The build backend: generates the stubs from the contract, then lets setuptools build.

Inside the repository the contract is `proto/`. A source distribution holds what was generated, so that it builds
anywhere.
"""

import os
import pathlib
import shutil
import subprocess
import sys

from setuptools import build_meta
from setuptools.build_meta import (  # noqa: F401 (the hooks that need nothing generated)
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
)

HERE = pathlib.Path(__file__).resolve().parent
PROTO = HERE.parent.parent / "proto"
PACKAGE = HERE / "src" / "modelway"


def generate():
    """Writes `modelway/v1` and the service config, unless this is a source distribution."""
    if not PROTO.is_dir():
        return
    generated = PACKAGE / "v1"
    # What an earlier build left would end up in the wheel.
    for old in [generated, HERE / "build"]:
        shutil.rmtree(old, ignore_errors=True)
    out = PACKAGE.parent
    outs = [f"--{kind}_out={out}" for kind in ["python", "grpc_python", "mypy", "mypy_grpc"]]
    files = sorted(str(path) for path in PROTO.rglob("*.proto"))
    # The plugins for types stand beside the interpreter of the build's environment.
    beside = str(pathlib.Path(sys.executable).parent)
    environment = {**os.environ, "PATH": os.pathsep.join([beside, os.environ.get("PATH", "")])}
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTO}", *outs, *files]
    subprocess.run(command, check=True, env=environment)
    (generated / "__init__.py").write_text('"""The messages and services of the package modelway.v1."""\n')
    shutil.copy(PROTO / "service_config.json", PACKAGE)


def build_wheel(*arguments, **settings):
    generate()
    return build_meta.build_wheel(*arguments, **settings)


def build_sdist(*arguments, **settings):
    generate()
    return build_meta.build_sdist(*arguments, **settings)


def build_editable(*arguments, **settings):
    generate()
    return build_meta.build_editable(*arguments, **settings)


def prepare_metadata_for_build_wheel(*arguments, **settings):
    generate()
    return build_meta.prepare_metadata_for_build_wheel(*arguments, **settings)


def prepare_metadata_for_build_editable(*arguments, **settings):
    generate()
    return build_meta.prepare_metadata_for_build_editable(*arguments, **settings)
