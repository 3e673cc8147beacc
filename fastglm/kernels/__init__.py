"""Weight formats, their packing, and the kernels that multiply packed weights."""
