from __future__ import annotations

from pathlib import Path

import pytest

from deploy.settings_reference import SECTIONS, reference, variable, variables
from jobs.settings import Settings

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"


def test_the_page_is_what_the_settings_classes_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(), (
        "run: python -m deploy.settings_reference docs/reference/settings.md"
    )


@pytest.mark.parametrize("name", sorted(variables()))
def test_every_setting_has_one_row_that_says_what_it_means(name: str) -> None:
    [row] = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith(f"| `{name}` |")]
    default, accepts, meaning = row.removesuffix(" |").split(" | ")[1:]
    assert default
    assert accepts
    assert len(meaning.split()) >= 3


def test_every_settings_class_is_on_the_page() -> None:
    found, classes = set(), [Settings]
    while classes:
        each = classes.pop()
        found.add(each)
        classes.extend(each.__subclasses__())
    assert found == set(SECTIONS.values())


def test_the_page_names_no_folder_of_the_machine_that_wrote_it() -> None:
    assert str(PAGE.parents[2]) not in PAGE.read_text(encoding="utf-8")


def test_a_variable_is_the_prefix_and_the_field() -> None:
    assert variable("database_url") == "RESTYLE_DATABASE_URL"
