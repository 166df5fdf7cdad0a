"""The joint of network and tables: the one-liners and the reader behind them."""
