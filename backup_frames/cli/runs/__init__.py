"""What ``sync`` does with many projects: side by side, told as they end, measured."""
