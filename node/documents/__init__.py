"""Documents that letters carry, made readable: strict about what comes in, plain about what goes out."""
