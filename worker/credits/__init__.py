"""Where credits live: the ledger of our own (default). Other homes come in behind the same port."""
