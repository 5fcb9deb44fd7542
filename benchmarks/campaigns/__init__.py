"""Campaigns: long runs against what nobody expects."""
