"""A lake looked after: verify, check, compare, repair, salvage."""
