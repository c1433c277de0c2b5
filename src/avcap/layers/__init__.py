"""Building blocks without sizes of their own: attention, adapters, masks, placement."""
