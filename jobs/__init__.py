"""What the API and the workers share: jobs, their items and shards, and every rule about them.

A job is written to the database in one transaction (`enqueue`), planned into items and shards (`planning`),
claimed shard by shard under leases (`leases`), and finished when its last item has settled (`finishing`).
The database is the only truth; `doorbell` merely wakes workers. Nothing here loads torch or a web framework.
"""
