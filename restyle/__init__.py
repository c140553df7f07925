"""What a user imports and types: the HTTP client, and the `restyle` command on top of it.

The client loads httpx and nothing else. The command adds click and rich; the embedded stack starts the other parts as
processes and imports none of them.
"""

from __future__ import annotations

from restyle.client import Client
from restyle.errors import Problem, RestyleError

__all__ = ["Client", "Problem", "RestyleError"]
