"""Where secret values live: sealed files and the OS keyring; and how they are kept out of texts."""
