"""What proves where every record went: ledger, matching of what is read back, recovery."""
