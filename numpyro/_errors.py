"""The error classes that the whole library shares."""


class UsageError(ValueError, AssertionError):
    """A mistake in how the library was used, with the remedy in its message.

    It is a ``ValueError``, which is what it means, and an ``AssertionError`` too, so that programs written to catch
    either go on working.
    """


class UnsupportedSiteError(UsageError, RuntimeError):
    """A site that an algorithm cannot handle, with the remedy in its message; a ``RuntimeError`` as well."""
