"""Ways to read one level, step by step: walks down time, dense seconds, the closing witness, by offset."""
