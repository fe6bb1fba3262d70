"""How good a network is: metrics, protocol, tables and reports."""
