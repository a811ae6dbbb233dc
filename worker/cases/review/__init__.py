"""Review: what a person decides, first come first served, alone or with a second person, and never twice."""
