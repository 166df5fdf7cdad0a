"""The version of this package: here alone, and of no import's cost.

In: nothing. Out: the text that the build, the root, the command line and certificates take.
"""

VERSION = "0.1.0"
