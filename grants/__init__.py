"""What a caller may do with a data source. Pure: no I/O, no clock."""
