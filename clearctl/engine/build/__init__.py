"""From a config to live objects. No package below receives a config."""
