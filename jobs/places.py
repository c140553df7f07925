"""Where the keys of a manifest lead, and whether they may."""

from __future__ import annotations

from typing import Any

from jobs.errors import InvalidRequest, Problem
from jobs.locations import MAX_KEY_BYTES, Location, check_allowed
from jobs.refusals import refusal

MASK_KEY = "mask_key"  # the column that names a row's mask, relative to where its `key` is; an attribute of the item


class Places:
    """What the keys of a manifest are held against."""

    def __init__(self, base: Location, output: Location, allowed: list[Location]) -> None:
        self.base = base  # of relative keys
        self.base_url = str(base)
        self._output = output
        self._allowed = allowed
        self._all_good = any(map(base.within, allowed)) and not base.within(output)
        # Below the base, keys that begin like these take a closer look.
        self._odd = ("/", output.key[len(base.key) :].rstrip("/")) if output.within(base) else ("/",)
        self._room_bytes = MAX_KEY_BYTES - len(base.key.encode())

    def is_plain(self, key: str) -> bool:
        """Whether this is surely a good name for a picture below the base. Says no where it takes a closer look."""
        fits = self._all_good and len(key) <= self._room_bytes and key.isascii()
        return fits and "//" not in key and not key.startswith(self._odd)

    def picture(self, key: str, field: str = "key") -> Location:
        """Return where the key of a picture leads.

        Raises:
            InvalidRequest: it leads nowhere, out of what the tenant may read, or into the job's own output.

        """
        location = self._locate(key, field)
        if location.within(self._output):
            remedy = "choose a picture that lies outside the job's output"
            raise refusal(field, key, remedy, code="key_in_output")
        return location

    def with_mask(self, attributes: dict[str, Any]) -> dict[str, Any]:
        """Return a row's attributes with the place of its mask in full; without one where it names none.

        Raises:
            InvalidRequest: the mask's key is none, or leads where the tenant may not read.

        """
        rest = dict(attributes)
        key = rest.pop(MASK_KEY)
        if key is None or key == "":
            return rest
        if not isinstance(key, str):
            raise InvalidRequest(Problem(field=MASK_KEY, value=key, remedy="write it as text"), code="mask_key_invalid")
        return rest | {MASK_KEY: str(self._locate(key, MASK_KEY))}

    def _locate(self, key: str, field: str) -> Location:
        location = Location.parse(key, field=field) if "://" in key else self.base.child(key, field=field)
        check_allowed(location, self._allowed, field)
        return location
