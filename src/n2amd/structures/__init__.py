"""Structures made from others: distorted, rippled, rolled, with defects."""
