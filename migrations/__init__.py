"""Data only: the SQL that makes and upgrades the outbox, and later what sets up Snowflake and AWS."""
