"""Tables and queries of an SQL database, followed by a column that only grows."""
