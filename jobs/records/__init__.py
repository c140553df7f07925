"""The rows, and when each column changes.

`items` and `results` are appended and never updated; `shards`, and a few `sums`, are the only rows that change while
work runs.
Whoever imports one record imports all: tables refer to one another, and a part of them is no schema.
"""

from jobs.records.engines import EngineRecord
from jobs.records.events import EventRecord, WebhookDeliveryRecord, WebhookRecord
from jobs.records.items import (
    BadRowRecord,
    ItemErrorRecord,
    ItemRecord,
    ResultPartRecord,
    ResultRecord,
    ShardRecord,
    SumRecord,
)
from jobs.records.jobs import JobRecord
from jobs.records.record import Figures, Json, Record, UtcDateTime
from jobs.records.tenants import ApiKeyRecord, StyleRecord, TenantRecord

__all__ = [
    "ApiKeyRecord",
    "BadRowRecord",
    "EngineRecord",
    "EventRecord",
    "Figures",
    "ItemErrorRecord",
    "ItemRecord",
    "JobRecord",
    "Json",
    "Record",
    "ResultPartRecord",
    "ResultRecord",
    "ShardRecord",
    "StyleRecord",
    "SumRecord",
    "TenantRecord",
    "UtcDateTime",
    "WebhookDeliveryRecord",
    "WebhookRecord",
]
