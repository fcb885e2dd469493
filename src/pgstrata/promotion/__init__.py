"""Settings carried from one environment's files into another's."""
