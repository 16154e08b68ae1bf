"""Autograded assignments: students use `from autograder import TinyCIFAR10, check`; see README.md for everyone else."""


def __getattr__(name: str):
    # imported when asked for: the command line must not wait for torch
    if name == "TinyCIFAR10":
        from autograder.cifar10 import TinyCIFAR10

        return TinyCIFAR10
    if name == "check":
        from autograder import student

        student.warm_up()
        return student.check
    raise AttributeError(f"module 'autograder' has no attribute {name!r}")
