"""The monitor: one look at the records, or a watch over them."""
