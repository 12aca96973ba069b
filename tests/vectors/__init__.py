"""Every case of spec/vectors, decoded, and encoded again where nothing random enters."""
