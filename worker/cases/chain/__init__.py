"""A chain of hashes over what may not change, its heads kept outside the database, and the proof that both still fit."""
