"""The machine that the agent runs on: its disk, its name, and its way to the network."""
