"""Data checks, one file each: what they look for in one row, or over all rows. See base.py."""
