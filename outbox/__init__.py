"""The queue itself: records in, sealed batches out, and the command line that wires everything."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("snowflake-datapipe")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+unknown"
