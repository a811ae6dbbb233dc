"""Mails read: a corpus of files with what must come out of each, built ones for what is too large to keep, and chance."""
