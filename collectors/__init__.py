"""How to read one kind of system: a file per kind, and the loop that collects."""
