"""The API's description. `python -m api.openapi` prints it, for docs/reference/openapi.json."""

from __future__ import annotations

import json
import sys
from typing import Any

PROBLEM = "#/components/schemas/ProblemDetails"
NO_KEY = {
    "description": "This service has tenants, and the request carries no key that it knows.",
    "headers": {"WWW-Authenticate": {"description": "`Bearer`.", "schema": {"type": "string"}}},
    "content": {"application/problem+json": {"schema": {"$ref": PROBLEM}}},
}


def with_problem_media_type(description: dict[str, Any]) -> dict[str, Any]:
    """Give every answer that is a problem its own media type, which the framework has no word for.

    Also declare the answer to a request without a key, where one may be asked for.
    """
    for path in description["paths"].values():
        for operation in path.values():
            if "security" in operation:
                operation["responses"] = dict(sorted(({"401": NO_KEY} | operation["responses"]).items()))
            for answer in operation["responses"].values():
                for content in answer.get("content", {}).values():
                    if content.get("schema", {}).get("$ref") == PROBLEM:
                        answer["content"] = {"application/problem+json": content}
    return description


def text() -> str:
    """Return the description as it is kept in the repository."""
    from api.app import create_app
    from api.settings import ApiSettings

    return json.dumps(create_app(ApiSettings()).openapi(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
