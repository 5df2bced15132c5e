"""Who says the truth about an answer that goes wrong on its way: the same scenarios for this package and for the peers."""
