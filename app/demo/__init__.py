"""The outside world, simulated: doubles at the wire, and a sample repository to read. Imports
nothing of Lectern, so that demo and tests can trust it to know only what the originals know."""
