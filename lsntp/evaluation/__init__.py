"""Verification: mergeable sums per forecast frame, and the scores computed from them."""
