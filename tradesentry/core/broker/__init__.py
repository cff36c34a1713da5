"""Ports and adapters to venues: the one broker interface, the paper venue, OANDA, and the fakes that prove them."""
