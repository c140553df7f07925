"""What the files of deploy/ name must exist: settings, images, sources, secrets, manifests. No schema knows these.

Every check takes the folder and returns its faults, one line each.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from deploy.settings_reference import variables

REPOSITORY = Path(__file__).parent.parent  # what an image is built from, wherever the checked folder lies
TARGET = re.compile(r"^FROM .* AS ([\w-]+)$", re.MULTILINE)
COPIED = re.compile(r"^COPY (?!--from)(.+) \S+$", re.MULTILINE)
SETTING = re.compile(r"\bRESTYLE_[A-Z0-9_]+")
INTERPOLATED = re.compile(r"\$\{(\w+)")
BUILT = "restyle-"  # image names are this and a target of the Dockerfile


def read_yaml(path: Path) -> Any:
    """Return the one document of a file.

    Raises:
        ruamel.yaml.error.YAMLError: it is not YAML, or holds several documents.

    """
    return YAML(typ="safe", pure=True).load(path)


def unknown_settings(folder: Path) -> Iterator[str]:
    """Find variables that no process reads: renamed, or misspelt."""
    for path in _texts(folder):
        for name in sorted(set(SETTING.findall(path.read_text(encoding="utf-8"))) - variables()):
            yield f"{path}: no settings class has {name}"


def unknown_images(folder: Path) -> Iterator[str]:
    """Find images and build targets of ours that the Dockerfile does not make."""
    targets = set(TARGET.findall(_dockerfile(folder).read_text(encoding="utf-8")))
    for path in _manifests(folder):
        for place, image in _images(read_yaml(path)):
            target = image.rsplit("/", 1)[-1].partition(":")[0].removeprefix(BUILT)
            if target not in targets:
                yield f"{path}: {place} {image}: the Dockerfile has no target {target}"


def missing_sources(folder: Path) -> Iterator[str]:
    """Find what the Dockerfile copies and the repository lacks, or .dockerignore keeps out."""
    let_in = {line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for line in COPIED.findall(_dockerfile(folder).read_text(encoding="utf-8")):
        for source in line.split():
            if not (REPOSITORY / source).exists():
                yield f"{_dockerfile(folder)}: COPY {source}: there is no such path"
            if source.split("/")[0] not in let_in:
                yield f"{_dockerfile(folder)}: COPY {source}: .dockerignore keeps it out"


def unexplained_variables(folder: Path) -> Iterator[str]:
    """Find variables that compose asks for and .env.example does not have."""
    known = re.findall(r"^(\w+)=", (folder / ".env.example").read_text(encoding="utf-8"), re.MULTILINE)
    compose = folder / "compose.yaml"
    for name in sorted(set(INTERPOLATED.findall(compose.read_text(encoding="utf-8"))) - set(known)):
        yield f"{compose}: {name} is not in .env.example"


def loose_manifests(folder: Path) -> Iterator[str]:
    """Find manifests that kustomize does not apply, and those that it names and nobody wrote."""
    home = folder / "kubernetes"
    named = set(read_yaml(home / "kustomization.yaml").get("resources", ()))
    there = {path.name for path in home.glob("*.yaml") if not path.name.endswith(".example.yaml")}
    for name in sorted(named ^ (there - {"kustomization.yaml"})):
        fault = "is not there" if name in named else "is not in its resources"
        yield f"{home / 'kustomization.yaml'}: {name} {fault}"


CHECKS = (unknown_settings, unknown_images, missing_sources, unexplained_variables, loose_manifests)


def _dockerfile(folder: Path) -> Path:
    return folder / "docker" / "Dockerfile"


def _manifests(folder: Path) -> list[Path]:
    return [folder / "compose.yaml", *sorted((folder / "kubernetes").glob("*.yaml"))]


def _texts(folder: Path) -> list[Path]:
    return [_dockerfile(folder), folder / ".env.example", *_manifests(folder)]


def _images(node: Any) -> Iterator[tuple[str, str]]:
    """Walk a document; yield where it names an image of ours, and the image or the target."""
    if isinstance(node, dict):
        for place, value in node.items():
            if place == "images":  # kustomize's replacements: an image that no manifest has would be ignored
                yield from (("images", image["name"]) for image in value)
            elif place == "build":
                yield "target", value["target"]
            elif place == "image" and value.startswith(BUILT):
                yield place, value
            else:
                yield from _images(value)
    elif isinstance(node, list):
        for value in node:
            yield from _images(value)
