"""The configuration: the file and its mistakes, every agent's sections, and how options are written."""
