"""Money: what is known of charges, what follows from it, and the one way a charge goes back (creem-api.md, 14.3)."""
