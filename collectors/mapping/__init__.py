"""From the rows of any table to records: which column is what, and what each cell becomes. No I/O."""
