"""What turns an intent into money: fills, costs, sizing, limits. The same kernels for every driver."""
