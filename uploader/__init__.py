"""From sealed batches to objects: lines to bytes, stores to put them in, and the loop that uploads."""
