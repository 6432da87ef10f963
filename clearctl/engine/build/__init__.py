"""From a config to live objects. Below this package nobody receives a config."""
