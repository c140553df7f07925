from __future__ import annotations

import ast
import shutil
from pathlib import Path

import pytest

from deploy import lint, references

REPOSITORY = Path(__file__).parents[2]
LIFECYCLE = REPOSITORY / "worker" / "lifecycle.py"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of deploy/ to be broken."""
    return Path(shutil.copytree(lint.FOLDER, tmp_path / "deploy", ignore=shutil.ignore_patterns("__pycache__", "*.py")))


def swap(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{path.name} has no {old!r}"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_the_files_of_deploy_are_sound(capsys: pytest.CaptureFixture[str]) -> None:
    assert (lint.main(), capsys.readouterr().out) == (0, "deploy: every file is sound\n")


def test_every_broken_file_is_named_and_the_exit_status_is_1(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    swap(folder / "docker" / "Dockerfile", "WORKDIR /app", "WORKDIR app")
    swap(folder / "compose.yaml", "ports:", "portz:")
    swap(folder / "kubernetes" / "api-deployment.yaml", "replicas: 2", "replicas: two")
    swap(folder / "kubernetes" / "api-service.yaml", "targetPort", "tragetPort")
    swap(folder / "kubernetes" / "keda-scaledobject.yaml", "pollingInterval", "pollInterval")
    swap(folder / "kubernetes" / "keda-authentication.yaml", "secretTargetRef", "secretRef")
    swap(folder / "kubernetes" / "kustomization.yaml", "resources:", "resource:")
    (folder / ".env.example").unlink()
    (folder / "kubernetes" / "monitor.yaml").write_text("{apiVersion: example.com/v1, kind: Monitor}", encoding="utf-8")
    (folder / "kubernetes" / "two.yaml").write_text("kind: Job\n---\nkind: Job\n", encoding="utf-8")

    assert lint.main(folder) == 1

    report = capsys.readouterr().out
    for sign in (
        "DL3000",  # hadolint's rule on absolute paths
        "portz",
        "api-deployment.yaml",
        "api-service.yaml",
        "pollInterval",
        "secretRef",
        "'resources' is a required property",
        "kind Monitor",
        "two.yaml: not one document",
        "unexplained_variables: FileNotFoundError",
        "unknown_images: ComposerError",  # two.yaml again
    ):
        assert sign in report


def test_a_setting_that_no_class_has_is_found_wherever_it_is_written(folder: Path) -> None:
    swap(folder / "kubernetes" / "worker-deployment.yaml", "RESTYLE_MEMORY_MB", "RESTYLE_MEMORY_MIB")
    swap(folder / "kubernetes" / "configmap.yaml", "RESTYLE_QUEUE", "RESTYLE_QUEUES")
    swap(folder / "compose.yaml", "RESTYLE_S3_REGION", "RESTYLE_REGION")
    swap(folder / "docker" / "Dockerfile", "RESTYLE_HOST", "RESTYLE_ADDRESS")
    assert [fault.rsplit(" ", 1)[1] for fault in references.unknown_settings(folder)] == [
        "RESTYLE_ADDRESS",
        "RESTYLE_REGION",
        "RESTYLE_QUEUES",
        "RESTYLE_MEMORY_MIB",
    ]


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("compose.yaml", "target: worker-cuda", "target: worker-gpu"),
        ("compose.yaml", "image: restyle-api:0.1.0", "image: restyle-web:0.1.0"),
        ("kubernetes/worker-deployment.yaml", "image: restyle-worker-cuda:", "image: restyle-worker:"),
        ("kubernetes/kustomization.yaml", "name: restyle-worker-cuda", "name: restyle-worker"),
        ("docker/Dockerfile", "AS worker-cuda\n", "AS worker-gpu\n"),
    ],
)
def test_an_image_that_the_dockerfile_does_not_make_is_found(folder: Path, file: str, old: str, new: str) -> None:
    swap(folder / file, old, new)
    assert list(references.unknown_images(folder))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("COPY jobs jobs", "COPY job jobs", "COPY job: there is no such path"),
        ("COPY api api", "COPY README.md api", "COPY README.md: .dockerignore keeps it out"),
    ],
)
def test_a_source_that_a_build_does_not_get_is_found(folder: Path, old: str, new: str, said: str) -> None:
    swap(folder / "docker" / "Dockerfile", old, new)
    assert any(said in fault for fault in references.missing_sources(folder))


def test_a_secret_that_the_example_does_not_explain_is_found(folder: Path) -> None:
    swap(folder / ".env.example", "S3_SECRET_KEY=", "S3_SECRET=")
    assert [fault for fault in references.unexplained_variables(folder) if "S3_SECRET_KEY" in fault]


def test_a_manifest_that_kustomize_would_forget_is_found_and_one_that_is_missing_too(folder: Path) -> None:
    swap(folder / "kubernetes" / "kustomization.yaml", "  - api-pdb.yaml\n", "  - api-budget.yaml\n")
    assert [fault.partition(": ")[2] for fault in references.loose_manifests(folder)] == [
        "api-budget.yaml is not there",
        "api-pdb.yaml is not in its resources",
    ]


def test_a_worker_is_given_more_time_to_stop_than_it_takes() -> None:
    [stop_seconds] = [
        ast.literal_eval(line.value)
        for line in ast.parse(LIFECYCLE.read_text(encoding="utf-8")).body
        if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "STOP_SECONDS"
    ]
    compose = references.read_yaml(lint.FOLDER / "compose.yaml")["services"]
    deployment = references.read_yaml(lint.FOLDER / "kubernetes" / "worker-deployment.yaml")

    patience = [float(compose[name]["stop_grace_period"].removesuffix("s")) for name in ("worker", "worker-gpu")]
    patience.append(deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"])

    assert min(patience) >= stop_seconds + 10
