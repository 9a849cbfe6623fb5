"""terakoya: notebooks on a server that you reach from anywhere, and a class on the same server."""

__version__ = "0.1.0"
