"""The exceptions of the sandboxed side, which knows no others; `autograder/errors.py` has the whole tree."""


class Unreadable(ValueError):
    """The file is not a notebook; the message says what it is and how to mend it."""


class Malformed(ValueError):
    """The bytes are not a recording; the message says in which way."""


class Missing(Exception):
    """A function of the contract that the submission does not have, or that is still the stub."""


class SandboxUnavailable(RuntimeError):
    """This machine cannot build the walls; the message says which one is missing and what to do."""
