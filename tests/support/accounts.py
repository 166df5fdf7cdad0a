"""An account that is none."""

TOKEN = "canary-token-4f1d9a"
PROJECT = "0123456789abcdef0123456789abcdef"
