"""One adapter per measured engine; each runs in the peers' environment and knows nothing of TradeSentry."""
