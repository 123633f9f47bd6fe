"""Tables as customers export them, as rows: CSV, JSON, NDJSON and workbooks, packed or not."""
