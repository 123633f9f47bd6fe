"""Reads tables that arrive by e-mail: the mailbox, its messages, and the tables in them."""
