"""One run of the command line: its options, its words for what went wrong, its exit code."""
