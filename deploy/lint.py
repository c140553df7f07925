"""Checks the files of deploy/ against their schemas and against the code: `python -m deploy.lint`. No network.

Says what is wrong, a line or a tool's report each, and exits with 1; says that nothing is and exits with 0 otherwise.
"""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from ruamel.yaml.error import YAMLError

from deploy import references

FOLDER = Path(__file__).parent
SCRIPTS = Path(sysconfig.get_path("scripts"))  # the tools come with the environment that runs this
PASSED_OVER = "WARN"  # how kubernetes-validate says that it has no schema for a kind, with exit status 0
MISSHAPEN = (AttributeError, KeyError, OSError, TypeError, YAMLError)  # missing, not YAML, or a list for a mapping


def faults(folder: Path) -> Iterator[str]:
    """Yield everything that is wrong with a copy of deploy/."""
    yield from _reported("hadolint", "--no-color", folder / "docker" / "Dockerfile")
    yield from _reported("check-jsonschema", "--builtin-schema", "vendor.compose-spec", folder / "compose.yaml")
    yield from _kubernetes(folder / "kubernetes")
    for check in references.CHECKS:
        try:
            yield from check(folder)
        except MISSHAPEN as error:
            yield f"{check.__name__}: {type(error).__name__}: {error}"


def _kubernetes(folder: Path) -> Iterator[str]:
    """Check each manifest against Kubernetes' own schema, or against one of ours for what Kubernetes lacks."""
    built_in = []
    for path in sorted(folder.glob("*.yaml")):
        try:
            document = references.read_yaml(path)
            schema = folder / "schemas" / f"{document['kind'].lower()}.json"
        except MISSHAPEN as error:
            yield f"{path}: not one document with a kind: {error}"
            continue
        if not schema.exists():
            built_in.append(path)
            continue
        for fault in Draft202012Validator(json.loads(schema.read_text(encoding="utf-8"))).iter_errors(document):
            yield f"{path}: {fault.json_path}: {fault.message}"
    yield from _reported("kubernetes-validate", "--strict", "--quiet", *built_in)


def _reported(tool: str, *arguments: str | Path) -> Iterator[str]:
    """Run a tool; yield its report if it finds a fault, or passes over a file."""
    run = subprocess.run([SCRIPTS / tool, *arguments], capture_output=True, text=True, check=False)
    report = (run.stdout + run.stderr).strip()
    if run.returncode or PASSED_OVER in report:
        yield f"{tool}: {report or f'exit status {run.returncode}'}"


def main(folder: Path = FOLDER) -> int:
    """Report on deploy/, or on a copy of it."""
    found = list(faults(folder))
    sys.stdout.write("".join(f"{fault}\n" for fault in found) or "deploy: every file is sound\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:2])))
