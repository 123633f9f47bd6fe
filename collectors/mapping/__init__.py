"""Maps the rows of any table to records: what each column means, and what each cell becomes. No I/O."""
