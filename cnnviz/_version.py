"""The version of the package, for every module and for the build."""

__version__ = "0.1.0"
