"""One state over 2**k devices: where its bits are, what a circuit does to them there, and what is read of them."""
