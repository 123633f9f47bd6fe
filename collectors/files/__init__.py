"""Reads a folder of exports: which files are ready, how far each was read, and their records."""
