"""The way to a source over HTTP: the client, which addresses it may reach, and OAuth's tokens."""
