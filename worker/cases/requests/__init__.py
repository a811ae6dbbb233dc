"""Requests by mail: taken in once, put to the case they are about, judged like everything else, their files kept and deleted."""
