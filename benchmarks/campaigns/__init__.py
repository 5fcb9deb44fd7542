"""Campaigns: the same thing done very many times, until something breaks."""
