"""A folder of exports: which files are ready, what was read of each, and their records."""
