"""``harness review``: people read cases, rate, compare, rank, mark and adjudicate, in a browser on this machine."""
