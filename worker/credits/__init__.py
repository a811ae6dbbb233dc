"""Where credits live: the ledger of our own, and behind it the product's own table of balances where one is named."""
