"""The edge: what comes in from outside is judged here once, and kept word for word."""
