"""Which question is asked next, and the threads that ask."""
