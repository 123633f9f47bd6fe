"""What every collector must keep, as checks that the tests of any package can run on its own."""

from collectors.testing.checks import CHECKS, Subject, lent, memory_is_bounded

__all__ = ["CHECKS", "Subject", "lent", "memory_is_bounded"]
