"""Whose turn it is: weighted fairness between tenants that have work of the same priority. Pure: no I/O.

Start-time fair queueing (Goyal, Vin and Cheng 1996, section 2), with shards as packets. Each shard starts at a virtual
time, and finishes its items ÷ its tenant's weight later; a tenant's next shard starts where its last one finished. The
tenant whose next shard starts first is next. So over any stretch in which two tenants have work, their items divided
by their weights differ by no more than a shard's of each.

- Nobody starts before the latest start of any rival: being away, or new, earns no credit for that time.
- Virtual time passes only where there is a choice: a tenant that has the workers to itself owes nothing for it.
- At equal times the one that has waited longest is next. A small job beside a large one waits for one shard of the
  other before each of its own, so that it takes twice the claims that it would take alone, and no more.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass

NEVER = datetime.datetime.min.replace(tzinfo=datetime.UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What a tenant was given so far, where it had rivals."""

    tenant_id: str
    weight: float = 1.0
    started: float = 0.0  # virtual time at which its last shard started
    finished: float = 0.0  # and finished: items ÷ weight later
    served_at: datetime.datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A tenant in the order of service."""

    tenant_id: str
    starts: float  # virtual time at which its next shard starts


def turns(shares: Iterable[Share]) -> list[Turn]:
    """Put tenants that all have work of one priority into the order in which to serve them."""
    rivals = list(shares)
    now = max((share.started for share in rivals), default=0.0)
    starts = {share.tenant_id: max(share.finished, now) for share in rivals}
    rivals.sort(key=lambda share: (starts[share.tenant_id], share.served_at or NEVER, share.tenant_id))
    return [Turn(tenant_id=share.tenant_id, starts=starts[share.tenant_id]) for share in rivals]
