"""The commands of `outbox`, a file each, named as the command. Nothing imports them but the command line."""
