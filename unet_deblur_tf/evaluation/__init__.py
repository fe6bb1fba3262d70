"""Scores networks: metrics, protocols, tables and reports."""
