"""A sound database out of a damaged one: its pages read without SQLite, its records put in order again."""
