"""`make soak`: a steady flow for as long as is asked, with faults of Kinesis, and daemons that are killed or are left alone."""
