"""The published archives: where they are, how they are downloaded, checked and unpacked."""
