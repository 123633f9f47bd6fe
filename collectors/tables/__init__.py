"""Reads tables as customers export them, row by row: CSV, JSON, NDJSON and workbooks, packed or not."""
