"""jobs, items, shards, results, styles; tenants, events and webhooks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(JSONB(), "postgresql")
FIGURES = sa.JSON().with_variant(ARRAY(sa.REAL()), "postgresql")


def upgrade() -> None:
    op.create_table(
        "engines",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("facts", JSON, nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_engines")),
    )
    op.create_table(
        "styles",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("references", JSON, nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_styles")),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("uq_styles_tenant_id_name")),
    )
    op.create_table(
        "tenants",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("allowed_prefixes", JSON, nullable=True),
        sa.Column("weight", sa.Float(), nullable=False),
        sa.Column("max_workers", sa.Integer(), nullable=True),
        sa.Column("max_items_per_minute", sa.Integer(), nullable=True),
        sa.Column("virtual_time", sa.Float(), nullable=False),
        sa.Column("virtual_start", sa.Float(), nullable=False),
        sa.Column("served_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("rate_balance", sa.Float(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("weight > 0", name=op.f("ck_tenants_weight_above_zero")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tenants")),
    )
    op.create_table(
        "webhooks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("kinds", JSON, nullable=True),
        sa.Column("secrets", JSON, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhooks")),
    )
    op.create_index("ix_webhooks_tenant_id", "webhooks", ["tenant_id"], unique=False)

    op.create_table(
        "api_keys",
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_api_keys_tenant_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_api_keys")),
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "planning",
                "queued",
                "running",
                "paused",
                "cancelling",
                "finishing",
                "ended",
                name="state",
                native_enum=False,
                create_constraint=True,
                length=16,
            ),
            nullable=False,
        ),
        sa.Column(
            "outcome",
            sa.Enum(
                "succeeded",
                "partial",
                "failed",
                "cancelled",
                "expired",
                name="outcome",
                native_enum=False,
                create_constraint=True,
                length=16,
            ),
            nullable=True,
        ),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("recipe", JSON, nullable=False),
        sa.Column("recipe_fingerprint", sa.Text(), nullable=False),
        sa.Column("style_id", sa.Uuid(), nullable=True),
        sa.Column("source", JSON, nullable=False),
        sa.Column("output_url", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("request_sha256", sa.Text(), nullable=False),
        sa.Column("planned_item_count", sa.Integer(), nullable=False),
        sa.Column("planned_shard_count", sa.Integer(), nullable=False),
        sa.Column("bad_row_count", sa.Integer(), nullable=False),
        sa.Column("passed_over_count", sa.Integer(), nullable=False),
        sa.Column("plan_cursor", sa.Text(), nullable=True),
        sa.Column("error", JSON, nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("max_workers", sa.Integer(), nullable=True),
        sa.Column("not_before_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deadline_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failure_policy", JSON, nullable=False),
        sa.Column("require_confirmation", sa.Boolean(), nullable=False),
        sa.Column("pause_reason", JSON, nullable=True),
        sa.Column(
            "cancel_mode",
            sa.Enum("now", "drain", name="cancel_mode", native_enum=False, create_constraint=True, length=16),
            nullable=True,
        ),
        sa.Column("parent_job_id", sa.Uuid(), nullable=True),
        sa.Column("counts_at_resume", JSON, nullable=True),
        sa.Column("rescued_count", sa.Integer(), nullable=False),
        sa.Column("retention_days", sa.Integer(), nullable=True),
        sa.Column("outputs_expire", sa.Boolean(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_token", sa.BigInteger(), nullable=False),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_attempt", sa.Integer(), nullable=False),
        sa.Column("worker_id", sa.Uuid(), nullable=True),
        sa.Column("presence_key", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("planned_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancelling_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expired_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(state = 'ended') = (outcome IS NOT NULL)", name=op.f("ck_jobs_outcome_when_ended")),
        sa.ForeignKeyConstraint(
            ["parent_job_id"], ["jobs.id"], name=op.f("fk_jobs_parent_job_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["style_id"], ["styles.id"], name=op.f("fk_jobs_style_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        sa.UniqueConstraint("tenant_id", "idempotency_key", name=op.f("uq_jobs_tenant_id_idempotency_key")),
    )
    op.create_index(
        "ix_jobs_expires_at",
        "jobs",
        ["expires_at"],
        unique=False,
        postgresql_where=sa.text("expires_at IS NOT NULL"),
        sqlite_where=sa.text("expires_at IS NOT NULL"),
    )
    op.create_index(
        "ix_jobs_presence_key",
        "jobs",
        ["presence_key"],
        unique=False,
        postgresql_where=sa.text("presence_key IS NOT NULL"),
        sqlite_where=sa.text("presence_key IS NOT NULL"),
    )
    op.create_index(
        "ix_jobs_open",
        "jobs",
        ["queue", "tenant_id", sa.text("priority DESC"), "id"],
        unique=False,
        postgresql_where=sa.text("state <> 'ended'"),
        sqlite_where=sa.text("state <> 'ended'"),
    )
    op.create_index(
        "ix_jobs_deadline_at",
        "jobs",
        ["deadline_at"],
        unique=False,
        postgresql_where=sa.text("deadline_at IS NOT NULL AND state <> 'ended'"),
        sqlite_where=sa.text("deadline_at IS NOT NULL AND state <> 'ended'"),
    )
    op.create_index("ix_jobs_parent_job_id", "jobs", ["parent_job_id"], unique=False)
    op.create_index("ix_jobs_tenant_id_id", "jobs", ["tenant_id", "id"], unique=False)

    op.create_table(
        "bad_rows",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("row_no", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_bad_rows_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "row_no", name=op.f("pk_bad_rows")),
    )
    op.create_table(
        "events",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(always=False), nullable=False
        ),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("data", JSON, nullable=False),
        sa.Column("happened_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_events_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
    )
    op.create_index("ix_events_job_id_id", "events", ["job_id", "id"], unique=False)

    op.create_table(
        "items",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("item_no", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("product_id", sa.Text(), nullable=True),
        sa.Column("source_url", sa.Text(), nullable=False),
        sa.Column("output_key", sa.Text(), nullable=False),
        sa.Column("output_key_digest", sa.LargeBinary(length=16), nullable=False),
        sa.Column("attributes", JSON, nullable=True),
        sa.PrimaryKeyConstraint("job_id", "item_no", name=op.f("pk_items")),
        sa.UniqueConstraint("job_id", "output_key_digest", name=op.f("uq_items_job_id_output_key_digest")),
    )
    op.create_table(
        "shards",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("shard_no", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("first_item_no", sa.Integer(), nullable=False),
        sa.Column("end_item_no", sa.Integer(), nullable=False),
        sa.Column("item_count", sa.Integer(), nullable=False),
        sa.Column(
            "state",
            sa.Enum("ready", "leased", "ended", name="state", native_enum=False, create_constraint=True, length=16),
            nullable=False,
        ),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("lease_token", sa.BigInteger(), nullable=False),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("worker_id", sa.Uuid(), nullable=True),
        sa.Column("presence_key", sa.BigInteger(), nullable=True),
        sa.Column("available_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("postponed_count", sa.Integer(), nullable=False),
        sa.Column("succeeded_count", sa.Integer(), nullable=False),
        sa.Column("reused_count", sa.Integer(), nullable=False),
        sa.Column("rejected_count", sa.Integer(), nullable=False),
        sa.Column("failed_count", sa.Integer(), nullable=False),
        sa.Column("cancelled_count", sa.Integer(), nullable=False),
        sa.Column("measures", JSON, nullable=True),
        sa.CheckConstraint("(state = 'leased') = (worker_id IS NOT NULL)", name=op.f("ck_shards_worker_when_leased")),
        sa.CheckConstraint(
            "succeeded_count + reused_count + rejected_count + failed_count + cancelled_count <= item_count",
            name=op.f("ck_shards_counts_within_item_count"),
        ),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_shards_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "shard_no", name=op.f("pk_shards")),
    )
    op.create_index(
        "ix_shards_leased",
        "shards",
        ["lease_expires_at"],
        unique=False,
        postgresql_where=sa.text("state = 'leased'"),
        sqlite_where=sa.text("state = 'leased'"),
    )
    op.create_index(
        "ix_shards_ready",
        "shards",
        ["job_id", "available_at", "shard_no"],
        unique=False,
        postgresql_where=sa.text("state = 'ready'"),
        sqlite_where=sa.text("state = 'ready'"),
    )

    op.create_table(
        "sums",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("stripe", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("succeeded_count", sa.Integer(), nullable=False),
        sa.Column("reused_count", sa.Integer(), nullable=False),
        sa.Column("rejected_count", sa.Integer(), nullable=False),
        sa.Column("failed_count", sa.Integer(), nullable=False),
        sa.Column("cancelled_count", sa.Integer(), nullable=False),
        sa.Column("device_item_count", sa.Integer(), nullable=False),
        sa.Column("device_seconds", sa.Float(), nullable=False),
        sa.Column("cost", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("job_id", "stripe", name=op.f("pk_sums")),
        postgresql_with={"fillfactor": 50},
    )

    op.create_table(
        "item_errors",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("item_no", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("worker_id", sa.Uuid(), nullable=True),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id", "item_no"],
            ["items.job_id", "items.item_no"],
            name=op.f("fk_item_errors_job_id_item_no"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_item_errors")),
    )
    op.create_index("ix_item_errors_job_id_item_no", "item_errors", ["job_id", "item_no"], unique=False)

    op.create_table(
        "result_parts",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("shard_no", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id", "shard_no"],
            ["shards.job_id", "shards.shard_no"],
            name=op.f("fk_result_parts_job_id_shard_no"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("job_id", "shard_no", name=op.f("pk_result_parts")),
    )
    op.create_table(
        "results",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("item_no", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "pending",
                "succeeded",
                "reused",
                "rejected",
                "failed",
                "cancelled",
                name="state",
                native_enum=False,
                create_constraint=True,
                length=16,
            ),
            nullable=False,
        ),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("source_sha256", sa.Text(), nullable=True),
        sa.Column("source_bytes", sa.BigInteger(), nullable=True),
        sa.Column("sha256", sa.Text(), nullable=True),
        sa.Column("bytes", sa.BigInteger(), nullable=True),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column("milliseconds", FIGURES, nullable=True),
        sa.Column("device_seconds", sa.Float(), nullable=True),
        sa.Column("cost", sa.Float(), nullable=True),
        sa.Column("engine", sa.Text(), nullable=True),
        sa.Column("measures", FIGURES, nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("worker_id", sa.Uuid(), nullable=True),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "(state IN ('failed', 'rejected')) = (error_code IS NOT NULL)", name=op.f("ck_results_reason_when_failed")
        ),
        sa.CheckConstraint("state <> 'pending'", name=op.f("ck_results_settled")),
        sa.PrimaryKeyConstraint("job_id", "item_no", name=op.f("pk_results")),
    )
    op.create_index(
        "ix_results_troubled",
        "results",
        ["job_id", "state", "item_no"],
        unique=False,
        postgresql_where=sa.text("state <> 'succeeded'"),
        sqlite_where=sa.text("state <> 'succeeded'"),
    )

    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("webhook_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "pending", "delivered", "failed", name="state", native_enum=False, create_constraint=True, length=16
            ),
            nullable=False,
        ),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("log", JSON, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["event_id"], ["events.id"], name=op.f("fk_webhook_deliveries_event_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["webhook_id"], ["webhooks.id"], name=op.f("fk_webhook_deliveries_webhook_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_deliveries")),
        sa.UniqueConstraint("webhook_id", "event_id", name=op.f("uq_webhook_deliveries_webhook_id_event_id")),
    )
    op.create_index(
        "ix_webhook_deliveries_due_at",
        "webhook_deliveries",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("state = 'pending'"),
        sqlite_where=sa.text("state = 'pending'"),
    )
    op.create_index(
        "ix_webhook_deliveries_ended_at",
        "webhook_deliveries",
        ["ended_at"],
        unique=False,
        postgresql_where=sa.text("ended_at IS NOT NULL"),
        sqlite_where=sa.text("ended_at IS NOT NULL"),
    )
    op.create_index("ix_webhook_deliveries_event_id", "webhook_deliveries", ["event_id"], unique=False)


def downgrade() -> None:

    op.drop_table("webhook_deliveries")

    op.drop_table("engines")
    op.drop_table("results")
    op.drop_table("result_parts")

    op.drop_table("item_errors")

    op.drop_table("sums")
    op.drop_table("shards")
    op.drop_table("items")

    op.drop_table("events")
    op.drop_table("bad_rows")

    op.drop_table("jobs")
    op.drop_table("api_keys")

    op.drop_table("webhooks")
    op.drop_table("tenants")
    op.drop_table("styles")
