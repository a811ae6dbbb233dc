"""Mails to support, read: one mail's bytes in, facts out. Pure; nothing here believes what a mail says or opens what it brings.

The structure is read here and not by the standard library's parser: a hostile mail can make that one, its header grammar and
`html.parser` take minutes, and every step here costs time in proportion to a bounded size (failure-modes.md, TM12-TM16, TM21).
"""
