"""Bytes under keys: a folder or a bucket, whole writes, one writer at a time."""
