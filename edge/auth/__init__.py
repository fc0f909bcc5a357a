"""Who asks, and may they: credentials, the order of questions, tickets, and one line that puts a resource behind them."""
