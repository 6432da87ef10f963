"""The bridge to Avalanche, and the only importer of it. Here a bucket is an Avalanche *experience*."""
