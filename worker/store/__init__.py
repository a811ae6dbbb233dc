"""The books: tables, set-based queries, guarded moves, migrations. The database is the truth; everything else is a hint."""
